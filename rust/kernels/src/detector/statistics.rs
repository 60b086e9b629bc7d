//! Statistics of good pixels, as calwf3 puts them into the headers.

use crate::simd;
use crate::view::Region;

/// Mean, minimum and maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Mean, summed in float64.
    pub mean: f32,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

/// What is said of one read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GoodPixels {
    /// Pixels with none of the flags asked about and a positive error.
    pub count: usize,
    /// Of the signal.
    pub sci: Summary,
    /// Of the error.
    pub err: Summary,
    /// Of signal over error.
    pub snr: Summary,
}

/// Sums run side by side, for speed; their order matters only beyond float32.
const LANES: usize = 8;

#[inline(always)]
fn whole_and_rest<T>(row: &[T]) -> (&[[T; LANES]], &[T]) {
    row.as_chunks()
}

/// Summarise the pixels of `region` with `dq & flags == 0` and `err > 0` (rows are `nx` wide).
pub fn good_pixels(
    sci: &[f32],
    err: &[f32],
    dq: &[u16],
    flags: u16,
    region: &Region,
    nx: usize,
) -> GoodPixels {
    simd::run(Gather { sci, err, dq, flags, region, nx })
}

struct Gather<'a> {
    sci: &'a [f32],
    err: &'a [f32],
    dq: &'a [u16],
    flags: u16,
    region: &'a Region,
    nx: usize,
}

impl simd::Loop for Gather<'_> {
    type Output = GoodPixels;

    #[inline(always)]
    fn run(self) -> GoodPixels {
        let mut seen = Tally::default();
        for y in self.region.y.clone() {
            let row = y * self.nx + self.region.x.start..y * self.nx + self.region.x.end;
            let (sci, err, dq) = (&self.sci[row.clone()], &self.err[row.clone()], &self.dq[row]);
            let (sci, err, dq) = (whole_and_rest(sci), whole_and_rest(err), whole_and_rest(dq));
            for ((sci, err), dq) in sci.0.iter().zip(err.0).zip(dq.0) {
                seen.add(sci, err, dq, self.flags);
            }
            // What is left of a row, among pixels that do not qualify.
            let (mut s, mut e, mut q) = ([0.0; LANES], [0.0; LANES], [0; LANES]);
            s[..sci.1.len()].copy_from_slice(sci.1);
            e[..err.1.len()].copy_from_slice(err.1);
            q[..dq.1.len()].copy_from_slice(dq.1);
            seen.add(&s, &e, &q, self.flags);
        }
        seen.finish()
    }
}

/// Count, sums and extremes of signal, error and signal-to-noise ratio, in lanes.
#[derive(Clone, Copy)]
struct Tally {
    counts: [u32; LANES],
    sums: [[f64; LANES]; 3],
    low: [[f32; LANES]; 3],
    high: [[f32; LANES]; 3],
}

impl Default for Tally {
    fn default() -> Self {
        let (low, high) = ([[f32::INFINITY; LANES]; 3], [[f32::NEG_INFINITY; LANES]; 3]);
        Self { counts: [0; LANES], sums: [[0.0; LANES]; 3], low, high }
    }
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, sci: &[f32; LANES], err: &[f32; LANES], dq: &[u16; LANES], flags: u16) {
        // All ones for a pixel that counts: an error that is not a number does not.
        let mut good = [0u32; LANES];
        let mut ratio = [0.0; LANES];
        for l in 0..LANES {
            good[l] = if (u32::from(dq[l] & flags) == 0) & (err[l] > 0.0) { u32::MAX } else { 0 };
        }
        for l in 0..LANES {
            ratio[l] = sci[l] / err[l];
        }
        for l in 0..LANES {
            self.counts[l] += good[l] & 1;
        }
        for (i, values) in [sci, err, &ratio].into_iter().enumerate() {
            let (sums, low, high) = (&mut self.sums[i], &mut self.low[i], &mut self.high[i]);
            for l in 0..LANES {
                sums[l] += f64::from(select(good[l], values[l], 0.0));
            }
            for l in 0..LANES {
                let value = select(good[l], values[l], f32::INFINITY);
                low[l] = if value < low[l] { value } else { low[l] };
            }
            for l in 0..LANES {
                let value = select(good[l], values[l], f32::NEG_INFINITY);
                high[l] = if value > high[l] { value } else { high[l] };
            }
        }
    }

    fn finish(&self) -> GoodPixels {
        let count: u64 = self.counts.iter().copied().map(u64::from).sum();
        if count == 0 {
            return GoodPixels::default();
        }
        let summary = |i: usize| Summary {
            mean: (self.sums[i].iter().sum::<f64>() / count as f64) as f32,
            min: self.low[i].iter().copied().fold(f32::INFINITY, f32::min),
            max: self.high[i].iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        GoodPixels { count: count as usize, sci: summary(0), err: summary(1), snr: summary(2) }
    }
}

