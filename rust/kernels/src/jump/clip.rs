//! Clipping of differences across integrations: what lies outside the bounds is a jump.

use crate::ramp::ols::Bits;
use crate::stack::Flags;
use crate::stats::median::median_of_few;

/// Rounds of clipping, at most.
const ROUNDS: usize = 5;

/// Bounds of `values`, which are clipped: median -+ `sigma` standard deviations of those inside the last bounds, until
/// nothing more falls out. NaN without values.
pub(super) fn bounds(values: &mut Vec<f64>, sigma: f64) -> [f64; 2] {
    let mut bounds = [f64::NAN; 2];
    for _ in 0..ROUNDS {
        let n = values.len();
        if n == 0 {
            return bounds;
        }
        let centre = median_of_few(values);
        let mean = values.iter().sum::<f64>() / n as f64;
        let spread = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64).sqrt();
        bounds = [centre - sigma * spread, centre + sigma * spread];
        values.retain(|&v| v >= bounds[0] && v <= bounds[1]);
        if values.len() == n {
            return bounds;
        }
    }
    bounds
}

/// Where all pixels of a plane have jumped, or are not to be used, it was not a jump.
pub(super) fn clear_whole_planes<D: Flags>(dq: &mut [D], plane: usize, bits: &Bits) {
    for words in dq.chunks_mut(plane) {
        if words.iter().all(|word| word.word() & (bits.jump | bits.do_not_use) != 0) {
            words.iter_mut().filter(|word| word.word() == bits.jump).for_each(|word| *word = D::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_falls_out_and_the_bounds_close() {
        let mut values: Vec<f64> = (0..101).map(|k| f64::from(k % 11 - 5)).collect();
        values.push(1000.0);
        let [low, high] = bounds(&mut values, 4.0);
        // The standard deviation of -5..=5 is the root of 10, nearly: 101 is not a multiple of 11.
        assert!((high - 4.0 * 10_f64.sqrt()).abs() < 0.2 && (low + 4.0 * 10_f64.sqrt()).abs() < 0.2);
        assert!(bounds(&mut Vec::new(), 4.0).iter().all(|bound| bound.is_nan()));
    }
}
