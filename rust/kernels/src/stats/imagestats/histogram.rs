//! The histogram of the last round, of which the mode and the mid-point are read.

use super::rounds::Round;
use crate::{Error, Result};

/// Bins at most: a histogram of more is a mistake in the bin width.
const MOST_BINS: f64 = 1e8;

/// Counts of the pixels from the lowest to the highest of the last round.
pub(super) struct Histogram {
    bins: Vec<u32>,
    start: f64,
    /// The width bins are read with; they are filled with one up to a bin's share of the range wider.
    width: f64,
}

impl Histogram {
    pub fn new(pixels: &[f32], last: &Round, width: f64) -> Result<Self> {
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

    pub fn mode(&self) -> f64 {
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

    pub fn midpoint(&self) -> f64 {
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
