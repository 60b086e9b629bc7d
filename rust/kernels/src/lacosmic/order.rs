//! Lower medians: of `n` values the one of rank `(n - 1) / 2`, counted from 0, and never a mean of two.

use crate::par;

/// Lower median of a few values, which are left in another order.
pub fn lower_median(values: &mut [f32]) -> Option<f32> {
    let rank = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(rank, f32::total_cmp).1)
}

/// Lower median of `value(0) .. value(count - 1)`, without those that are None, and without a copy: the upper
/// half of its bits by a histogram of all, then the lower half by one of those that share the upper.
pub fn lower_median_of(
    count: usize,
    threads: usize,
    value: impl Fn(usize) -> Option<f32> + Sync,
) -> Option<f32> {
    const HALF: usize = 1 << 16;
    /// Values to an item of work.
    const ITEM: usize = 1 << 20;
    let histogram = |upper: Option<u32>| {
        let bin = |key: u32| match upper {
            None => Some(key >> 16),
            Some(upper) => (key >> 16 == upper).then_some(key & 0xffff),
        };
        let parts = par::map(count.div_ceil(ITEM), threads, |item| {
            let mut bins = vec![0u32; HALF];
            for p in item * ITEM..((item + 1) * ITEM).min(count) {
                if let Some(bin) = value(p).map(sortable).and_then(bin) {
                    bins[bin as usize] += 1;
                }
            }
            bins
        });
        let mut bins = vec![0usize; HALF];
        for part in parts {
            bins.iter_mut().zip(part).for_each(|(sum, n)| *sum += n as usize);
        }
        bins
    };
    let find = |bins: &[usize], mut rank: usize| {
        bins.iter().enumerate().find_map(|(bin, &n)| {
            if rank < n {
                return Some((bin as u32, rank));
            }
            rank -= n;
            None
        })
    };
    let bins = histogram(None);
    let total: usize = bins.iter().sum();
    let (upper, rank) = find(&bins, total.checked_sub(1)? / 2)?;
    let (lower, _) = find(&histogram(Some(upper)), rank)?;
    Some(from_sortable(upper << 16 | lower))
}

/// Bits that sort as unsigned numbers the way the values do.
fn sortable(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn from_sortable(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree_with_sorting() {
        let mut seed = 7u32;
        for n in 0..60 {
            let values: Vec<f32> = (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((seed >> 20) as f32 - 2000.0) / 64.0
                })
                .collect();
            let kept = |p: usize| (p % 5 != 3).then_some(values[p]);
            let mut sorted: Vec<f32> = (0..n).filter_map(kept).collect();
            sorted.sort_by(f32::total_cmp);
            let expected = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
            assert_eq!(lower_median_of(n, 2, kept), expected);
            sorted.reverse();
            assert_eq!(lower_median(&mut sorted), expected);
        }
    }

    #[test]
    fn many_values_in_several_items() {
        let n = (1 << 20) + 77;
        assert_eq!(lower_median_of(n, 2, |p| Some(p as f32)), Some(((n - 1) / 2) as f32));
    }
}
