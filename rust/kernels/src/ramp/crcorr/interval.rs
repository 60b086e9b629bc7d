//! One interval of all pixels of a tile: what [`super::line`] does for one pixel.
//!
//! The pixels share their times and have a sample with an error in every read. Then only the two sums over the
//! signal differ from pixel to pixel; all other sums are done once. The operations and their order are those of
//! the plain path, hence the bits are too.

use super::line::{self, CLASSES, Class, Geometry, Weights};
use super::pixel::SPIKE_SIGMA;
use super::tile::{LANES, Tile};

/// An interval, and all that depends on its times alone.
pub(super) struct Interval {
    times: Vec<f32>,
    weights: [Vec<f32>; CLASSES],
    geometry: [Geometry; CLASSES],
    fit_error: [f32; CLASSES],
    gain: f32,
    /// Time from the first sample to the last.
    pub span: f32,
    /// Dark signal in that time.
    dark: f32,
}

/// Sums of `w y` and `w t y`.
type Sums = [Tile<f32>; 2];

/// What sticks out of the lines.
pub(super) struct Seen {
    /// Place of the largest step that is a hit; 0: none.
    pub hit: Tile<u32>,
    /// Nonzero where there may be a spike, or a sample has no error.
    pub other: Tile<u32>,
}

/// Slopes and their errors.
pub(super) struct Slopes {
    slope: Tile<f32>,
    error: Tile<f32>,
}

impl Interval {
    /// An interval of samples at `times`.
    pub fn new(times: &[f32], weights: &Weights) -> Self {
        let (start, end) = (times[0], times[times.len() - 1]);
        let geometry = std::array::from_fn(|class| {
            let mut sums = Geometry::default();
            for (&time, &w) in times.iter().zip(weights.of(times.len(), class)) {
                sums.add(time, w);
            }
            sums.close()
        });
        Self {
            times: times.to_vec(),
            weights: std::array::from_fn(|class| weights.of(times.len(), class).to_vec()),
            fit_error: geometry.map(|sums| sums.fit_error()),
            geometry,
            gain: weights.gain,
            span: end - start,
            dark: end * weights.dark - start * weights.dark,
        }
    }

    /// Sums over the signal with the weights of a class.
    #[inline(always)]
    pub fn sum(&self, signal: &[Tile<f32>], class: Class) -> Sums {
        let (mut sy, mut sxy) = ([0.0f32; LANES], [0.0f32; LANES]);
        for ((y, &time), &w) in signal.iter().zip(&self.times).zip(&self.weights[class]) {
            for l in 0..LANES {
                sy[l] += y[l] * w;
                sxy[l] += (time * y[l]) * w;
            }
        }
        [sy, sxy]
    }

    /// Look for steps and spikes in the residuals from the lines with equal weights. A residual is 0 where the
    /// interval starts `at_hit`. `each` is called with the place of every sample.
    #[inline(always)]
    pub fn search(
        &self,
        equal: &Sums,
        signal: &[Tile<f32>],
        error: &[Tile<f32>],
        crsigma: f32,
        at_hit: bool,
        each: impl Fn(usize),
    ) -> Seen {
        let [intercept, slope] = self.lines(equal, signal);
        let (mut before, mut previous, mut rise) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
        let (mut other, mut hit) = ([0u32; LANES], [0u32; LANES]);
        // From nothing to the first residual is no step.
        let mut best = [f32::INFINITY; LANES];
        for (j, ((y, e), &time)) in signal.iter().zip(error).zip(&self.times).enumerate() {
            each(j);
            let flagged = at_hit && j == 0;
            for l in 0..LANES {
                let residual = (y[l] - (intercept[l] + slope[l] * time)) / e[l];
                let residual = if flagged { 0.0 } else { residual };
                let change = residual - previous[l];
                let step = change.abs();
                // The last place where it grew; places do so too.
                hit[l] = hit[l].max(mask(step > best[l]) & j as u32);
                best[l] = if step > best[l] { step } else { best[l] };
                let spike = (rise[l] > SPIKE_SIGMA) & (change < -SPIKE_SIGMA);
                other[l] |= mask(spike & (before[l] < 0.0) & (residual < 0.0));
                // Without an error (zero, NaN) a sample has no say: the plain path leaves it out.
                other[l] |= mask((e[l] == 0.0) | e[l].is_nan());
                (before[l], previous[l], rise[l]) = (previous[l], residual, change);
            }
            if j == 0 {
                best = [crsigma; LANES];
            }
        }
        Seen { hit, other }
    }

    /// Intercepts and slopes of the lines with equal weights.
    #[inline(always)]
    fn lines(&self, [sy, sxy]: &Sums, signal: &[Tile<f32>]) -> [Tile<f32>; 2] {
        let (mut intercept, mut slope) = ([0.0f32; LANES], [0.0f32; LANES]);
        if let [first, last] = signal {
            for l in 0..LANES {
                slope[l] = (last[l] - first[l]) / self.span;
                intercept[l] = first[l] - slope[l] * self.times[0];
            }
        } else {
            for l in 0..LANES {
                (intercept[l], slope[l]) = self.geometry[0].line(sy[l], sxy[l]);
            }
        }
        [intercept, slope]
    }

