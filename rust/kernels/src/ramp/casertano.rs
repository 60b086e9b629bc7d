//! Ramps of unevenly averaged samples by weighted least squares, with a search for hits (Casertano 2022, Roman
//! technical report RSTSci-003394, and the jump statistic of Sharma and Casertano 2022).
//!
//! A ramp is broken at samples that may not be used. Of each piece with first sample `a` and last `b`, and `sigma` the
//! noise of one read,
//!
//! ```text
//! S   = (R_b - R_a) / sqrt(sigma^2 + R_b - R_a)              0 if it falls
//! P   = 0, 0.4, 1, 3, 6, 10    for S below 5, 10, 20, 50, 100 and from there on
//! w_i = (1 + P) N_i / (1 + P N_i) |(t_i - (t_a + t_b) / 2) / ((t_b - t_a) / 2)|^P
//! K_i = (F_0 t_i - F_1) w_i / (F_2 F_0 - F_1^2),             F_j = sum w t^j
//! rate = sum K_i R_i,    var_read = sigma^2 sum K_i^2 / N_i,
//! var_poisson = rate sum_i (K_i^2 tau_i + 2 K_i sum_{j<i} K_j t_j)
//! ```
//!
//! and pieces are averaged with weights `1 / var_read`. All but the rate depends on the pattern, the piece and P alone
//! and is worked out once.
//!
//! A hit before sample j of a piece shows in the slope between i and j = i + 1 or i + 2,
//!
//! ```text
//! s_ij = ((R_j - R_i) / T - rate) / sqrt((sigma^2 (1/N_i + 1/N_j) + rate (tau_i + tau_j - 2 t_i)) / T^2 - rate / (t_b - t_a))
//! ```
//!
//! with `T = t_j - t_i`; the largest of all, if above `intercept - constant log10(rate)`, takes out samples i and i + 1,
//! and what is left on either side is fitted and searched anew.

use super::likelihood::{Image, Pattern};
use crate::simd::zeros;
use crate::view::{Source, expect_shape};
use crate::{Error, Result, par};
use std::collections::HashMap;

/// Pixels whose samples are read together.
const RUN: usize = 128;
/// Rows worked by one thread at a time.
const BAND_ROWS: usize = 8;
/// Pieces whose weights are kept.
const KEPT: usize = 4096;
/// Powers of the weights, and the signal to noise below which they hold.
const POWERS: [(f64, f64); 6] =
    [(5.0, 0.0), (10.0, 0.4), (20.0, 1.0), (50.0, 3.0), (100.0, 6.0), (f64::INFINITY, 10.0)];

/// Samples of one exposure.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    /// Signal.
    pub sci: &'a dyn Source<f64>,
    /// Flags; none: all samples are good.
    pub dq: Option<&'a dyn Source<u16>>,
    /// Flags that take a sample out.
    pub bad: u16,
    /// Flags of a hit before a sample: the ramp is broken in front of it.
    pub hit: u16,
    /// Differences across which the ramp is broken, `(nread - 1, ny, nx)`.
    pub mask: Option<&'a dyn Source<bool>>,
    /// When they were taken.
    pub pattern: Pattern<'a>,
    /// Electrons per unit of the signal.
    pub gain: Image<'a>,
    /// Noise of one read, electrons.
    pub read_noise: Image<'a>,
    /// Power P for all; none: by the signal to noise.
    pub power: Option<f64>,
}

/// Threshold of the search: `intercept - constant log10(rate)`, the rate taken between 1 and 10,000 electrons per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// At one electron per second and below.
    pub intercept: f64,
    /// Fall per decade.
    pub constant: f64,
}

/// The answers: images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fit {
    /// Count rate, units of the signal per second; NaN without two samples in succession.
    pub rate: Vec<f32>,
    /// Variance of it from photons.
    pub var_poisson: Vec<f32>,
    /// Variance of it from read noise.
    pub var_rnoise: Vec<f32>,
    /// Samples that the search took out with the one after them: pixel, sample.
    pub hits: Vec<(u32, u16)>,
}

/// What the weights of a piece come to.
#[derive(Debug, Clone)]
struct Weights {
    k: Vec<f64>,
    /// `sum K^2 / N`.
    read: f64,
    /// `sum K^2 tau + ...`.
    photon: f64,
}

