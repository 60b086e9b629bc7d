//! Mean or median of the last round from a single pass over the pixels, where the rounds would take two each.
//!
//! Clipping a sample tells between which values (the core) nearly all pixels lie that every round keeps, and near
//! which the median lies (the middle). One pass sums the core and sets aside what is outside of it or in the
//! middle, a few per cent. The rounds then need only those. Whenever a limit cuts into the core, or the median is
//! not in the middle, there is no answer, and the rounds are taken one by one.
//!
//! Sums of squares are those of 64-bit numbers, where the rounds square 32-bit deviations: in one of about a
//! thousand cases the standard deviation differs by its last bit, which matters only if a pixel lies
//! exactly there.

use super::{Clipping, Found, Measure, middle, rounds};
use crate::simd;

/// Pixels for which this is worth it.
const WORTHWHILE: usize = 1 << 14;
/// Pixels of the sample: as its square root does, the part of the pixels shrinks that is set aside for the median.
const SAMPLE: [usize; 2] = [2048, 4096];
/// Pixels of the sample that are clipped: limits need not be as sharp as the median.
const PILOT: usize = 512;
/// One pixel in so many, within these bounds.
const THINNING: usize = 128;
/// Half the width of the core, in standard deviations of the clipped sample, and at most this part of the threshold.
const CORE: f64 = 2.6;
const SHARE: f64 = 0.65;
/// Half the width of the middle, in standard deviations of the sample's median rank.
const MARGIN: f64 = 3.5;

/// The statistic of the finite ones of `pieces`; None if it takes more than a pass.
pub(super) fn measure(pieces: &[&[f32]], measure: Measure, clipping: &Clipping) -> Option<Found> {
    let count = pieces.iter().map(|piece| piece.len()).sum();
    if count < WORTHWHILE || clipping.rounds == 0 || !matches!(measure, Measure::Mean | Measure::Median) {
        return None;
    }
    let guess = Guess::new(sample(pieces, count), clipping)?;
    let pass = Pass::new(&guess, pieces);
    let limits = pass.limits(clipping)?;
    let last = pass.round(limits);
    let value = match measure {
        Measure::Mean => f64::from(last.mean),
        _ => pass.median(limits, last.count)?,
    };
    Some(Found { value, count: last.count, std: f64::from(last.std) })
}

/// Finite pixels from everywhere.
fn sample(pieces: &[&[f32]], count: usize) -> Vec<f32> {
    // An odd step does not fall in step with the columns of an image.
    let step = (count / (count / THINNING).clamp(SAMPLE[0], SAMPLE[1])) | 1;
    let mut places = Vec::with_capacity(count / step + 1);
    let mut skip = 0;
    for piece in pieces {
        places.extend(piece.iter().skip(skip).step_by(step));
        skip =
            if piece.len() > skip { (step - (piece.len() - skip) % step) % step } else { skip - piece.len() };
    }
    // Each is on a line of the cache of its own: all are asked for before the first is waited for.
    places.iter().for_each(|place| simd::prefetch(*place));
    let mut found = vec![0.0; places.len()];
    let mut finite = 0;
    for place in places {
        // Written always, kept if the place moves on: no branch to mispredict.
        found[finite] = *place;
        finite += usize::from(place.is_finite());
    }
    found.truncate(finite);
    found
}

/// What the sample tells.
#[derive(Clone, Copy)]
struct Guess {
    core: [f32; 2],
    middle: [f32; 2],
}

impl Guess {
    fn new(mut sample: Vec<f32>, clipping: &Clipping) -> Option<Self> {
        let step = sample.len().div_ceil(PILOT).max(1);
        let pilot: Vec<f32> = sample.iter().copied().step_by(step).collect();
        let (last, [low, high]) = rounds::clip(&pilot, clipping)?;
        let under = sample.iter().filter(|&&pixel| pixel < low).count();
        let over = sample.iter().filter(|&&pixel| pixel > high).count();
        let kept = sample.len() - under - over;
        let margin = (MARGIN * 0.5 * (kept as f64).sqrt()) as usize + 1;
        if margin >= kept / 2 {
            return None;
        }
        let rank = under + kept / 2 - margin;
        let (_, &mut first, after) = sample.select_nth_unstable_by(rank, f32::total_cmp);
        let second = *after.select_nth_unstable_by(2 * margin - 1, f32::total_cmp).1;
        let width = |threshold: f64| (CORE.min(SHARE * threshold) * f64::from(last.std)) as f32;
        let core = [last.mean - width(clipping.below), last.mean + width(clipping.above)];
        let inside = core[0] < first && second < core[1];
        inside.then_some(Self { core, middle: [first, second] })
    }
}

