//! The clipped statistic by which HST pipelines measure the sky, after `stsci.imagestats`.
//!
//! Mean and standard deviation are taken between two limits, which then close in on the mean, again and again.
//! The mode and the mid-point come from a histogram of the last round. Its conventions are kept to the bit, since
//! the sky values in public headers come from it: 32-bit limits, deviations and squares, 64-bit sums, and bins
//! filled with one width and read with another.

use super::median::median;
use crate::{Error, Result, simd};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean of the last round.
    Mean,
    /// Median of the pixels of the last round.
    Median,
    /// Peak of the histogram, by a parabola through three bins.
    Mode,
    /// Half of the cumulative histogram.
    Midpoint,
}

/// How to measure it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipping {
    /// Lower limit; none is the lowest pixel.
    pub lower: Option<f64>,
    /// Upper limit; none is the highest pixel.
    pub upper: Option<f64>,
    /// Rounds after the first.
    pub rounds: usize,
    /// Threshold below the mean, in standard deviations.
    pub below: f64,
    /// Threshold above it.
    pub above: f64,
    /// Width of a bin, in standard deviations.
    pub width: f64,
}

/// A statistic and the pixels of the last round. NaN of zero pixels if there are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The statistic.
    pub value: f64,
    /// Pixels between the last limits.
    pub count: usize,
    /// Their standard deviation about their mean; NaN of one pixel.
    pub std: f64,
}

/// Measure the finite pixels of an image that are good; without `good`, all are.
///
/// ```
/// use upramp_kernels::stats::imagestats::{Clipping, Measure, measure};
/// let clipping = Clipping { lower: None, upper: None, rounds: 1, below: 2.0, above: 2.0, width: 0.1 };
/// let mut pixels = vec![1.0; 20];
/// pixels.extend([50.0, f32::NAN]);
/// assert_eq!(measure(&pixels, None, Measure::Mean, &clipping).map(|found| found.value), Ok(1.0));
/// ```
pub fn measure(
    pixels: &[f32],
    good: Option<&[bool]>,
    measure: Measure,
    clipping: &Clipping,
) -> Result<Found> {
    let mut kept = Vec::with_capacity(pixels.len());
    match good {
        None => kept.extend(pixels.iter().filter(|pixel| pixel.is_finite())),
        Some(good) if good.len() != pixels.len() => {
            let (got, expected) = (vec![good.len()], vec![pixels.len()]);
            return Err(Error::Shape { name: "good", got, expected });
        }
        Some(good) => {
            let both = pixels.iter().zip(good);
            kept.extend(both.filter(|(pixel, good)| **good & pixel.is_finite()).map(|(pixel, _)| pixel));
        }
    }
    statistic(&kept, measure, clipping)
}

/// Measure finite pixels.
fn statistic(pixels: &[f32], measure: Measure, clipping: &Clipping) -> Result<Found> {
    check(clipping)?;
    let none = Found { value: f64::NAN, count: 0, std: f64::NAN };
    let Some(&first) = pixels.first() else { return Ok(none) };
    let [lowest, highest] = simd::run(Extremes { pixels });
    let outer = [clipping.lower.unwrap_or(f64::from(lowest)), clipping.upper.unwrap_or(f64::from(highest))];
    let mut limits = outer;
    let mut last = round(pixels, first, limits);
    for _ in 0..clipping.rounds {
        if last.count == 0 {
            break;
        }
        let (mean, std) = (f64::from(last.mean), f64::from(last.std));
        // A NaN (the deviation of one pixel) leaves the outer limit.
        limits = [outer[0].max(mean - clipping.below * std), outer[1].min(mean + clipping.above * std)];
        last = round(pixels, first, limits);
    }
    if last.count == 0 {
        return Ok(none);
    }
    let value = match measure {
        Measure::Mean => f64::from(last.mean),
        // Without rounds the limits are not heeded.
        Measure::Median if clipping.rounds == 0 => middle(pixels),
        Measure::Median => {
            let [low, high] = limits.map(|limit| limit as f32);
            // As nearly all pixels are left, copying those is cheaper than a median that knows of limits.
            let mut kept = Vec::with_capacity(last.count);
            kept.extend(pixels.iter().filter(|&&pixel| (pixel >= low) & (pixel <= high)));
            middle(&kept)
        }
        Measure::Mode => Histogram::new(pixels, &last, clipping.width)?.mode(),
        Measure::Midpoint => Histogram::new(pixels, &last, clipping.width)?.midpoint(),
    };
    Ok(Found { value, count: last.count, std: f64::from(last.std) })
}

