//! Uncertainty of a read: read noise and photons.
//!
//! ```text
//! err = sqrt(r^2 + |g sci|) / g
//! ```
//!
//! with `sci` in DN, gain `g` and read noise `r` (electrons) of the pixel's amplifier. The square root is that of
//! a float64, narrowed before the division.

/// Gain and read noise of one amplifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amplifier {
    /// Electrons per DN.
    pub gain: f32,
    /// Electrons.
    pub noise: f32,
}

impl Amplifier {
    /// Uncertainty of a signal in DN.
    #[inline(always)]
    pub fn error(&self, sci: f32) -> f32 {
        let square = f64::from(self.noise * self.noise);
        (square + f64::from(sci * self.gain).abs()).sqrt() as f32 / self.gain
    }
}

/// The four amplifiers of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amplifiers {
    /// A (upper left), B (lower left), C (lower right), D (upper right).
    pub quadrants: [Amplifier; 4],
    /// First row of the upper and first column of the right quadrants; may lie outside of a subarray.
    pub split: [isize; 2],
}

impl Amplifiers {
    /// The amplifier that reads pixel `(y, x)` of the frame.
    #[inline]
    pub fn of(&self, y: usize, x: usize) -> Amplifier {
        let [a, b, c, d] = self.quadrants;
        match (y as isize >= self.split[0], x as isize >= self.split[1]) {
            (true, false) => a,
            (false, false) => b,
            (false, true) => c,
            (true, true) => d,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_photons_to_read_noise() {
        let amp = Amplifier { gain: 2.0, noise: 6.0 };
        assert_eq!(amp.error(0.0), 3.0);
        assert_eq!(amp.error(32.0), 5.0);
        assert_eq!(amp.error(-32.0), 5.0);
    }

    #[test]
    fn quadrants_lie_as_on_the_detector() {
        let quadrants = [1.0, 2.0, 3.0, 4.0].map(|gain| Amplifier { gain, noise: 0.0 });
        let amps = Amplifiers { quadrants, split: [2, 2] };
        assert_eq!([(3, 0), (0, 0), (0, 3), (3, 3)].map(|(y, x)| amps.of(y, x).gain), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Amplifiers { quadrants, split: [-8, 9] }.of(0, 0).gain, 1.0);
    }
}