impl Weights {
    fn new(pattern: &Pattern<'_>, a: usize, b: usize, power: f64) -> Self {
        let (mean, tau, count) = (&pattern.mean[a..=b], &pattern.variance[a..=b], &pattern.count[a..=b]);
        let (middle, half) = ((mean[0] + mean[b - a]) / 2.0, (mean[b - a] - mean[0]) / 2.0);
        let weight =
            |t: f64, n: f64| (1.0 + power) * n / (1.0 + power * n) * ((t - middle) / half).abs().powf(power);
        let w: Vec<f64> = mean.iter().zip(count).map(|(&t, &n)| weight(t, n)).collect();
        let moment = |j: i32| -> f64 { w.iter().zip(mean).map(|(w, t)| w * (t - middle).powi(j)).sum() };
        let [f0, f1, f2] = [0, 1, 2].map(moment);
        let bottom = f2 * f0 - f1 * f1;
        let k: Vec<f64> = w.iter().zip(mean).map(|(w, t)| (f0 * (t - middle) - f1) * w / bottom).collect();
        let (mut read, mut photon, mut before) = (0.0, 0.0, 0.0);
        for i in 0..k.len() {
            read += k[i] * k[i] / count[i];
            photon += k[i] * k[i] * tau[i] + 2.0 * k[i] * before;
            before += k[i] * mean[i];
        }
        Self { k, read, photon }
    }
}

/// Room of a thread.
struct Room {
    samples: Vec<[f64; RUN]>,
    flags: Vec<[u16; RUN]>,
    mask: Vec<[bool; RUN]>,
    gain: [f64; RUN],
    noise: [f64; RUN],
    ramp: Vec<f64>,
    /// Pieces to fit, first and last sample.
    pieces: Vec<(usize, usize)>,
    kept: Kept,
}

/// Weights worked out before: of whole ramps, and of other pieces, by first and last sample and power.
#[derive(Default)]
struct Kept {
    whole: [Option<Weights>; POWERS.len()],
    others: HashMap<(usize, usize, usize), Weights>,
}

/// A pixel's answers.
#[derive(Debug, Clone, Copy)]
struct Answer {
    rate: f64,
    photon: f64,
    read: f64,
}

/// Fit the ramp of every pixel; `threshold`: and search it for hits.
pub fn fit_casertano(reads: &Reads<'_>, threshold: Option<Threshold>, threads: usize) -> Result<Fit> {
    let [nread, ny, nx] = check(reads)?;
    let size = ny * nx;
    let mut fit =
        Fit { rate: zeros(size), var_poisson: zeros(size), var_rnoise: zeros(size), hits: Vec::new() };
    let mut found: Vec<Vec<(u32, u16)>> = vec![Vec::new(); ny.div_ceil(BAND_ROWS)];
    let Fit { rate, var_poisson, var_rnoise, .. } = &mut fit;
    let band = BAND_ROWS * nx.max(1);
    let images = rate.chunks_mut(band).zip(var_poisson.chunks_mut(band)).zip(var_rnoise.chunks_mut(band));
    let bands = images.zip(&mut found).enumerate();
    let scratch = || Room {
        samples: vec![[0.0; RUN]; nread],
        flags: vec![[0; RUN]; nread],
        mask: vec![[false; RUN]; nread.saturating_sub(1)],
        gain: [1.0; RUN],
        noise: [0.0; RUN],
        ramp: vec![0.0; nread],
        pieces: Vec::new(),
        kept: Kept::default(),
    };
    par::for_each(bands, threads, scratch, |room, (band, (((rate, photon), read), found))| {
        for (at, row) in (0..rate.len()).step_by(nx.max(1)).zip(band * BAND_ROWS..) {
            for start in (0..nx).step_by(RUN) {
                let len = RUN.min(nx - start);
                room.load(reads, row, start, len);
                for p in 0..len {
                    let mut note = |sample: usize| found.push(((row * nx + start + p) as u32, sample as u16));
                    let answer = room.fit(reads, threshold, p, &mut note);
                    let to = at + start + p;
                    rate[to] = answer.rate as f32;
                    (photon[to], read[to]) = (answer.photon as f32, answer.read as f32);
                }
            }
        }
    });
    fit.hits = found.concat();
    Ok(fit)
}

impl Room {
    fn load(&mut self, reads: &Reads<'_>, row: usize, start: usize, len: usize) {
        for (r, run) in self.samples.iter_mut().enumerate() {
            reads.sci.run(r, row, start, &mut run[..len]);
        }
        if let Some(dq) = reads.dq {
            for (r, run) in self.flags.iter_mut().enumerate() {
                dq.run(r, row, start, &mut run[..len]);
            }
        }
        if let Some(mask) = reads.mask {
            for (r, run) in self.mask.iter_mut().enumerate() {
                mask.run(r, row, start, &mut run[..len]);
            }
        }
        let first = row * reads.sci.shape()[2] + start;
        for (image, run) in [(reads.gain, &mut self.gain), (reads.read_noise, &mut self.noise)] {
            match image {
                Image::Same(value) => run.fill(value),
                Image::Each(values) => {
                    for (place, &value) in run.iter_mut().zip(&values[first..first + len]) {
                        *place = f64::from(value);
                    }
                }
            }
        }
    }

