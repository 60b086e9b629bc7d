//! One pixel, whatever its flags: the plain form of the rules.

use super::survey::Rule;
use super::{Params, Work, clip};
use crate::stack::{Flags, Sample};
use crate::stats::median::median_of_few;

/// Charge, flags and differences of a pixel.
#[derive(Debug, Default)]
pub(super) struct Pixel {
    pub charge: Vec<f32>,
    pub flags: Vec<u16>,
    /// Variance of a difference of two reads.
    pub noise2: f64,
    /// Differences per time, of all integrations; not a number where a group is not usable.
    pub differences: Vec<f64>,
    /// Their median.
    pub median: f64,
    left: Vec<f64>,
    ratios: Vec<f64>,
    sorted: Vec<f64>,
}

impl<T: Sample, D: Flags> Work<'_, T, D> {
    /// Differences and their median.
    pub(super) fn find_differences(&self, pixel: &mut Pixel) {
        let ngroups = self.shape[1];
        let bad = self.params.bits.do_not_use | self.params.bits.saturated;
        let Pixel { charge, flags, differences, sorted, .. } = pixel;
        differences.clear();
        for (charge, flags) in charge.chunks(ngroups).zip(flags.chunks(ngroups)) {
            differences.extend((1..ngroups).map(|k| {
                if (flags[k - 1] | flags[k]) & bad != 0 {
                    return f64::NAN;
                }
                f64::from(charge[k] - charge[k - 1]) / self.time[k - 1]
            }));
        }
        sorted.clear();
        sorted.extend(differences.iter().filter(|d| !d.is_nan()));
        pixel.median = median_of_few(sorted);
    }

    /// Uncertainty of difference `j` of a pixel whose rate is `median`; NaN where there is no noise.
    fn sigma(&self, median: f64, noise2: f64, j: usize) -> f64 {
        let sigma = (median.abs() * self.time[j] + noise2 / self.reads[j]).sqrt() / self.time[j];
        if sigma == 0.0 { f64::NAN } else { sigma }
    }

    /// Flag jumps by the rule of the exposure.
    pub(super) fn flag_primary(&self, pixel: &mut Pixel) {
        match self.rule {
            Rule::Clip => self.flag_clipped(pixel),
            Rule::AtOnce => self.flag_at_once(pixel),
            Rule::OneByOne => self.flag_one_by_one(pixel),
        }
    }

    /// Place of the flags of the group after difference `i`.
    pub(super) fn group_after(&self, i: usize) -> usize {
        let each = self.shape[1] - 1;
        i / each * (each + 1) + i % each + 1
    }

    fn flag_clipped(&self, pixel: &mut Pixel) {
        let Params { across, thresholds, bits, .. } = self.params;
        let each = self.shape[1] - 1;
        let Pixel { differences, flags, sorted, .. } = pixel;
        // With all differences together there is one set of them, else one for each place in the ramp.
        let sets = if *across { each } else { 1 };
        for set in 0..sets {
            let members = || (set..differences.len()).step_by(sets);
            sorted.clear();
            sorted.extend(members().map(|i| differences[i]).filter(|d| d.is_finite()));
            let [low, high] = clip::bounds(sorted, thresholds[0]);
            for i in members() {
                let (d, word) = (differences[i], &mut flags[self.group_after(i)]);
                let usable = *word & (bits.saturated | bits.do_not_use) == 0 && d.is_finite();
                if usable && (d < low || d > high) {
                    *word |= bits.jump;
                }
            }
        }
    }

    fn flag_at_once(&self, pixel: &mut Pixel) {
        let each = self.shape[1] - 1;
        for i in 0..pixel.differences.len() {
            let d = pixel.differences[i];
            let ratio = (d - pixel.median).abs() / self.sigma(pixel.median, pixel.noise2, i % each);
            if ratio > self.params.thresholds[0] && d.is_finite() {
                pixel.flags[self.group_after(i)] |= self.params.bits.jump;
            }
        }
    }

    fn flag_one_by_one(&self, pixel: &mut Pixel) {
        let each = self.shape[1] - 1;
        pixel.left.clear();
        pixel.left.extend(pixel.differences.iter().map(|d| d.abs()));
        for round in 0..pixel.left.len() {
            let Pixel { left, ratios, sorted, .. } = pixel;
            sorted.clear();
            sorted.extend(left.iter().filter(|d| !d.is_nan()));
            let [many, three, two] = self.params.thresholds;
            let (rate, threshold) = match sorted.len() {
                0 | 1 => return,
                2 => (sorted[0].min(sorted[1]), two),
                3 => (median_of_few(sorted), three),
                _ => {
                    let most = sorted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    sorted.retain(|&d| d != most);
                    (median_of_few(sorted), many)
                }
            };
            // The peer keeps the rate in single precision after the first round, and the excess always.
            let rate = if round == 0 { rate } else { f64::from(rate as f32) };
            ratios.clear();
            ratios.extend(left.iter().enumerate().map(|(i, d)| {
                let excess = f64::from((d - rate) as f32).abs();
                excess / self.sigma(rate, pixel.noise2, i % each)
            }));
            let most = ratios.iter().copied().filter(|r| !r.is_nan()).fold(f64::NEG_INFINITY, f64::max);
            if most.is_nan() || most <= threshold {
                return;
            }
            for (i, &ratio) in ratios.iter().enumerate() {
                if ratio == most {
                    left[i] = f64::NAN;
                    pixel.flags[self.group_after(i)] |= self.params.bits.jump;
                }
            }
        }
    }

    /// Jumps whose size in sigma lies between `limits`: their neighbours are flagged too.
    pub(super) fn find_spreading(&self, pixel: &Pixel, limits: (f64, f64), mut found: impl FnMut(usize)) {
        let each = self.shape[1] - 1;
        for (i, d) in pixel.differences.iter().enumerate() {
            let plane = self.group_after(i);
            if pixel.flags[plane] & self.params.bits.jump == 0 {
                continue;
            }
            let ratio = (d - pixel.median).abs() / self.sigma(pixel.median, pixel.noise2, i % each);
            if ratio > limits.0 && ratio < limits.1 {
                found(plane);
            }
        }
    }
}