/// Pixels taken at a time.
const RUN: usize = 1024;
/// Of them in a line of the cache.
const LINE: usize = 16;
/// Sums kept side by side, as many on every processor.
const LANES: usize = 16;

/// The core, summed, and all other pixels.
struct Pass {
    core: [f32; 2],
    count: usize,
    /// Of differences from the first value of the middle, and of their squares.
    sum: f64,
    squares: f64,
    /// Infinite ones included, which lie between no limits.
    outside: Vec<f32>,
    first: f32,
    below_middle: usize,
    middle: Vec<f32>,
}

impl Pass {
    fn new(guess: &Guess, pieces: &[&[f32]]) -> Self {
        let &Guess { core: [low, high], middle: [first, second] } = guess;
        let (mut count, mut below_middle, mut sums) = (0, 0, [0.0; 2]);
        let (mut aside, mut set_aside) = (Vec::new(), 0);
        let next =
            |k: usize| pieces.get(k + 1).into_iter().flat_map(|piece| piece.chunks(LINE)).take(RUN / LINE);
        let runs =
            pieces.iter().enumerate().flat_map(|(k, piece)| piece.chunks(RUN).map(move |run| (k, run)));
        for (k, run) in runs {
            // The row after is elsewhere in memory.
            next(k).for_each(|line| simd::prefetch(&line[0]));
            let [sum, squares] = simd::run(Core { pixels: run, core: [low, high], pivot: first });
            sums = [sums[0] + sum, sums[1] + squares];
            if aside.len() < set_aside + RUN {
                aside.resize(2 * set_aside + RUN, 0.0);
            }
            let (left, below) = simd::set_aside(run, [low, first, second, high], &mut aside[set_aside..]);
            count += run.len() - left;
            below_middle += below;
            set_aside += left;
        }
        let aside = &aside[..set_aside];
        let outside = take(aside, [f32::NEG_INFINITY, low, high, f32::INFINITY]);
        let middle = take(aside, [first, second.next_up(), f32::INFINITY, f32::INFINITY]);
        count += middle.len();
        let [sum, squares] = sums;
        Self { core: [low, high], count, sum, squares, outside, first, below_middle, middle }
    }

    /// Limits of the last round.
    fn limits(&self, clipping: &Clipping) -> Option<[f32; 2]> {
        let outer =
            [clipping.lower.unwrap_or(f64::from(f32::MIN)), clipping.upper.unwrap_or(f64::from(f32::MAX))];
        let mut limits = outer.map(|limit| limit as f32);
        for _ in 0..clipping.rounds {
            if !self.is_whole(limits) {
                return None;
            }
            let next = rounds::next_limits(&self.round(limits), outer, clipping);
            if next == limits {
                break; // and so would be all to come
            }
            limits = next;
        }
        self.is_whole(limits).then_some(limits)
    }

    /// Whether all of the core lies between the limits.
    fn is_whole(&self, limits: [f32; 2]) -> bool {
        limits[0] <= self.core[0] && self.core[1] <= limits[1]
    }

    fn round(&self, [low, high]: [f32; 2]) -> rounds::Round {
        let pixels = &self.outside;
        let outer = simd::run(rounds::Inside { pixels, low, high });
        let count = self.count + outer.count;
        let pivot = f64::from(self.first);
        let sum = self.sum + (outer.sum - outer.count as f64 * pivot);
        let mean = (pivot + sum / count as f64) as f32;
        let off = f64::from(mean) - pivot;
        let squares = self.squares - off * (2.0 * self.sum - off * self.count as f64)
            + simd::run(rounds::Squares { pixels, low, high, mean });
        rounds::Round {
            count,
            mean,
            std: (squares / (count as f64 - 1.0)).sqrt() as f32,
            min: low,
            max: high,
        }
    }