/// `value` where `mask` is all ones, `other` where it is zero: bits, since the compiler makes vectors of these.
#[inline(always)]
fn select(mask: u32, value: f32, other: f32) -> f32 {
    f32::from_bits(value.to_bits() & mask | other.to_bits() & !mask)
}

/// Mean of pixels that come run by run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    counts: [u32; LANES],
    sums: [f64; LANES],
}

impl Mean {
    /// Count in the pixels of a run without any of the flags `bad`.
    #[inline(always)]
    pub fn add(&mut self, values: &[f32], dq: &[u16], bad: u16) {
        let (values, dq) = (whole_and_rest(values), whole_and_rest(dq));
        let (mut counts, mut sums) = (self.counts, self.sums);
        for (values, dq) in values.0.iter().zip(dq.0) {
            let mut good = [0u32; LANES];
            for l in 0..LANES {
                good[l] = if u32::from(dq[l] & bad) == 0 { u32::MAX } else { 0 };
            }
            for l in 0..LANES {
                counts[l] += good[l] & 1;
            }
            for l in 0..LANES {
                sums[l] += f64::from(select(good[l], values[l], 0.0));
            }
        }
        for (&value, _) in values.1.iter().zip(dq.1).filter(|(_, dq)| **dq & bad == 0) {
            counts[0] += 1;
            sums[0] += f64::from(value);
        }
        (self.counts, self.sums) = (counts, sums);
    }

    /// This and what `other` has counted.
    pub fn join(mut self, other: &Self) -> Self {
        for l in 0..LANES {
            self.counts[l] += other.counts[l];
            self.sums[l] += other.sums[l];
        }
        self
    }

    /// The mean; 0 if no pixel counted.
    pub fn value(&self) -> f32 {
        let count: u64 = self.counts.iter().copied().map(u64::from).sum();
        if count == 0 { 0.0 } else { (self.sums.iter().sum::<f64>() / count as f64) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_leaves_out_flagged_pixels() {
        let mut mean = Mean::default();
        assert_eq!(mean.value(), 0.0);
        mean.add(&[1.0, 4.0, 2.0], &[0, 4, 1], 4);
        assert_eq!(mean.value(), 1.5);
        let mut rest = Mean::default();
        rest.add(&[3.0; 2 * LANES + 1], &[0; 2 * LANES + 1], 4);
        assert_eq!(mean.join(&rest).value(), (3.0 + 3.0 * 17.0) / 19.0);
    }

    #[test]
    fn leaves_out_flagged_pixels_and_those_without_error() {
        let region = Region { y: 0..1, x: 0..4 };
        let found = good_pixels(&[1.0, 3.0, 9.0, 9.0], &[1.0, 2.0, 0.0, 1.0], &[0, 2, 0, 4], 4, &region, 4);
        assert_eq!(found.count, 2);
        assert_eq!(found.sci, Summary { mean: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(found.snr, Summary { mean: 1.25, min: 1.0, max: 1.5 });
        assert_eq!(good_pixels(&[1.0], &[1.0], &[1], 1, &Region::whole([1, 1]), 1), GoodPixels::default());
    }
}
