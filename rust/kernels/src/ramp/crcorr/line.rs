//! One weighted straight line through the samples of an interval.

/// CDS read noise of the detector, electrons: fixed in the reference program, whatever CCDTAB says.
const READ_NOISE: f64 = 21.0;
/// Dark current, electrons per second: fixed likewise.
const DARK_RATE: f64 = 0.036;

/// Weighting class of an interval by its signal-to-noise ratio; 0 is equal weight.
pub(super) type Class = usize;
/// Exponents of the weight, from equal weight to ends only.
const POWERS: [f32; CLASSES] = [0.0, 0.4, 1.0, 3.0, 6.0, 10.0];
/// Their number.
pub(super) const CLASSES: usize = 6;

/// Weights and noise terms that depend only on gain, interval length and class.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Electrons per DN.
    pub gain: f32,
    /// Dark current in DN per second.
    pub dark: f32,
    table: Vec<f32>,
    longest: usize,
}

impl Weights {
    /// Tables for intervals of up to `longest` samples.
    pub fn new(gain: f32, longest: usize) -> Self {
        let noise = (READ_NOISE / f64::from(gain)) as f32;
        let unit = (1.0 / f64::from(noise * noise)) as f32;
        let mut table = vec![unit; (longest + 1) * CLASSES * longest];
        for length in 2..=longest {
            let middle = (length - 1) as f64 / 2.0;
            for (class, &power) in POWERS.iter().enumerate().skip(1) {
                for sample in 0..length {
                    let far = (sample as f64 - middle).abs() / middle;
                    let weight = far.powf(f64::from(power)).abs() as f32;
                    table[(length * CLASSES + class) * longest + sample] = weight * unit;
                }
            }
        }
        Self { gain, dark: (DARK_RATE / f64::from(gain)) as f32, table, longest }
    }

    /// The weights of an interval of `length` samples.
    #[inline(always)]
    pub fn of(&self, length: usize, class: Class) -> &[f32] {
        let start = (length * CLASSES + class) * self.longest;
        &self.table[start..start + length]
    }
}

/// Which weights suit a signal-to-noise ratio.
#[inline(always)]
pub(super) fn class_of(snr: f32) -> Class {
    usize::from(snr > 5.0)
        + usize::from(snr > 10.0)
        + usize::from(snr > 20.0)
        + usize::from(snr > 50.0)
        + usize::from(snr > 100.0)
}

/// Sums over the samples that do not depend on the signal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Geometry {
    pub s: f32,
    pub sx: f32,
    pub sxx: f32,
    pub den: f32,
}

impl Geometry {
    /// Add a sample at time `x`.
    #[inline(always)]
    pub fn add(&mut self, x: f32, w: f32) {
        self.s += w;
        self.sx += x * w;
        self.sxx += (x * x) * w;
    }

    /// The determinant, kept away from zero.
    #[inline(always)]
    pub fn close(mut self) -> Self {
        self.den = self.s * self.sxx - self.sx * self.sx;
        if f64::from(self.den) < 1e-6 {
            self.den = 1e-6;
        }
        self
    }

    /// Intercept and slope from the sums that hold the signal.
    #[inline(always)]
    pub fn line(&self, sy: f32, sxy: f32) -> (f32, f32) {
        let slope = (self.s * sxy - self.sx * sy) / self.den;
        let intercept = (self.sxx * sy - self.sx * sxy) / self.den;
        (intercept, slope)
    }

    /// Read-noise part of the slope's error.
    #[inline(always)]
    pub fn fit_error(&self) -> f32 {
        (self.s / self.den).sqrt()
    }
}

/// Error of a slope: read noise, dark current `dd` and photons `dy` collected over `dx` seconds.
#[inline(always)]
pub(super) fn slope_error(gain: f32, fit: f32, fallback: f32, dx: f32, dy: f32, dd: f32) -> f32 {
    let noise = gain * fit * dx;
    let variance = noise * noise + gain * dd + gain * dy;
    if variance > 0.0 {
        (f64::from(variance).sqrt() / f64::from(dx) / f64::from(gain)) as f32
    } else {
        fallback
    }
}

/// A sample, as what it adds to the sums of a line before its weight: 1, x, x^2, y, x y. Its error rides along
/// to fill the vector.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample([f32; 8]);