    /// Pixel `p` of the run; `note` is told the samples taken out.
    fn fit(
        &mut self,
        reads: &Reads<'_>,
        threshold: Option<Threshold>,
        p: usize,
        note: &mut impl FnMut(usize),
    ) -> Answer {
        let (gain, noise) = (self.gain[p], self.noise[p]);
        let nothing = Answer { rate: f64::NAN, photon: f64::NAN, read: f64::NAN };
        if !(gain > 0.0 && noise >= 0.0 && (gain + noise).is_finite()) {
            return nothing;
        }
        self.cut(reads, p, gain);
        let (mut weight, mut rate, mut read, mut photon) = (0.0, 0.0, 0.0, 0.0);
        while let Some((a, b)) = self.pieces.pop() {
            if a == b {
                continue;
            }
            let weights = weights_of(&mut self.kept, reads, &self.ramp, (a, b), noise);
            let slope: f64 = weights.k.iter().zip(&self.ramp[a..=b]).map(|(k, r)| k * r).sum();
            if let Some(threshold) = threshold
                && let Some(hit) = search(&reads.pattern, &self.ramp, (a, b), slope, noise, threshold)
            {
                note(hit);
                if hit > a {
                    self.pieces.push((a, hit - 1));
                }
                if hit + 1 < b {
                    self.pieces.push((hit + 2, b));
                }
                continue;
            }
            // Of the same read noise in all pieces, which therefore need not be known.
            let own = 1.0 / weights.read;
            weight += own;
            rate += own * slope;
            read += own * own * weights.read;
            photon += own * own * weights.photon;
        }
        if weight == 0.0 {
            return nothing;
        }
        let rate = rate / weight;
        let unit = 1.0 / (weight * weight * gain * gain);
        Answer { rate: rate / gain, photon: photon * rate.max(0.0) * unit, read: read * noise * noise * unit }
    }

    /// The usable pieces of a ramp, and its samples in electrons.
    fn cut(&mut self, reads: &Reads<'_>, p: usize, gain: f64) {
        self.pieces.clear();
        let mut open = false;
        for r in 0..self.ramp.len() {
            let (sample, flags) = (self.samples[r][p] * gain, self.flags[r][p]);
            self.ramp[r] = sample;
            let broken = r > 0 && self.mask[r - 1][p];
            let good = flags & reads.bad == 0 && sample.is_finite();
            match self.pieces.last_mut() {
                Some(piece) if open && good && !broken && flags & reads.hit == 0 => piece.1 = r,
                _ if good => self.pieces.push((r, r)),
                _ => {}
            }
            open = good;
        }
    }
}

/// Weights of a piece, from those worked out before if they are among them.
fn weights_of<'a>(
    kept: &'a mut Kept,
    reads: &Reads<'_>,
    ramp: &[f64],
    (a, b): (usize, usize),
    noise: f64,
) -> &'a Weights {
    let Kept { whole, others } = kept;
    let (kind, power) = match reads.power {
        Some(power) => (0, power),
        None => {
            let signal = (ramp[b] - ramp[a]).max(0.0);
            let ratio = signal / (noise * noise + signal).sqrt();
            // Neither signal nor noise: not a number, and no weights.
            let kind = POWERS.iter().position(|&(limit, _)| ratio < limit).unwrap_or_default();
            (kind, POWERS[kind].1)
        }
    };
    let make = || Weights::new(&reads.pattern, a, b, power);
    if (a, b) == (0, ramp.len() - 1) {
        return whole[kind].get_or_insert_with(make);
    }
    if others.len() >= KEPT {
        others.clear();
    }
    others.entry((a, b, kind)).or_insert_with(make)
}

/// The sample before the most significant jump in a piece, if it is above the threshold.
fn search(
    pattern: &Pattern<'_>,
    ramp: &[f64],
    (a, b): (usize, usize),
    slope: f64,
    noise: f64,
    threshold: Threshold,
) -> Option<usize> {
    let (mean, tau, count) = (pattern.mean, pattern.variance, pattern.count);
    let (variance, of_all) = (noise * noise, slope / (mean[b] - mean[a]));
    let statistic = |i: usize, j: usize| {
        let span = mean[j] - mean[i];
        let delta = (ramp[j] - ramp[i]) / span - slope;
        let own = variance * (1.0 / count[i] + 1.0 / count[j]) + slope * (tau[i] + tau[j] - 2.0 * mean[i]);
        delta / (own / (span * span) - of_all).sqrt()
    };
    // The last difference is looked at first and keeps its place against equals.
    let (mut best, mut place) = (f64::NEG_INFINITY.max(statistic(b - 1, b)), b - 1);
    for i in a..b - 1 {
        let larger = statistic(i, i + 1).max(statistic(i, i + 2));
        if larger > best {
            (best, place) = (larger, i);
        }
    }
    let limit = threshold.intercept - threshold.constant * slope.clamp(1.0, 1e4).log10();
    (best > limit).then_some(place)
}