    /// Median of the `count` pixels between the limits.
    fn median(&self, [low, _]: [f32; 2], count: usize) -> Option<f64> {
        let under = self.outside.iter().filter(|&&pixel| (pixel >= low) & (pixel < self.first)).count();
        let below = self.below_middle + under;
        let (lower, upper) = ((count - 1) / 2, count / 2);
        if lower < below || upper >= below + self.middle.len() {
            return None;
        }
        let mut near = self.middle.clone();
        let (_, &mut least, after) = near.select_nth_unstable_by(lower - below, f32::total_cmp);
        let most = if upper == lower { least } else { after.iter().copied().min_by(f32::total_cmp)? };
        Some(middle(&[least, most]))
    }
}

/// Values that lie in one of two ranges ([`simd::take`]).
fn take(values: &[f32], ranges: [f32; 4]) -> Vec<f32> {
    let mut found = vec![0.0; values.len()];
    let (count, _) = simd::take(values, ranges, &mut found);
    found.truncate(count);
    found
}

/// Sums of the differences of the core's pixels from the pivot, and of their squares.
struct Core<'a> {
    pixels: &'a [f32],
    core: [f32; 2],
    pivot: f32,
}

impl simd::Loop for Core<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let Self { pixels, core: [low, high], pivot } = self;
        let (mut sum, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
        let mut add = |l: usize, pixel: f32| {
            // What lies outside adds nothing.
            let inside = (pixel >= low) & (pixel <= high);
            let off = f64::from(if inside { pixel } else { pivot }) - f64::from(pivot);
            sum[l] += off;
            squares[l] += off * off;
        };
        let (whole, rest) = pixels.as_chunks::<LANES>();
        for pixels in whole {
            for l in 0..LANES {
                add(l, pixels[l]);
            }
        }
        for (l, &pixel) in rest.iter().enumerate() {
            add(l, pixel);
        }
        [sum.iter().sum(), squares.iter().sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{gather, statistic};
    use super::*;
    use proptest::prelude::*;

    const CLIPPING: Clipping =
        Clipping { lower: None, upper: None, rounds: 5, below: 4.0, above: 4.0, width: 0.1 };

    /// A bell with sources, holes and pixels without a value.
    fn field(seed: u64, count: usize, sources: u64, level: f32) -> Vec<f32> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..count)
            .map(|_| {
                let noise = (0..12).map(|_| next() as f32 / (1u64 << 31) as f32).sum::<f32>() - 6.0;
                match next() % 1000 {
                    0 => f32::NAN,
                    1 => f32::INFINITY,
                    2 => -1e4,
                    kind if kind < 3 + sources => level + noise.exp() * 20.0,
                    _ => level + noise,
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_rounds(
            seed in 0u64..1000, count in WORTHWHILE..60_000, sources in 0u64..200, level in -100f32..1000.0,
            threshold in 2.0f64..5.0, upper in prop::option::of(900.0f64..1100.0), width in 1usize..3000,
        ) {
            let clipping = Clipping { below: threshold, above: threshold, upper, ..CLIPPING };
            let pixels = field(seed, count, sources, level);
            let pieces: Vec<&[f32]> = pixels.chunks(width).collect();
            for measure in [Measure::Mean, Measure::Median] {
                if let Some(found) = super::measure(&pieces, measure, &clipping) {
                    let slow = statistic(&gather(&pieces), measure, &clipping).unwrap();
                    prop_assert_eq!((found.value, found.count), (slow.value, slow.count));
                    prop_assert!((found.std / slow.std - 1.0).abs() < 2e-7);
                }
            }
        }
    }

    #[test]
    fn an_ordinary_field_takes_one_pass() {
        for sources in [0, 30] {
            let pixels = field(7, 200_000, sources, 50.0);
            let pieces: Vec<&[f32]> = pixels.chunks(500).collect();
            for measure in [Measure::Mean, Measure::Median] {
                let found = super::measure(&pieces, measure, &CLIPPING).expect("one pass");
                assert_eq!(found.value, statistic(&gather(&pieces), measure, &CLIPPING).unwrap().value);
            }
        }
    }

    #[test]
    fn samples_are_even() {
        let pixels: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
        for width in [1, 3, 7, 40_000] {
            let pieces: Vec<&[f32]> = pixels.chunks(width).collect();
            assert!(sample(&pieces, 40_000).windows(2).all(|pair| pair[1] - pair[0] == 19.0), "{width}");
        }
    }
}
