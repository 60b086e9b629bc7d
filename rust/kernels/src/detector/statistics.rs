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
        let mut seen = [Tally::default(); LANES];
        for y in self.region.y.clone() {
            let row = y * self.nx + self.region.x.start..y * self.nx + self.region.x.end;
            let (sci, err, dq) = (&self.sci[row.clone()], &self.err[row.clone()], &self.dq[row]);
            let (sci, err, dq) = (whole_and_rest(sci), whole_and_rest(err), whole_and_rest(dq));
            for ((sci, err), dq) in sci.0.iter().zip(err.0).zip(dq.0) {
                for l in 0..LANES {
                    // An error that is not a number does not qualify.
                    let good = dq[l] & self.flags == 0 && err[l] > 0.0;
                    seen[l].add([sci[l], err[l], sci[l] / err[l]], good);
                }
            }
            for ((&s, &e), &q) in sci.1.iter().zip(err.1).zip(dq.1) {
                seen[0].add([s, e, s / e], q & self.flags == 0 && e > 0.0);
            }
        }
        let total = seen.iter().fold(Tally::default(), Tally::join);
        if total.count == 0 { GoodPixels::default() } else { total.finish() }
    }
}

/// Count, sums and extremes of signal, error and signal-to-noise ratio.
#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    sum: [f64; 3],
    low: [f32; 3],
    high: [f32; 3],
}

impl Default for Tally {
    fn default() -> Self {
        Self { count: 0, sum: [0.0; 3], low: [f32::INFINITY; 3], high: [f32::NEG_INFINITY; 3] }
    }
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, values: [f32; 3], good: bool) {
        self.count += u64::from(good);
        for (i, value) in values.into_iter().enumerate() {
            self.sum[i] += if good { f64::from(value) } else { 0.0 };
            self.low[i] = if good & (value < self.low[i]) { value } else { self.low[i] };
            self.high[i] = if good & (value > self.high[i]) { value } else { self.high[i] };
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.count += other.count;
        for i in 0..3 {
            self.sum[i] += other.sum[i];
            self.low[i] = self.low[i].min(other.low[i]);
            self.high[i] = self.high[i].max(other.high[i]);
        }
        self
    }

    fn finish(&self) -> GoodPixels {
        let summary = |i: usize| Summary {
            mean: (self.sum[i] / self.count as f64) as f32,
            min: self.low[i],
            max: self.high[i],
        };
        GoodPixels { count: self.count as usize, sci: summary(0), err: summary(1), snr: summary(2) }
    }
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
            for l in 0..LANES {
                let good = dq[l] & bad == 0;
                counts[l] += u32::from(good);
                sums[l] += f64::from(if good { values[l] } else { 0.0 });
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
