//! One ramp of one pixel, whatever its flags: the plain form of everything.

use super::segments::{Bits, Segment, find_segments};
use super::weights::{Factors, class, signal_to_noise, weights};
use super::{Params, SEGMENT_IMAGES};
use crate::stats::median::median_of_few;

/// Variances from here on are reported as 0 by the peer.
pub(super) const LARGE: f64 = 1e6;

/// The peer's root of two.
#[expect(clippy::approx_constant, reason = "its digits show in float32")]
const ROOT_TWO: f64 = 1.414_213_56;

/// What belongs to a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    pub gain: f64,
    /// Of a group, electrons.
    pub noise: f64,
    pub dark: f64,
    /// Flags of the pixel, with those of a missing gain.
    pub dq: u32,
    /// Mean of the integrations' median rates.
    pub rate: f64,
}

/// One ramp, ready to fit.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    pub samples: Vec<f64>,
    pub flags: Vec<u16>,
    /// Groups that are saturated, and those saturated or not to be used.
    saturated: usize,
    bad: usize,
    /// Seconds of a segment of one group.
    lone_time: Lone,
    pub suppressed: bool,
    seen: u16,
    segments: Vec<Segment>,
    sorted: Vec<f64>,
}

/// What a single good group is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lone {
    /// Nothing special.
    #[default]
    Group,
    /// The first group, and the only one.
    First,
    /// Replaced by the zeroth frame.
    Frame,
}

/// Sums over segments, and over integrations.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    /// Inverse variances from photons, and of all noise.
    pub photons: f64,
    pub total: f64,
    /// Weights, in proportion to the inverse variance from read noise, and slopes times them.
    pub weight: f64,
    pub slope: f64,
}

/// Answers for one integration.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Answer {
    pub slope: f64,
    pub var_poisson: f64,
    pub var_rnoise: f64,
    pub err: f64,
    pub dq: u32,
    pub pedestal: f64,
    /// Whether the slope is lost to bits that must not be used, or to saturation.
    pub unusable: bool,
    pub all_saturated: bool,
    /// Whether any group is saturated, or has lost charge.
    pub some_saturated: bool,
    pub charge_loss: bool,
    pub sums: Sums,
}

impl Ramp {
    /// Look at the flags of samples just read; `frame`: the zeroth frame.
    pub fn prepare(&mut self, params: &Params, frame: Option<f32>) {
        let Bits { do_not_use, saturated, persistence, .. } = params.bits;
        if !params.parity {
            for (sample, word) in self.samples.iter().zip(&mut self.flags) {
                if *word & saturated == 0 && sample * 0.0 != 0.0 {
                    *word |= do_not_use;
                }
            }
        }
        let usable = |word: &&u16| **word & !persistence == 0;
        self.suppressed = params.suppress && self.flags.iter().filter(usable).count() == 1;
        if self.suppressed {
            self.flags.iter_mut().for_each(|word| *word |= do_not_use);
        }
        (self.saturated, self.bad, self.seen, self.lone_time) = (0, 0, 0, Lone::Group);
        let mut good = 0;
        for (sample, &word) in self.samples.iter_mut().zip(&self.flags) {
            self.seen |= word;
            good += usize::from(word == 0);
            self.bad += usize::from(word & (do_not_use | saturated) != 0);
            if word & saturated != 0 {
                self.saturated += 1;
                *sample = f64::NAN;
            }
        }
        if !params.lone_first {
            return;
        }
        if good == 1 && self.flags[0] == 0 {
            self.lone_time = Lone::First;
        } else if let Some(frame) = frame
            && good == 0
            && frame != 0.0
        {
            let all = self.saturated == self.flags.len();
            self.samples[0] = f64::from(frame);
            self.flags[0] = 0;
            self.bad = self.bad.wrapping_sub(1);
            self.saturated -= usize::from(all);
            self.lone_time = Lone::Frame;
        }
    }

    /// Segments of the ramp: how much room their products take.
    pub fn count(&mut self, params: &Params) -> usize {
        if self.flags[0] & params.bits.saturated != 0 {
            return 0;
        }
        find_segments(&self.flags, &params.bits, &mut self.segments)
    }

    fn lone_seconds(&self, params: &Params) -> f64 {
        match self.lone_time {
            Lone::Group => params.group_time,
            Lone::First => params.first_time,
            Lone::Frame => params.frame_time,
        }
    }