impl Sample {
    /// Signal `y` with error `s` at time `x`.
    #[inline(always)]
    pub fn new(x: f32, y: f32, s: f32) -> Self {
        Self([1.0, x, x * x, y, x * y, s, 0.0, 0.0])
    }

    /// Take another signal at the same time.
    #[inline(always)]
    pub fn set(&mut self, y: f32, s: f32) {
        (self.0[3], self.0[4], self.0[5]) = (y, self.x() * y, s);
    }

    #[inline(always)]
    pub fn x(&self) -> f32 {
        self.0[1]
    }

    #[inline(always)]
    pub fn y(&self) -> f32 {
        self.0[3]
    }

    #[inline(always)]
    pub fn s(&self) -> f32 {
        self.0[5]
    }
}

/// A fitted line; none of its samples may have had an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub intercept: f32,
    pub slope: f32,
    geometry: Geometry,
    /// No sample had a weight: there is no line.
    empty: bool,
}

/// Fit a line to two or more samples; those without an error are left out of the sums.
#[inline(always)]
pub(super) fn fit_line(samples: &[Sample], weights: &Weights, class: Class) -> Line {
    let mut sums = [0.0; 8];
    for (sample, &w) in samples.iter().zip(weights.of(samples.len(), class)) {
        if sample.s() != 0.0 {
            for (sum, term) in sums.iter_mut().zip(sample.0) {
                *sum += term * w;
            }
        }
    }
    let [s, sx, sxx, sy, sxy, ..] = sums;
    let geometry = Geometry { s, sx, sxx, den: 0.0 };
    if s.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return Line { intercept: 0.0, slope: 0.0, geometry, empty: true };
    }
    let geometry = geometry.close();
    let (intercept, slope) = if let [first, last] = samples {
        // Two samples: the line through both.
        let slope = (last.y() - first.y()) / (last.x() - first.x());
        (first.y() - slope * first.x(), slope)
    } else {
        geometry.line(sy, sxy)
    };
    Line { intercept, slope, geometry, empty: false }
}

/// Slope of two or more samples with the weights that suit the interval, and its error; `dd` is the dark
/// signal between the ends.
#[inline(always)]
pub(super) fn fit_slope(samples: &[Sample], weights: &Weights, dd: f32) -> (f32, f32) {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let (dx, dy) = (last.x() - first.x(), last.y() - first.y());
    let class = if last.s() > 0.0 { class_of(dy / last.s()) } else { 0 };
    let line = fit_line(samples, weights, class);
    if line.empty {
        return (line.slope, 1e9);
    }
    let (fit, fallback) = if samples.len() == 2 {
        // Read noise enters the line through two samples only if no photon noise does.
        let (e0, e1) = (first.s() / first.x(), last.s() / last.x());
        (0.0, (e0 * e0 + e1 * e1).sqrt())
    } else {
        let fit = line.geometry.fit_error();
        (fit, fit)
    };
    (line.slope, slope_error(weights.gain, fit, fallback, dx, dy, dd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noiseless_ramp_gives_its_slope() {
        let times = (1..=10).map(|k| k as f32 * 25.0);
        let samples: Vec<Sample> = times.map(|t| Sample::new(t, 3.0 + 0.5 * t, 9.0)).collect();
        let line = fit_line(&samples, &Weights::new(2.35, 16), 0);
        assert!((line.slope - 0.5).abs() < 1e-5 && (line.intercept - 3.0).abs() < 1e-2);
    }

    #[test]
    fn weights_are_equal_in_class_zero_and_vanish_in_the_middle_of_the_others() {
        let weights = Weights::new(2.0, 5);
        assert!(weights.of(5, 0).windows(2).all(|w| w[0] == w[1]));
        for class in 1..CLASSES {
            let of = weights.of(5, class);
            assert_eq!(of[2], 0.0);
            assert_eq!((of[0], of[1]), (of[4], of[3]));
            assert_eq!(of[0], weights.of(5, 0)[0]);
        }
    }

    #[test]
    fn classes_change_above_their_limits() {
        let snr = [0.0, 5.0, 5.1, 10.1, 20.1, 50.1, 100.1, f32::NAN];
        assert_eq!(snr.map(class_of), [0, 0, 1, 2, 3, 4, 5, 0]);
    }
}
