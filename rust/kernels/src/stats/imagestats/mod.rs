//! The clipped statistic by which HST pipelines measure the sky, after `stsci.imagestats`.
//!
//! Mean and standard deviation are taken between two limits, which then close in on the mean, again and again.
//! The mode and the mid-point come from a histogram of the last round. Its conventions are kept to the bit, since
//! the sky values in public headers come from it: 32-bit limits, deviations and squares, 64-bit sums, and bins
//! filled with one width and read with another.
//!
//! [`rounds`] and [`histogram`] the plain way, [`single_pass`] the quick one that ends at the same numbers.

mod histogram;
mod rounds;
mod single_pass;

use super::median::median;
use crate::{Error, Result};
use histogram::Histogram;

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
    let Some(good) = good else { return measure_pieces(&[pixels], measure, clipping) };
    if good.len() != pixels.len() {
        let (got, expected) = (vec![good.len()], vec![pixels.len()]);
        return Err(Error::Shape { name: "good", got, expected });
    }
    let both = pixels.iter().zip(good);
    let kept: Vec<f32> = both.filter(|(_, good)| **good).map(|(&pixel, _)| pixel).collect();
    measure_pieces(&[&kept], measure, clipping)
}

/// Measure the finite pixels of pieces of an image.
pub fn measure_pieces(pieces: &[&[f32]], measure: Measure, clipping: &Clipping) -> Result<Found> {
    check(clipping)?;
    match single_pass::measure(pieces, measure, clipping) {
        Some(found) => Ok(found),
        None => statistic(&gather(pieces), measure, clipping),
    }
}

/// The finite pixels of all pieces.
fn gather(pieces: &[&[f32]]) -> Vec<f32> {
    let mut kept = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        kept.extend(piece.iter().filter(|pixel| pixel.is_finite()));
    }
    kept
}

/// Measure finite pixels.
fn statistic(pixels: &[f32], measure: Measure, clipping: &Clipping) -> Result<Found> {
    let Some((last, [low, high])) = rounds::clip(pixels, clipping) else {
        return Ok(Found { value: f64::NAN, count: 0, std: f64::NAN });
    };
    let value = match measure {
        Measure::Mean => f64::from(last.mean),
        // Without rounds the limits are not heeded.
        Measure::Median if clipping.rounds == 0 => middle(pixels),
        Measure::Median => {
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
        let outside = rounds::round(&[0.0, 2.0, 3.0], 0.0, limits);
        let inside = rounds::round(&[2.0, 3.0, 0.0], 2.0, limits);
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
            let message = measure(&[1.0], None, Measure::Mean, &clipping).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