    /// Median of the differences per second; 0 where there is none.
    pub fn median_rate(&mut self, params: &Params) -> f64 {
        let n = self.samples.len();
        if n == 1 {
            let rate = self.samples[0] / params.first_time;
            // The peer drops the rates of all integrations if one is saturated.
            return if params.parity { rate } else { zero_if_nan(rate) };
        }
        if self.lone_time != Lone::Group {
            return zero_if_nan(self.samples[0] / self.lone_seconds(params));
        }
        let Bits { do_not_use, jump, .. } = params.bits;
        let used = |k: usize| if self.flags[k] & do_not_use != 0 { f64::NAN } else { self.samples[k] };
        self.sorted.clear();
        let differences = (1..n).filter(|&k| self.flags[k] & jump == 0).map(|k| used(k) - used(k - 1));
        self.sorted.extend(differences.filter(|d| !d.is_nan()));
        if self.sorted.is_empty() {
            return zero_if_nan(used(0) / params.group_time);
        }
        zero_if_nan(median_of_few(&mut self.sorted) / params.group_time)
    }

    /// Fit the segments; `report` takes what is known of each.
    pub fn fit(
        &mut self,
        params: &Params,
        pixel: &Pixel,
        factors: &mut Factors,
        mut report: impl FnMut(usize, [f64; SEGMENT_IMAGES]),
    ) -> Answer {
        let Bits { do_not_use, saturated, jump, persistence, charge_loss, .. } = params.bits;
        let [dnu, sat] = [do_not_use, saturated].map(u32::from);
        let invalid = dnu | sat;
        let mut answer = Answer {
            dq: pixel.dq | u32::from(self.seen & (jump | persistence)),
            some_saturated: self.saturated > 0,
            charge_loss: self.seen & charge_loss != 0,
            ..Answer::default()
        };
        let n = self.samples.len();
        self.segments.clear();
        if self.flags[0] & saturated != 0 {
            answer.dq |= invalid;
        } else {
            find_segments(&self.flags, &params.bits, &mut self.segments);
        }
        if self.bad == n {
            answer.dq |= dnu;
            if self.saturated == n {
                answer.dq |= sat;
            }
            self.segments.clear();
        } else if self.segments.is_empty() && !params.parity {
            answer.dq |= dnu;
        }
        let noise_fit = pixel.noise >= 0.0 && pixel.noise.is_finite() && pixel.dark.is_finite();
        if !params.parity && !noise_fit {
            answer.dq |= dnu;
        }
        for s in 0..self.segments.len() {
            let of = self.fit_segment(params, pixel, factors, self.segments[s], &mut answer.sums);
            report(s, of);
        }
        if !self.segments.is_empty() {
            self.combine(params, pixel, invalid, &mut answer);
        }
        if answer.dq & dnu != 0 {
            answer.unusable = true;
            answer.slope = f64::NAN;
        }
        if answer.dq & sat == 0 {
            let after = if params.parity { 1.0 } else { params.group_time };
            let zero = self.samples[0] - answer.slope * after * params.pedestal;
            answer.pedestal = zero_if_nan(zero);
        } else {
            answer.all_saturated = true;
            answer.slope = f64::NAN;
        }
        if answer.some_saturated {
            answer.dq |= sat;
        }
        answer
    }

    fn fit_segment(
        &self,
        params: &Params,
        pixel: &Pixel,
        factors: &mut Factors,
        segment: Segment,
        sums: &mut Sums,
    ) -> [f64; SEGMENT_IMAGES] {
        let (n, time) = (segment.len(), params.group_time);
        let y = &self.samples[segment.start..segment.end];
        let light = if pixel.rate > 0.0 { pixel.rate } else { 0.0 } + pixel.dark;
        let lone = self.lone_seconds(params);
        let (slope, seconds) = match n {
            1 => (y[0] / lone, lone),
            2 => ((y[1] - y[0]) / time, time),
            _ => {
                let ratio = signal_to_noise(y[n - 1] - y[0], pixel.gain, pixel.noise);
                let value = |k: usize| zero_if_nan(y[k]);
                let pairs = factors.of(n, class(ratio)).iter().enumerate();
                let grown: f64 = pairs.map(|(k, c)| c * (value(n - 1 - k) - value(k))).sum();
                // The peer's weights are divided by the variance, and are nothing without one.
                let weighable = !params.parity || (pixel.noise * pixel.noise).is_normal();
                (if weighable { grown / time } else { f64::NAN }, time * (n - 1) as f64)
            }
        };
        let weight = weight_of(n, lone / time);
        let var_poisson = light / (seconds * pixel.gain);
        let var_rnoise = read_noise_variance(params, pixel, n, weight);
        let var = var_poisson + var_rnoise;
        if var_poisson > 0.0 {
            sums.photons += 1.0 / var_poisson;
        }
        sums.total += 1.0 / var;
        sums.weight += weight;
        sums.slope += slope * weight;
        let [sigma_slope, at_zero, sigma_zero] =
            if params.segments { line_at_zero(y, segment.start, pixel) } else { [0.0; 3] };
        [slope, sigma_slope, var_poisson, var_rnoise, at_zero, sigma_zero, 1.0 / var_rnoise]
    }

