//! A round of clipping, as the original takes it: two passes, one for the mean and one for the deviations from it.

use super::Clipping;
use crate::simd;

/// What one round finds between its limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub count: usize,
    pub mean: f32,
    pub std: f32,
    pub min: f32,
    pub max: f32,
}

/// All rounds over finite pixels: the last, and its limits. None if none is left.
pub(super) fn clip(pixels: &[f32], clipping: &Clipping) -> Option<(Round, [f32; 2])> {
    let &first = pixels.first()?;
    let [lowest, highest] = simd::run(Extremes { pixels });
    let outer = [clipping.lower.unwrap_or(f64::from(lowest)), clipping.upper.unwrap_or(f64::from(highest))];
    let mut limits = outer.map(|limit| limit as f32);
    let mut last = round(pixels, first, limits);
    for _ in 0..clipping.rounds {
        if last.count == 0 {
            break;
        }
        let next = next_limits(&last, outer, clipping);
        if next == limits {
            break; // and so would be all to come
        }
        limits = next;
        last = round(pixels, first, limits);
    }
    (last.count > 0).then_some((last, limits))
}

/// Limits of the round after `last`.
pub(super) fn next_limits(last: &Round, outer: [f64; 2], clipping: &Clipping) -> [f32; 2] {
    let (mean, std) = (f64::from(last.mean), f64::from(last.std));
    // A NaN (the deviation of one pixel) leaves the outer limit.
    let limits = [outer[0].max(mean - clipping.below * std), outer[1].min(mean + clipping.above * std)];
    limits.map(|limit| limit as f32)
}

pub(super) fn round(pixels: &[f32], first: f32, [low, high]: [f32; 2]) -> Round {
    let inside = simd::run(Inside { pixels, low, high });
    let mean = (inside.sum / inside.count as f64) as f32;
    // The search for the extremes starts at the first pixel, moved to the nearer limit: if that pixel lies
    // outside, one of the extremes stays at the limit.
    let min = low.max(first).min(inside.min);
    let max = high.min(first).max(inside.max);
    let squares = simd::run(Squares { pixels, low: min, high: max, mean });
    let std = (squares / (inside.count as f64 - 1.0)).sqrt() as f32;
    Round { count: inside.count, mean, std, min, max }
}

/// Sums kept side by side, as many on every processor: the same answer on all.
const LANES: usize = 16;

/// Lowest and highest pixel.
struct Extremes<'a> {
    pixels: &'a [f32],
}

impl simd::Loop for Extremes<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run(self) -> [f32; 2] {
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (whole, rest) = self.pixels.as_chunks::<LANES>();
        for pixels in whole {
            for l in 0..LANES {
                low[l] = if pixels[l] < low[l] { pixels[l] } else { low[l] };
                high[l] = if pixels[l] > high[l] { pixels[l] } else { high[l] };
            }
        }
        let (low, high) = (low.iter().chain(rest), high.iter().chain(rest));
        [low.copied().fold(f32::INFINITY, f32::min), high.copied().fold(f32::NEG_INFINITY, f32::max)]
    }
}

/// Number, sum and extremes of the pixels between two limits.
pub(super) struct Inside<'a> {
    pub pixels: &'a [f32],
    pub low: f32,
    pub high: f32,
}

pub(super) struct Sums {
    pub count: usize,
    pub sum: f64,
    min: f32,
    max: f32,
}

impl simd::Loop for Inside<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run(self) -> Sums {
        let Self { pixels, low, high } = self;
        let mut sum = [0.0f64; LANES];
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut count = 0usize;
        let (whole, rest) = pixels.as_chunks::<LANES>();
        // Counts as numbers of the pixels' own width keep the lanes full; a block is too short to overflow them.
        for block in whole.chunks(1 << 16) {
            let mut counts = [0u32; LANES];
            for pixels in block {
                for l in 0..LANES {
                    let pixel = pixels[l];
                    let good = (pixel >= low) & (pixel <= high);
                    counts[l] += u32::from(good);
                    sum[l] += f64::from(if good { pixel } else { 0.0 });
                    let (least, most) = if good { (pixel, pixel) } else { (min[l], max[l]) };
                    min[l] = if least < min[l] { least } else { min[l] };
                    max[l] = if most > max[l] { most } else { max[l] };
                }
            }
            count += counts.iter().sum::<u32>() as usize;
        }
        for (l, &pixel) in rest.iter().enumerate() {
            if (pixel >= low) & (pixel <= high) {
                count += 1;
                sum[l] += f64::from(pixel);
                (min[l], max[l]) = (min[l].min(pixel), max[l].max(pixel));
            }
        }
        Sums {
            count,
            sum: sum.iter().sum(),
            min: min.into_iter().fold(f32::INFINITY, f32::min),
            max: max.into_iter().fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

/// Sum of the squared deviations from the mean of the pixels between two limits.
pub(super) struct Squares<'a> {
    pub pixels: &'a [f32],
    pub low: f32,
    pub high: f32,
    pub mean: f32,
}

impl simd::Loop for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { pixels, low, high, mean } = self;
        let square = |pixel: f32| {
            let off = pixel - mean;
            f64::from(if (pixel >= low) & (pixel <= high) { off * off } else { 0.0 })
        };
        let mut sum = [0.0f64; LANES];
        let (whole, rest) = pixels.as_chunks::<LANES>();
        for pixels in whole {
            for l in 0..LANES {
                sum[l] += square(pixels[l]);
            }
        }
        for (l, &pixel) in rest.iter().enumerate() {
            sum[l] += square(pixel);
        }
        sum.iter().sum()
    }
}
