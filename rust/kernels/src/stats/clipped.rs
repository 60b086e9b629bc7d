//! Statistics of a sample from which outliers have been clipped.

use super::median::median;
use crate::simd;

/// How to clip: values outside `[median - lower * std, median + upper * std]` go, again and again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip {
    /// Threshold below the median, in standard deviations.
    pub lower: f64,
    /// Threshold above it.
    pub upper: f64,
    /// Rounds at most.
    pub max_iter: usize,
}

/// What is left after clipping. All NaN if nothing is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Values left.
    pub count: usize,
    /// Their median.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation about the mean (population).
    pub std: f64,
}

/// Statistics of the values, NaN and infinities left out, after clipping; what is clipped is gone from
/// `values` afterwards.
///
/// The clipping is that of `astropy.stats.sigma_clip` with `cenfunc="median"`, `stdfunc="std"`.
pub fn statistics(values: &mut Vec<f32>, clip: Option<Clip>) -> Statistics {
    keep(values, f64::from(f32::MIN), f64::from(f32::MAX));
    let mut found = about_median(values);
    let Some(clip) = clip else { return found };
    for _ in 0..clip.max_iter {
        let (low, high) = (found.median - clip.lower * found.std, found.median + clip.upper * found.std);
        keep(values, low, high);
        if values.len() == found.count {
            break;
        }
        found = about_median(values);
    }
    found
}

/// Keep the values from `low` to `high`.
pub(super) fn keep(values: &mut Vec<f32>, low: f64, high: f64) {
    let inside = Inside { values, low, high };
    if simd::run(inside) < values.len() {
        values.retain(|&value| is_between(value, low, high));
    }
}

#[inline(always)]
fn is_between(value: f32, low: f64, high: f64) -> bool {
    (f64::from(value) >= low) & (f64::from(value) <= high)
}

/// The number of values from `low` to `high`.
struct Inside<'a> {
    values: &'a [f32],
    low: f64,
    high: f64,
}

impl simd::Loop for Inside<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let Self { values, low, high } = self;
        values.iter().map(|&value| usize::from(is_between(value, low, high))).sum()
    }
}

fn about_median(values: &[f32]) -> Statistics {
    describe(values, median(values).unwrap_or(f64::NAN))
}

/// Mean and standard deviation of values whose median is known; NaN without values.
pub(super) fn describe(values: &[f32], middle: f64) -> Statistics {
    if values.is_empty() {
        return Statistics { count: 0, median: f64::NAN, mean: f64::NAN, std: f64::NAN };
    }
    let [first, second] = simd::run(Moments { values, about: middle });
    let count = values.len();
    let shift = first / count as f64;
    let variance = second / count as f64 - shift * shift;
    Statistics { count, median: middle, mean: middle + shift, std: variance.max(0.0).sqrt() }
}

/// Sums of the deviations and of their squares. Deviations from the median are small numbers: their sums lose
/// nothing.
struct Moments<'a> {
    values: &'a [f32],
    about: f64,
}

impl simd::Loop for Moments<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        /// Sums kept side by side, as many on every processor: the same answer on all.
        const LANES: usize = 16;
        let (mut first, mut second) = ([0.0f64; LANES], [0.0f64; LANES]);
        let (whole, rest) = self.values.as_chunks::<LANES>();
        for values in whole {
            for l in 0..LANES {
                let off = f64::from(values[l]) - self.about;
                first[l] += off;
                second[l] += off * off;
            }
        }
        for (l, &value) in rest.iter().enumerate() {
            let off = f64::from(value) - self.about;
            first[l] += off;
            second[l] += off * off;
        }
        [first.iter().sum(), second.iter().sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_go_and_the_rest_is_described() {
        let mut values: Vec<f32> = (0..101).map(|i| i as f32 / 100.0).collect();
        values.extend([1e6, f32::NAN, f32::INFINITY]);
        let clip = Clip { lower: 5.0, upper: 5.0, max_iter: 5 };
        let all = statistics(&mut values.clone(), None);
        let kept = statistics(&mut values, Some(clip));
        assert_eq!((all.count, kept.count), (102, 101));
        assert!((kept.mean - 0.5).abs() < 1e-6 && (kept.median - 0.5).abs() < 1e-6);
        assert!((kept.std - 0.291_547_6).abs() < 1e-6);
    }

    #[test]
    fn nothing_gives_nan() {
        assert!(statistics(&mut Vec::new(), None).median.is_nan());
    }
}
