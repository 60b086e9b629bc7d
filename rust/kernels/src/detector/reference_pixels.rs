//! BLEVCORR: the level of each read, from its reference pixels.
//!
//! The mean of the reference pixels beside the light-sensitive ones, after two rejections: beyond three median
//! absolute deviations (scaled to sigma) from the median, then beyond three standard deviations, which are
//! scaled up for what a cut at three sigma takes from the tails.

use crate::view::Region;

/// Where both rejections cut, in sigma.
const SIGMA: f32 = 3.0;
/// Median absolute deviation of a unit normal distribution.
const MAD: f64 = 0.6745;
/// Mean absolute deviation of a unit normal distribution.
const MEAN_DEVIATION: f64 = 0.8;
/// A smaller deviation counts as none.
const TINY: f32 = 1e-24;

/// Resistant mean of the pixels in `columns` (pairs of first and last, inclusive) of the rows of `region`.
pub fn level(plane: &[f32], nx: usize, region: &Region, columns: [[usize; 2]; 2]) -> f32 {
    let mut values = Vec::with_capacity(region.y.len() * 8);
    for [first, last] in columns {
        for y in region.y.clone() {
            values.extend_from_slice(&plane[y * nx + first..=y * nx + last]);
        }
    }
    resistant_mean(&mut values)
}

fn resistant_mean(values: &mut Vec<f32>) -> f32 {
    let centre = median(values);
    let cut = SIGMA * deviation(values, centre);
    values.retain(|&value| !beyond(value, centre, cut));
    let cut = SIGMA * scatter(values);
    let centre = median(values);
    values.retain(|&value| !beyond(value, centre, cut));
    mean(values.iter().copied())
}

/// What is not a number is not beyond anything.
fn beyond(value: f32, centre: f32, cut: f32) -> bool {
    (value - centre).abs() > cut
}

/// Median absolute deviation as sigma; the mean one where more than half of the values are the same.
fn deviation(values: &[f32], centre: f32) -> f32 {
    let mut off: Vec<f32> = values.iter().map(|value| (value - centre).abs()).collect();
    let sigma = (f64::from(median(&mut off)) / MAD) as f32;
    if sigma >= TINY {
        return sigma;
    }
    (f64::from(mean(off.into_iter())) / MEAN_DEVIATION) as f32
}

/// Standard deviation of values cut at [`SIGMA`], as that of the uncut ones.
fn scatter(values: &[f32]) -> f32 {
    let n = values.len() as f64;
    let mean = f64::from(mean(values.iter().copied()));
    let squares: f64 = values.iter().map(|value| f64::from(value * value)).sum();
    let variance = (n / (n - 1.0) * (squares / n - mean * mean)) as f32;
    let sigma = if variance >= 0.0 { f64::from(variance).sqrt() as f32 } else { 0.0 };
    let s = f64::from(SIGMA);
    let lost = -0.15405 + 0.90723 * s - 0.23584 * s * s + 0.020142 * s * s * s;
    (f64::from(sigma) / lost) as f32
}

fn mean(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len() as f64;
    (values.map(f64::from).sum::<f64>() / n) as f32
}

fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let half = values.len() / 2;
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    let lower = below.iter().copied().max_by(f32::total_cmp);
    match lower {
        Some(lower) if values.len().is_multiple_of(2) => (0.5 * f64::from(lower + upper)) as f32,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_count() {
        let mut values: Vec<f32> = (0..101).map(|i| 1000.0 + (i % 7) as f32).collect();
        let clean = resistant_mean(&mut values.clone());
        values.extend([9000.0, -5.0]);
        assert_eq!(resistant_mean(&mut values), clean);
        assert!((clean - 1003.0).abs() < 0.1);
    }

    #[test]
    fn equal_values_are_their_own_mean() {
        assert_eq!(resistant_mean(&mut vec![7.5; 40]), 7.5);
    }

    #[test]
    fn only_the_named_columns_and_rows_count() {
        let mut plane = vec![0.0f32; 6 * 8];
        for y in 1..5 {
            for x in [1, 2, 5, 6] {
                plane[y * 8 + x] = 4.0;
            }
        }
        let region = Region { y: 1..5, x: 3..5 };
        assert_eq!(level(&plane, 8, &region, [[1, 2], [5, 6]]), 4.0);
    }
}