    /// Combine the segments of the integration.
    fn combine(&self, params: &Params, pixel: &Pixel, invalid: u32, answer: &mut Answer) {
        let sums = answer.sums;
        let read = read_weight(params, pixel);
        answer.var_poisson = if sums.photons > 0.0 { 1.0 / sums.photons } else { 0.0 };
        answer.var_rnoise = 1.0 / (sums.weight * read);
        answer.slope = sums.slope / sums.weight;
        let var = 1.0 / sums.total;
        answer.err = var.sqrt();
        if params.parity {
            limit(&mut answer.var_poisson);
            limit(&mut answer.var_rnoise);
            // The limited variance is a factor of the slope: nothing is left of it, and no flag is set.
            answer.slope = sums.slope * read * answer.var_rnoise;
            if var > LARGE {
                answer.err = 0.0;
            }
        }
        if answer.dq & invalid != 0 {
            answer.slope = f64::NAN;
            (answer.var_poisson, answer.var_rnoise, answer.err) = (0.0, 0.0, 0.0);
        }
    }

    /// Weight of the segments there would be if no charge had been lost, for groups flagged `original`.
    pub fn weight_without_charge_loss(
        &mut self,
        params: &Params,
        pixel: &Pixel,
        original: &mut [u16],
    ) -> f64 {
        let Bits { do_not_use, charge_loss, .. } = params.bits;
        for word in original.iter_mut().filter(|word| **word & charge_loss != 0) {
            *word ^= do_not_use | charge_loss;
        }
        find_segments(original, &params.bits, &mut self.segments);
        let lone = self.lone_seconds(params) / params.group_time;
        // The peer does not count long segments of pixels without a gain.
        let counted = |segment: &&Segment| pixel.gain > 0.0 || segment.len() < 3;
        self.segments.iter().filter(counted).map(|segment| weight_of(segment.len(), lone)).sum()
    }
}

/// Variances too large to be meant, to the peer.
pub(super) fn limit(variance: &mut f64) {
    if *variance >= LARGE {
        *variance = 0.0;
    }
}

/// n^3 - n: the inverse variance of a slope by read noise alone, but for a factor. `lone`: length of a segment of
/// one group, in groups.
pub(super) fn weight_of(n: usize, lone: f64) -> f64 {
    let n = n as f64;
    if n > 1.0 { n * n * n - n } else { 6.0 * lone * lone }
}

/// That factor.
pub(super) fn read_weight(params: &Params, pixel: &Pixel) -> f64 {
    let rate = pixel.noise / params.group_time;
    pixel.gain * pixel.gain / (12.0 * rate * rate)
}

fn read_noise_variance(params: &Params, pixel: &Pixel, n: usize, weight: f64) -> f64 {
    if n > 2 && (pixel.gain.is_nan() || pixel.gain <= 0.0) {
        return 0.0;
    }
    let rate = pixel.noise / params.group_time;
    12.0 * rate * rate / (weight * pixel.gain * pixel.gain)
}

/// Of the line through a segment: the slope's uncertainty, data per group, the value at group 0 and its uncertainty.
fn line_at_zero(y: &[f64], start: usize, pixel: &Pixel) -> [f64; 3] {
    let n = y.len();
    if n == 1 {
        return [0.0; 3];
    }
    if n == 2 {
        let second = start as f64 + 1.0;
        let sigma = ROOT_TWO * pixel.noise;
        return [sigma, y[1] * (1.0 - second) + y[0] * second, sigma];
    }
    let ratio = signal_to_noise(y[n - 1] - y[0], pixel.gain, pixel.noise);
    let per_variance = 1.0 / (pixel.noise * pixel.noise);
    let (mut s, mut sx, mut sxx, mut sy, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (k, w) in weights(n, class(ratio)).enumerate() {
        let (x, w, y) = ((k + start) as f64, w * per_variance, zero_if_nan(y[k]));
        (s, sx, sxx) = (s + w, sx + w * x, sxx + w * x * x);
        (sy, sxy) = (sy + w * y, sxy + w * x * y);
    }
    let per_det = 1.0 / (s * sxx - sx * sx);
    [(s * per_det).sqrt(), (sxx * sy - sx * sxy) * per_det, (sxx * per_det).sqrt()]
}

#[inline(always)]
fn zero_if_nan(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}