fn check(clipping: &Clipping) -> Result<()> {
    let Clipping { lower, upper, below, above, width, .. } = *clipping;
    if lower.is_some_and(f64::is_nan) {
        return Err(Error::value("lower", f64::NAN, "a number"));
    }
    if upper.is_some_and(f64::is_nan) {
        return Err(Error::value("upper", f64::NAN, "a number"));
    }
    for (name, value) in [("lsigma", below), ("usigma", above), ("width", width)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::value(name, value, "a positive number"));
        }
    }
    Ok(())
}

/// Median, rounded to the type of the pixels.
fn middle(pixels: &[f32]) -> f64 {
    median(pixels).map_or(f64::NAN, |value| f64::from(value as f32))
}

/// What one round finds between its limits.
#[derive(Debug, Clone, Copy)]
struct Round {
    count: usize,
    mean: f32,
    std: f32,
    min: f32,
    max: f32,
}

fn round(pixels: &[f32], first: f32, limits: [f64; 2]) -> Round {
    let [low, high] = limits.map(|limit| limit as f32);
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
struct Inside<'a> {
    pixels: &'a [f32],
    low: f32,
    high: f32,
}

struct Sums {
    count: usize,
    sum: f64,
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
struct Squares<'a> {
    pixels: &'a [f32],
    low: f32,
    high: f32,
    mean: f32,
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

/// Bins at most: a histogram of more is a mistake in the bin width.
const MOST_BINS: f64 = 1e8;

/// Counts of the pixels from the lowest to the highest of the last round.
struct Histogram {
    bins: Vec<u32>,
    start: f64,
    /// The width bins are read with; they are filled with one up to a bin's share of the range wider.
    width: f64,
}

impl Histogram {
    fn new(pixels: &[f32], last: &Round, width: f64) -> Result<Self> {
        let smallest = 10.0 * f64::from(f32::EPSILON);
        let (start, width) = (f64::from(last.min), width * f64::from(last.std));
        let range = f64::from(last.max) - start;
        let single = width < smallest || range.abs() < smallest || width > range || width.is_nan();
        let bins = if single { 1.0 } else { (range / width).floor() + 1.0 };
        if bins > MOST_BINS {
            return Err(Error::value(
                "width",
                width,
                "bins of which the range of the pixels holds 1e8 at most",
            ));
        }
        let filled = if single { range } else { range / (bins - 1.0) } as f32;
        let mut counts = vec![0u32; bins as usize];
        let end = last.min + filled * bins as f32;
        let scale = 1.0 / filled;
        for &pixel in pixels {
            if pixel >= last.min && pixel < end {
                let index = (scale * (pixel - last.min)) as usize;
                // Rounding may push the last value over the end.
                if let Some(count) = counts.get_mut(index) {
                    *count += 1;
                }
            }
        }
        Ok(Self { bins: counts, start, width })
    }

    fn mode(&self) -> f64 {
        let Self { bins, start, width } = self;
        let peak = bins.iter().copied().max().unwrap_or(0);
        let p = bins.iter().position(|&count| count == peak).unwrap_or(0);
        let centre = match bins.len() {
            2 if bins[0] == bins[1] => 1.0,
            len if p == 0 || p + 1 == len => p as f64 + 0.5,
            _ => {
                let [before, at, after] = [bins[p - 1], bins[p], bins[p + 1]].map(f64::from);
                let (rise, fall) = (at - before, at - after);
                // The order of the operations decides the last bit.
                let shift = if rise + fall == 0.0 { 0.0 } else { 0.5 * (rise - fall) / (rise + fall) };
                (p as f64 + 1.0 + shift) - 0.5
            }
        };
        start + centre * width
    }

