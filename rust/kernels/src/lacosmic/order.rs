//! Lower medians: of `n` values the one of rank `(n - 1) / 2`, counted from 0, and never a mean of two.

use crate::{par, simd};

/// Lower median of a few values, which are left in another order.
pub fn lower_median(values: &mut [f32]) -> Option<f32> {
    let rank = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(rank, f32::total_cmp).1)
}

/// Values to look at, to guess where the median is.
const SAMPLE: usize = 1 << 15;
/// Of so many in a row, which cost no more than one.
const RUN: usize = 4;
/// Pixels to an item of work.
const ITEM: usize = 1 << 16;

/// Lower median of the pixels of `plane` that `skip` and `hit` leave, and of `more`, without a copy of them all.
///
/// The median of a sample and its uncertainty give two values with the median between them for certain but for
/// adversaries: what lies below is counted, what lies between collected, and the rest of the search is among those.
pub fn lower_median_of(
    plane: &[f32],
    skip: &[u8],
    hit: &[bool],
    mut more: Vec<f32>,
    threads: usize,
) -> Option<f32> {
    let stride = plane.len() / SAMPLE + 1;
    let runs = (0..plane.len()).step_by(RUN * stride);
    let places = runs.flat_map(|first| first..(first + RUN).min(plane.len()));
    let mut sample: Vec<f32> = places.filter(|&p| skip[p] == 0 && !hit[p]).map(|p| plane[p]).collect();
    // Five standard deviations of the rank of the median.
    let spread = 3 + (2.5 * (sample.len() as f64).sqrt()) as usize;
    let middle = sample.len() / 2;
    let mut at = |rank: usize| *sample.select_nth_unstable_by(rank, f32::total_cmp).1;
    let guess =
        if middle > spread { [at(middle - spread), at(middle + spread)] } else { [f32::MIN, f32::MAX] };
    for [low, high] in [guess, [f32::MIN, f32::MAX]] {
        let parts = par::map(plane.len().div_ceil(ITEM), threads, |item| {
            let range = item * ITEM..((item + 1) * ITEM).min(plane.len());
            let (plane, skip, hit) = (&plane[range.clone()], &skip[range.clone()], &hit[range]);
            simd::run(Split { plane, skip, hit, low, high })
        });
        let below = |values: &[f32]| values.iter().filter(|value| **value < low).count();
        let (mut total, mut under) = (more.len(), below(&more));
        let mut near: Vec<f32> = more.iter().copied().filter(|value| (low..=high).contains(value)).collect();
        for part in parts {
            total += part.total;
            under += part.below;
            near.extend(part.near);
        }
        let rank = total.checked_sub(1)? / 2;
        if rank >= under && rank - under < near.len() {
            return Some(*near.select_nth_unstable_by(rank - under, f32::total_cmp).1);
        }
        more.shrink_to_fit();
    }
    None
}

/// Good values of an item: how many, how many below `low`, and those up to `high`.
struct Split<'a> {
    plane: &'a [f32],
    skip: &'a [u8],
    hit: &'a [bool],
    low: f32,
    high: f32,
}

struct Part {
    total: usize,
    below: usize,
    near: Vec<f32>,
}

impl simd::Loop for Split<'_> {
    type Output = Part;

    #[inline(always)]
    fn run(self) -> Part {
        const LINE: usize = 1024;
        let Self { plane, skip, hit, low, high } = self;
        let mut part = Part { total: 0, below: 0, near: Vec::new() };
        let (mut good, mut near) = ([0.0f32; LINE], [0.0f32; LINE]);
        for ((plane, skip), hit) in plane.chunks(LINE).zip(skip.chunks(LINE)).zip(hit.chunks(LINE)) {
            let mut left_out = 0;
            for (x, value) in plane.iter().enumerate() {
                let out = (skip[x] != 0) | hit[x];
                left_out += u32::from(out);
                // What does not count goes above all limits.
                good[x] = if out | value.is_nan() { f32::INFINITY } else { *value };
            }
            let limits = [f32::NEG_INFINITY, low, high, f32::INFINITY];
            let (kept, below) = simd::set_aside(&good[..plane.len()], limits, &mut near);
            part.total += plane.len() - left_out as usize;
            part.below += below;
            part.near.extend_from_slice(&near[..kept]);
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, mut seed: u32) -> Vec<f32> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 20) as f32 - 2000.0) / 64.0
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn both_ways_agree_with_sorting() {
        for n in (0..60).chain([1 << 17]) {
            let plane = numbers(n, 7);
            let skip: Vec<u8> = (0..n).map(|p| u8::from(p % 5 == 3)).collect();
            let hit: Vec<bool> = (0..n).map(|p| p % 7 == 2).collect();
            let more = numbers(n / 3, 99);
            let mut all = more.clone();
            all.extend((0..n).filter(|&p| skip[p] == 0 && !hit[p]).map(|p| plane[p]));
            let mut sorted = all.clone();
            sorted.sort_by(f32::total_cmp);
            let expected = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
            assert_eq!(lower_median(&mut all), expected);
            assert_eq!(lower_median_of(&plane, &skip, &hit, more, 2), expected);
        }
    }

    #[test]
    fn an_adversary_of_the_sample_loses() {
        // Every value that the sample looks at is large, all others are small.
        let n = 1 << 18;
        let stride = n / SAMPLE + 1;
        let plane: Vec<f32> = (0..n).map(|p| if p % (RUN * stride) < RUN { 1e6 } else { p as f32 }).collect();
        let mut sorted = plane.clone();
        let expected = lower_median(&mut sorted);
        assert_eq!(lower_median_of(&plane, &vec![0; n], &vec![false; n], Vec::new(), 1), expected);
    }
}