fn check(reads: &Reads<'_>) -> Result<[usize; 3]> {
    let shape @ [nread, ny, nx] = reads.sci.shape();
    if let Some(dq) = reads.dq {
        expect_shape("dq", dq, shape)?;
    }
    if let Some(mask) = reads.mask {
        expect_shape("mask", mask, [nread.saturating_sub(1), ny, nx])?;
    }
    reads.pattern.check(nread)?;
    if let Some(power) = reads.power
        && !(power >= 0.0 && power.is_finite())
    {
        return Err(Error::value("power", power, "a finite number, 0 or more"));
    }
    for (name, image) in [("gain", reads.gain), ("read_noise", reads.read_noise)] {
        image.check(name, [ny, nx])?;
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Cube;

    /// One pixel of single reads, 10 s apart, noise of a read and flags given.
    fn one(samples: &[f32], noise: f64, dq: &[u16], threshold: Option<Threshold>) -> Fit {
        let n = samples.len();
        let times: Vec<f64> = (1..=n).map(|r| 10.0 * r as f64).collect();
        let cube = Cube::new("sci", samples, [n, 1, 1]).unwrap();
        let flags = Cube::new("dq", dq, [n, 1, 1]).unwrap();
        let reads = Reads {
            sci: &cube,
            dq: Some(&flags),
            bad: 3,
            hit: 4,
            mask: None,
            pattern: Pattern { mean: &times, variance: &times, count: &vec![1.0; n] },
            gain: Image::Same(1.0),
            read_noise: Image::Same(noise),
            power: None,
        };
        fit_casertano(&reads, threshold, 1).unwrap()
    }

    const SEARCH: Option<Threshold> = Some(Threshold { intercept: 5.5, constant: 1.0 / 3.0 });

    /// Worked by hand: without signal a straight line, of variance 12 s^2 / (t^2 (n^3 - n)).
    #[test]
    fn read_noise_alone_gives_a_straight_line() {
        let fit = one(&[3.0, -3.0, 3.0, -3.0, 0.0], 10.0, &[0; 5], None);
        assert!((fit.rate[0] + 0.06).abs() < 1e-6);
        assert!((fit.var_rnoise[0] - 12.0 * 100.0 / (100.0 * 120.0)).abs() < 1e-6);
        assert_eq!(fit.var_poisson[0], 0.0);
    }

    /// Two samples of 100 electrons: the rate is their difference, its photon variance that of 100 over 10 s.
    #[test]
    fn two_samples_have_the_noise_of_their_photons() {
        let fit = one(&[50.0, 150.0], 1.0, &[0; 2], SEARCH);
        assert!((fit.rate[0] - 10.0).abs() < 1e-6);
        assert!((fit.var_poisson[0] - 1.0).abs() < 1e-6 && (fit.var_rnoise[0] - 0.02).abs() < 1e-7);
    }

    #[test]
    fn pieces_are_averaged_by_their_read_noise() {
        // Slopes 1 (three samples, weight 2) and 4 (two samples, weight 1/2).
        let fit = one(&[0.0, 10.0, 20.0, 500.0, 1000.0, 1040.0], 10.0, &[0, 0, 0, 1, 0, 0], None);
        assert!((fit.rate[0] - (2.0 + 0.5 * 4.0) / 2.5).abs() < 1e-6);
        // A hit before the fourth sample, which is good itself.
        let fit = one(&[0.0, 10.0, 20.0, 500.0, 510.0, 520.0], 10.0, &[0, 0, 0, 4, 0, 0], None);
        assert!((fit.rate[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_hit_takes_out_the_samples_around_it() {
        let ramp: Vec<f32> = (0..10).map(|r| 20.0 * r as f32 + if r >= 5 { 900.0 } else { 0.0 }).collect();
        let fit = one(&ramp, 10.0, &[0; 10], SEARCH);
        assert_eq!(fit.hits, [(0, 4)]);
        assert!((fit.rate[0] - 2.0).abs() < 1e-6);
    }

    #[test]
    fn ramps_without_two_samples_in_succession_have_no_rate() {
        for dq in [[1, 1, 1, 1], [0, 1, 0, 1], [2, 2, 2, 2]] {
            assert!(one(&[0.0, 1.0, 2.0, 3.0], 1.0, &dq, SEARCH).rate[0].is_nan());
        }
        assert!(one(&[1.0], 1.0, &[0], SEARCH).rate[0].is_nan());
        assert_eq!(one(&[7.0, 7.0, 7.0], 0.0, &[0; 3], SEARCH).rate[0], 0.0);
    }
}
