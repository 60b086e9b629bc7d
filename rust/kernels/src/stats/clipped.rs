//! Statistics of a sample from which outliers have been clipped.

use super::median::median;

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

/// Statistics of the values, NaN and infinities left out, after clipping.
///
/// `values` is called several times and must give the same values each time. The clipping is that of
/// `astropy.stats.sigma_clip` with `cenfunc="median"`, `stdfunc="std"`.
pub fn statistics<I: Iterator<Item = f32>>(values: impl Fn() -> I, clip: Option<Clip>) -> Statistics {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let inside = |low: f64, high: f64| {
        values().filter(move |&value| {
            let wide = f64::from(value);
            value.is_finite() && wide >= low && wide <= high
        })
    };
    let mut found = describe(|| inside(low, high));
    let Some(clip) = clip else { return found };
    for _ in 0..clip.max_iter {
        (low, high) = (found.median - clip.lower * found.std, found.median + clip.upper * found.std);
        let next = describe(|| inside(low, high));
        let settled = next.count == found.count;
        found = next;
        if settled {
            break;
        }
    }
    found
}

fn describe<I: Iterator<Item = f32>>(values: impl Fn() -> I) -> Statistics {
    let Some(middle) = median(&values) else {
        return Statistics { count: 0, median: f64::NAN, mean: f64::NAN, std: f64::NAN };
    };
    // Deviations from the median are small numbers: their sums lose nothing.
    let (mut count, mut first, mut second) = (0usize, 0.0, 0.0);
    for value in values() {
        let off = f64::from(value) - middle;
        count += 1;
        first += off;
        second += off * off;
    }
    let shift = first / count as f64;
    let variance = second / count as f64 - shift * shift;
    Statistics { count, median: middle, mean: middle + shift, std: variance.max(0.0).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_go_and_the_rest_is_described() {
        let mut values: Vec<f32> = (0..101).map(|i| i as f32 / 100.0).collect();
        values.extend([1e6, f32::NAN, f32::INFINITY]);
        let clip = Clip { lower: 5.0, upper: 5.0, max_iter: 5 };
        let all = statistics(|| values.iter().copied(), None);
        let kept = statistics(|| values.iter().copied(), Some(clip));
        assert_eq!((all.count, kept.count), (102, 101));
        assert!((kept.mean - 0.5).abs() < 1e-6 && (kept.median - 0.5).abs() < 1e-6);
        assert!((kept.std - 0.291_547_6).abs() < 1e-6);
    }

    #[test]
    fn nothing_gives_nan() {
        assert!(statistics(|| std::iter::empty(), None).median.is_nan());
    }
}
