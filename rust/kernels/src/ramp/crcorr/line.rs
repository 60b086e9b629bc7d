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

/// Samples of one interval: times, signal, errors, dark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples<'a> {
    pub x: &'a [f32],
    pub y: &'a [f32],
    pub s: &'a [f32],
    pub d: &'a [f32],
}

/// A fitted line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub intercept: f32,
    pub slope: f32,
    pub error: f32,
}

/// Fit a line to two or more samples; those without an error are left out of the sums.
pub(super) fn fit_line(samples: Samples<'_>, weights: &Weights, optimum: bool) -> Line {
    let Samples { x, y, s, d } = samples;
    let last = x.len() - 1;
    let class = match optimum && s[last] > 0.0 {
        true => class_of((y[last] - y[0]) / s[last]),
        false => 0,
    };
    let mut geometry = Geometry::default();
    let (mut sy, mut sxy) = (0.0f32, 0.0f32);
    for (k, &w) in weights.of(x.len(), class).iter().enumerate() {
        if s[k] != 0.0 {
            geometry.add(x[k], w);
            sy += y[k] * w;
            sxy += (x[k] * y[k]) * w;
        }
    }
    if geometry.s.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return Line { intercept: 0.0, slope: 0.0, error: 1e9 };
    }
    let geometry = geometry.close();
    let (dx, dy, dd) = (x[last] - x[0], y[last] - y[0], d[last] - d[0]);
    let (intercept, slope, fit, fallback) = if x.len() == 2 {
        // Two samples: the line through both. Its read noise enters only if no photon noise does.
        let slope = dy / dx;
        let (e0, e1) = (s[0] / x[0], s[1] / x[1]);
        (y[0] - slope * x[0], slope, 0.0, (e0 * e0 + e1 * e1).sqrt())
    } else {
        let (intercept, slope) = geometry.line(sy, sxy);
        let fit = geometry.fit_error();
        (intercept, slope, fit, fit)
    };
    Line { intercept, slope, error: slope_error(weights.gain, fit, fallback, dx, dy, dd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noiseless_ramp_gives_its_slope() {
        let x: Vec<f32> = (1..=10).map(|k| k as f32 * 25.0).collect();
        let y: Vec<f32> = x.iter().map(|t| 3.0 + 0.5 * t).collect();
        let (s, d) = (vec![9.0; 10], vec![0.0; 10]);
        let samples = Samples { x: &x, y: &y, s: &s, d: &d };
        let line = fit_line(samples, &Weights::new(2.35, 16), false);
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
