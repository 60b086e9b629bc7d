//! Exact median by counting instead of sorting.
//!
//! A float32 maps to an integer of the same order; a histogram of the upper 16 bits finds the bin of the
//! middle value in one pass, and only that bin (about 1 % of a sky image) is gathered and searched.

/// Median of finite-or-infinite values, NaN left out: for an even count the mean of the two middle ones.
///
/// `values` is called twice and must give the same values both times. None without a value.
///
/// ```
/// use upramp_kernels::stats::median::median;
/// assert_eq!(median(|| [3.0, f32::NAN, 1.0, 2.0].into_iter()), Some(2.0));
/// assert_eq!(median(|| [4.0, 1.0].into_iter()), Some(2.5));
/// ```
pub fn median<I: Iterator<Item = f32>>(values: impl Fn() -> I) -> Option<f64> {
    let mut histogram = vec![0u32; 1 << 16];
    let mut count = 0usize;
    for value in values().filter(|value| !value.is_nan()) {
        histogram[(order(value) >> 16) as usize] += 1;
        count += 1;
    }
    if count == 0 {
        return None;
    }
    let (low, high) = ((count - 1) / 2, count / 2);
    let (low_bin, below_low) = bin_of(&histogram, low);
    let (high_bin, below_high) = bin_of(&histogram, high);
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for value in values().filter(|value| !value.is_nan()) {
        let bin = (order(value) >> 16) as usize;
        if bin == low_bin {
            lows.push(value);
        } else if bin == high_bin {
            highs.push(value);
        }
    }
    let lower = select(&mut lows, low - below_low);
    let upper = match high_bin == low_bin {
        true => select(&mut lows, high - below_high),
        false => select(&mut highs, high - below_high),
    };
    Some(if low == high { f64::from(lower) } else { 0.5 * (f64::from(lower) + f64::from(upper)) })
}

/// An integer that sorts as the value does.
#[inline]
fn order(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}

/// The bin that holds the value of this rank, and how many values lie in the bins before.
fn bin_of(histogram: &[u32], rank: usize) -> (usize, usize) {
    let mut below = 0;
    for (bin, &count) in histogram.iter().enumerate() {
        if below + count as usize > rank {
            return (bin, below);
        }
        below += count as usize;
    }
    (histogram.len() - 1, below)
}

fn select(values: &mut [f32], rank: usize) -> f32 {
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut values: Vec<f32>) -> Option<f64> {
        values.retain(|value| !value.is_nan());
        values.sort_by(f32::total_cmp);
        let n = values.len();
        (n > 0).then(|| 0.5 * (f64::from(values[(n - 1) / 2]) + f64::from(values[n / 2])))
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(values in prop::collection::vec(
            prop_oneof![-1e3f32..1e3, Just(0.0), Just(-0.0), Just(f32::NAN), -1e-3f32..1e-3], 0..200)) {
            let exact = sorted(values.clone());
            prop_assert_eq!(median(|| values.iter().copied()), exact);
        }
    }

    #[test]
    fn without_values_there_is_no_median() {
        assert_eq!(median(|| [f32::NAN; 3].into_iter()), None);
    }
}