    /// Slopes under the weights that suit each pixel's signal-to-noise ratio.
    #[inline(always)]
    pub fn slopes(&self, equal: &Sums, signal: &[Tile<f32>], error: &[Tile<f32>]) -> Slopes {
        match (signal, error) {
            ([y], [e]) => self.through_one(y, e),
            ([y0, y1], [e0, e1]) => self.through_two([y0, y1], [e0, e1]),
            _ => self.through_many(equal, signal, error),
        }
    }

    /// From zero signal at time zero.
    #[inline(always)]
    fn through_one(&self, y: &Tile<f32>, e: &Tile<f32>) -> Slopes {
        let time = self.times[0];
        Slopes { slope: y.map(|y| y / time), error: e.map(|e| e / time) }
    }

    #[inline(always)]
    fn through_two(&self, y: [&Tile<f32>; 2], e: [&Tile<f32>; 2]) -> Slopes {
        let (mut slope, mut error) = ([0.0f32; LANES], [0.0f32; LANES]);
        for l in 0..LANES {
            let dy = y[1][l] - y[0][l];
            let (e0, e1) = (e[0][l] / self.times[0], e[1][l] / self.times[1]);
            let fallback = (e0 * e0 + e1 * e1).sqrt();
            slope[l] = dy / self.span;
            error[l] = line::slope_error(self.gain, 0.0, fallback, self.span, dy, self.dark);
        }
        Slopes { slope, error }
    }

    #[inline(always)]
    fn through_many(&self, equal: &Sums, signal: &[Tile<f32>], error: &[Tile<f32>]) -> Slopes {
        let last = signal.len() - 1;
        let mut classes = [0u32; LANES];
        let mut present = 0;
        for l in 0..LANES {
            let snr = (signal[last][l] - signal[0][l]) / error[last][l];
            let snr = if error[last][l] > 0.0 { snr } else { 0.0 };
            classes[l] = line::class_of(snr) as u32;
            present |= 1 << classes[l];
        }
        let (mut slope, mut fit_error) = ([0.0f32; LANES], [0.0f32; LANES]);
        for class in 0..CLASSES {
            if present & (1 << class) == 0 {
                continue;
            }
            let [sy, sxy] = if class == 0 { *equal } else { self.sum(signal, class) };
            for l in 0..LANES {
                let (_, weighted) = self.geometry[class].line(sy[l], sxy[l]);
                let mine = classes[l] == class as u32;
                slope[l] = if mine { weighted } else { slope[l] };
                fit_error[l] = if mine { self.fit_error[class] } else { fit_error[l] };
            }
        }
        let mut errors = [0.0f32; LANES];
        for l in 0..LANES {
            let (fit, dy) = (fit_error[l], signal[last][l] - signal[0][l]);
            errors[l] = line::slope_error(self.gain, fit, fit, self.span, dy, self.dark);
        }
        Slopes { slope, error: errors }
    }
}

/// All bits, or none.
#[inline(always)]
fn mask(is: bool) -> u32 {
    if is { u32::MAX } else { 0 }
}

/// Weighted means of the slopes of one interval after another.
pub(super) struct Mean {
    weight: Tile<f32>,
    sum: Tile<f32>,
    /// Nonzero where a variance was zero, or none at all: the plain path knows what then.
    pub lost: Tile<u32>,
}

impl Mean {
    /// Begin with the slopes of an interval.
    #[inline(always)]
    pub fn of(slopes: &Slopes) -> Self {
        let mut mean = Self { weight: [0.0; LANES], sum: [0.0; LANES], lost: [0; LANES] };
        // With nothing to add to, the compiler knows that a quotient of singles needs no double.
        mean.extend(slopes, |_, variance| (1.0 / f64::from(variance)) as f32);
        mean
    }

    /// Add the slopes of an interval.
    #[inline(always)]
    pub fn add(&mut self, slopes: &Slopes) {
        self.extend(slopes, |weight, variance| (f64::from(weight) + 1.0 / f64::from(variance)) as f32);
    }

    #[inline(always)]
    fn extend(&mut self, slopes: &Slopes, weigh: impl Fn(f32, f32) -> f32) {
        for l in 0..LANES {
            let (slope, error) = (slopes.slope[l], slopes.error[l]);
            let variance = error * error;
            let weight = weigh(self.weight[l], variance);
            self.lost[l] |= mask((variance == 0.0) | (weight == 0.0) | !(weight + slope).is_finite());
            self.weight[l] = weight;
            self.sum[l] += slope / variance;
        }
    }

    /// Rates and errors in the unit of the product.
    #[inline(always)]
    pub fn rates(&self, counts: f32, to_dn: &Tile<f32>) -> [Tile<f32>; 2] {
        let (mut rate, mut err) = ([0.0; LANES], [0.0; LANES]);
        for l in 0..LANES {
            rate[l] = (self.sum[l] / self.weight[l]) * counts / to_dn[l];
            err[l] = (1.0 / self.weight[l]).sqrt() * counts / to_dn[l];
        }
        [rate, err]
    }
}