    fn midpoint(&self) -> f64 {
        let Self { bins, start, width } = self;
        // So it is: of a single bin, the count is returned.
        if let [count] = bins[..] {
            return f64::from(count);
        }
        let total = bins.iter().map(|&count| u64::from(count)).sum::<u64>() as f32;
        let mut summed = 0u64;
        let mut before = 0.0f32;
        for (index, &count) in bins.iter().enumerate() {
            summed += u64::from(count);
            let fraction = summed as f32 / total;
            if fraction >= 0.5 {
                let edge = start + index as f64 * width;
                let share = (0.5 - before) / (fraction - before);
                return edge + f64::from(share * *width as f32);
            }
            before = fraction;
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Clipping =
        Clipping { lower: None, upper: None, rounds: 5, below: 4.0, above: 4.0, width: 0.1 };

    fn value(pixels: &[f32], measure: Measure, clipping: Clipping) -> f64 {
        statistic(pixels, measure, &clipping).unwrap().value
    }

    /// A deterministic bell: sums of twelve uniform numbers, mean 0, deviation 1.
    fn bell(count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn outliers_are_clipped_from_every_statistic() {
        let mut pixels: Vec<f32> = bell(40_000).iter().map(|x| 100.0 + x).collect();
        pixels.extend(vec![5e3; 400]);
        for (measure, within) in
            [(Measure::Mean, 0.02), (Measure::Median, 0.02), (Measure::Midpoint, 0.15), (Measure::Mode, 0.5)]
        {
            assert!((value(&pixels, measure, PLAIN) - 100.0).abs() < within, "{measure:?}");
        }
        let left = statistic(&pixels, Measure::Mean, &PLAIN).unwrap().count;
        assert!((39_900..=40_000).contains(&left), "{left}");
    }

    #[test]
    fn extremes_stay_at_a_limit_beyond_which_the_first_pixel_lies() {
        let limits = [1.0, 10.0];
        let outside = round(&[0.0, 2.0, 3.0], 0.0, limits);
        let inside = round(&[2.0, 3.0, 0.0], 2.0, limits);
        assert_eq!((outside.min, outside.max), (1.0, 3.0));
        assert_eq!((inside.min, inside.max), (2.0, 3.0));
        assert_eq!((outside.count, outside.mean), (2, 2.5));
    }

    #[test]
    fn limits_are_heeded_but_for_a_median_without_rounds() {
        let pixels = [1.0, 2.0, 3.0, 100.0, 101.0];
        let limited = Clipping { upper: Some(50.0), rounds: 0, ..PLAIN };
        assert_eq!(value(&pixels, Measure::Mean, limited), 2.0);
        assert_eq!(value(&pixels, Measure::Median, limited), 3.0);
        assert_eq!(value(&pixels, Measure::Median, Clipping { rounds: 1, ..limited }), 2.0);
    }

    #[test]
    fn nothing_and_one_pixel() {
        assert_eq!(statistic(&[], Measure::Mean, &PLAIN).unwrap().count, 0);
        let beyond = Clipping { lower: Some(5.0), ..PLAIN };
        assert!(statistic(&[1.0], Measure::Mean, &beyond).unwrap().value.is_nan());
        assert_eq!(value(&[2.5], Measure::Median, PLAIN), 2.5);
        assert!(value(&[2.5], Measure::Mode, PLAIN).is_nan());
    }

    #[test]
    fn only_good_finite_pixels_count() {
        let pixels = [f32::NAN, 7.0, 1.0, f32::INFINITY, 3.0];
        let good = [true, false, true, true, true];
        let found = measure(&pixels, Some(&good), Measure::Mean, &PLAIN).unwrap();
        assert_eq!(found, Found { value: 2.0, count: 2, std: f64::from(2.0f32.sqrt()) });
        assert!(measure(&pixels, Some(&good[1..]), Measure::Mean, &PLAIN).is_err());
    }

    #[test]
    fn bad_parameters_are_named() {
        for (clipping, name) in [
            (Clipping { lower: Some(f64::NAN), ..PLAIN }, "lower"),
            (Clipping { below: 0.0, ..PLAIN }, "lsigma"),
            (Clipping { above: f64::INFINITY, ..PLAIN }, "usigma"),
            (Clipping { width: -1.0, ..PLAIN }, "width"),
        ] {
            let message = statistic(&[1.0], Measure::Mean, &clipping).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
