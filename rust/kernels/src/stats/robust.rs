//! Statistics that outliers do not move: median, median absolute deviation and the peak of the histogram.

use super::clipped::{describe, keep};
use super::median::median;

/// Median absolute deviation of a normal distribution to its standard deviation.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// Bins of the histogram in one robust sigma.
const BINS: f64 = 10.0;
/// Reach of the histogram on either side of the median, robust sigmas.
const REACH: f64 = 3.0;
/// Bins on either side of the peak that shape the parabola: one sigma.
const NEAR: usize = 10;

/// How to clip: values further from the median than `sigma` robust sigmas go, again and again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustClip {
    /// Threshold in robust sigmas of the values left.
    pub sigma: f64,
    /// Rounds at most.
    pub max_iter: usize,
}

/// What is left after clipping. All NaN if nothing is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustStatistics {
    /// Values left.
    pub count: usize,
    /// Their median.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// Where their histogram peaks.
    pub mode: f64,
    /// Their standard deviation about the mean (population).
    pub std: f64,
    /// 1.4826 times their median absolute deviation.
    pub robust_std: f64,
    /// Standard error of the median, `sqrt(pi / 2) robust_std / sqrt(count)`: that of independent normal values.
    pub error: f64,
}

/// Statistics of the values, NaN and infinities left out, after clipping; what is clipped is gone from `values`
/// afterwards. `space` is scratch.
///
/// Each round keeps the values within `sigma` robust sigmas of the median, both of what is left by then. The
/// spread of the values themselves sets the limit, so that a noisy sample is not cut into.
///
/// ```
/// use upramp_kernels::stats::robust::{RobustClip, robust_statistics};
/// let mut values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 1e6];
/// let clip = RobustClip { sigma: 3.0, max_iter: 5 };
/// let found = robust_statistics(&mut values, Some(clip), &mut Vec::new());
/// assert_eq!((found.count, found.median, found.mean), (5, 3.0, 3.0));
/// ```
pub fn robust_statistics(
    values: &mut Vec<f32>,
    clip: Option<RobustClip>,
    space: &mut Vec<f32>,
) -> RobustStatistics {
    keep(values, f64::from(f32::MIN), f64::from(f32::MAX));
    let mut at = centre(values, space);
    let RobustClip { sigma, max_iter } = clip.unwrap_or(RobustClip { sigma: 0.0, max_iter: 0 });
    for _ in 0..max_iter {
        let Some([middle, spread]) = at else { break };
        let before = values.len();
        keep(values, middle - sigma * spread, middle + sigma * spread);
        if values.len() == before {
            break;
        }
        at = centre(values, space);
    }
    let [middle, spread] = at.unwrap_or([f64::NAN; 2]);
    let moments = describe(values, middle);
    let count = values.len();
    RobustStatistics {
        count,
        median: middle,
        mean: moments.mean,
        mode: mode(values, middle, spread),
        std: moments.std,
        robust_std: spread,
        error: spread * (std::f64::consts::FRAC_PI_2 / count as f64).sqrt(),
    }
}

/// Median and robust sigma.
fn centre(values: &[f32], space: &mut Vec<f32>) -> Option<[f64; 2]> {
    let middle = median(values)?;
    space.clear();
    // In float32 as the values themselves: the rounding of a deviation is far below its spread.
    let about = middle as f32;
    space.extend(values.iter().map(|value| (value - about).abs()));
    Some([middle, MAD_TO_SIGMA * median(space)?])
}

/// Vertex of the parabola through the histogram within one sigma of its peak.
///
/// Bins are a tenth of the robust sigma wide. The peak is searched in the histogram averaged over 11 bins, since
/// neighbouring bins near it differ by less than their noise; the least-squares parabola then uses them all.
fn mode(values: &[f32], middle: f64, spread: f64) -> f64 {
    const SIZE: usize = 2 * (REACH * BINS) as usize + 1;
    if spread.is_nan() || spread <= 0.0 {
        return middle; // no values, or at least half of them the same
    }
    let mut histogram = [0u32; SIZE];
    let (start, scale) = (middle - (REACH + 0.5 / BINS) * spread, BINS / spread);
    for &value in values {
        let bin = (f64::from(value) - start) * scale;
        if bin >= 0.0 && bin < SIZE as f64 {
            histogram[bin as usize] += 1;
        }
    }
    let total = |bins: &[u32]| bins.iter().sum::<u32>();
    let half = NEAR / 2;
    let peak = (NEAR..SIZE - NEAR)
        .rev() // the first of equals
        .max_by_key(|&bin| total(&histogram[bin - half..=bin + half]))
        .unwrap_or(SIZE / 2);
    // Least squares of c0 + c1 x + c2 x² over x = -NEAR ..= NEAR, whose odd sums vanish.
    let (mut s2, mut s4, mut y0, mut y1, mut y2) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, &count) in histogram[peak - NEAR..=peak + NEAR].iter().enumerate() {
        let (x, count) = (x as f64 - NEAR as f64, f64::from(count));
        s2 += x * x;
        s4 += x.powi(4);
        y0 += count;
        y1 += count * x;
        y2 += count * x * x;
    }
    let width = (2 * NEAR + 1) as f64;
    let curvature = (width * y2 - s2 * y0) / (width * s4 - s2 * s2);
    let offset = if curvature < 0.0 { -y1 / s2 / (2.0 * curvature) } else { 0.0 };
    let offset = offset.clamp(-(NEAR as f64), NEAR as f64);
    start + (peak as f64 + 0.5 + offset) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a logistic distribution about `centre`, evenly spaced in probability.
    fn bell(count: usize, centre: f64, width: f64) -> Vec<f32> {
        (0..count)
            .map(|i| {
                let p = (i as f64 + 0.5) / count as f64;
                (centre + width * (p / (1.0 - p)).ln()) as f32
            })
            .collect()
    }

    #[test]
    fn a_symmetric_peak_has_one_centre() {
        let mut values = bell(40_001, 3.0, 0.5);
        let found = robust_statistics(&mut values, None, &mut Vec::new());
        for got in [found.median, found.mean, found.mode] {
            assert!((got - 3.0).abs() < 2e-3, "{found:?}");
        }
        // Quartiles of the logistic distribution lie ln 3 widths from its centre.
        assert!((found.robust_std - MAD_TO_SIGMA * 0.5 * 3f64.ln()).abs() < 1e-3);
    }

    #[test]
    fn the_mode_stays_where_a_tail_pulls_mean_and_median() {
        let mut values = bell(30_000, 0.0, 0.5);
        values.extend(bell(8_000, 3.0, 0.5));
        let found = robust_statistics(&mut values, None, &mut Vec::new());
        assert!(found.mean > found.median && found.median > found.mode, "{found:?}");
        assert!(found.mode.abs() < 0.1, "{found:?}");
    }

    #[test]
    fn equal_values_and_none() {
        let found = robust_statistics(&mut vec![2.0; 9], None, &mut Vec::new());
        assert_eq!((found.median, found.mode, found.robust_std, found.error), (2.0, 2.0, 0.0, 0.0));
        let clip = Some(RobustClip { sigma: 3.0, max_iter: 5 });
        let found = robust_statistics(&mut vec![f32::NAN; 9], clip, &mut Vec::new());
        assert_eq!(found.count, 0);
        assert!(found.median.is_nan() && found.mean.is_nan() && found.mode.is_nan() && found.error.is_nan());
    }
}
