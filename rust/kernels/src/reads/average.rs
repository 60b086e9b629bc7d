//! Robust mean of the intervals between reads: a count rate without a line fit.
//!
//! With c_k = C_k - C_(k-1) electrons gathered in dt_k by a pixel, a first rate m is the median of c_k / dt_k
//! weighted by dt_k. Intervals with
//!
//! ```text
//! |c_k - m dt_k| > s sqrt(n^2 + max(m, 0) dt_k)
//! ```
//!
//! are left out, n being the read noise of a difference of two reads, and the rate is the mean of the others,
//!
//! ```text
//! rate = sum c_k / sum dt_k,     err^2 = (J n^2 + max(sum c_k, 0)) / (sum dt_k)^2,
//! ```
//!
//! where the reads inside each of the J unbroken runs of intervals cancel, and only their ends bring noise.

use crate::dq::{DATAREJECT, SATPIXEL};
use crate::view::{Cube, Region};
use crate::{Error, Result, par};

/// What is known of the reads besides their signal.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Factor of each read from stored to accumulated signal.
    pub weight: &'a [f32],
    /// Exposure time of each read.
    pub times: &'a [f64],
    /// Electrons per unit of signal, for each pixel.
    pub electrons: &'a [f32],
    /// Read noise of a difference of two reads, electrons, for each pixel.
    pub noise: &'a [f32],
    /// Reads whose interval is left out of every pixel.
    pub excluded: &'a [bool],
    /// Threshold, in sigma.
    pub sigma: f32,
    /// DQ bits that leave out a sample, unless all of the pixel's have them (saturation always does).
    pub bad_dq: u16,
}

/// Images of the region, and the DQ of all reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// Count rate, in the unit of the input per second; 0 without an interval.
    pub rate: Vec<f32>,
    /// Its uncertainty.
    pub err: Vec<f32>,
    /// DQ bits of the reads used, or of all if none was.
    pub dq: Vec<u16>,
    /// Reads used.
    pub samp: Vec<i16>,
    /// Exposure time used, seconds.
    pub time: Vec<f32>,
    /// Frame DQ with 8192 from each positive outlier on.
    pub read_dq: Vec<u16>,
}

/// Average the intervals of every pixel in `region`.
pub fn average_intervals(
    sci: &Cube<'_, f32>,
    dq: &Cube<'_, u16>,
    setting: &Setting<'_>,
    region: &Region,
    threads: usize,
) -> Result<Mean> {
    check(sci, dq, setting)?;
    let [_, ny, nx] = sci.shape();
    let [rows, width] = region.shape();
    let solved = par::map(rows, threads, |row| {
        let mut pixel = Pixel::default();
        let first = (region.y.start + row) * nx;
        region.x.clone().map(|x| pixel.solve(sci, dq, setting, first + x)).collect::<Vec<_>>()
    });
    let mut mean = Mean {
        rate: Vec::with_capacity(rows * width),
        err: Vec::with_capacity(rows * width),
        dq: Vec::with_capacity(rows * width),
        samp: Vec::with_capacity(rows * width),
        time: Vec::with_capacity(rows * width),
        read_dq: dq.data().to_vec(),
    };
    for (y, row) in region.y.clone().zip(solved) {
        for (x, solved) in region.x.clone().zip(row) {
            mean.rate.push(solved.rate);
            mean.err.push(solved.err);
            mean.dq.push(solved.dq);
            mean.samp.push(solved.samp);
            mean.time.push(solved.time);
            let hits = mean.read_dq.chunks_mut(ny * nx).skip(solved.hit.unwrap_or(usize::MAX));
            hits.for_each(|plane| plane[y * nx + x] |= DATAREJECT);
        }
    }
    Ok(mean)
}

/// Answer for one pixel.
#[derive(Default)]
struct Solved {
    rate: f32,
    err: f32,
    dq: u16,
    samp: i16,
    time: f32,
    /// First read that holds a hit.
    hit: Option<usize>,
}

/// One interval of one pixel.
#[derive(Clone, Copy)]
struct Gain {
    /// Read that ends it.
    read: usize,
    electrons: f64,
    span: f64,
}

/// Room for one pixel.
#[derive(Default)]
struct Pixel {
    gains: Vec<Gain>,
    order: Vec<(f64, f64)>,
}

impl Pixel {
    fn solve(&mut self, sci: &Cube<'_, f32>, dq: &Cube<'_, u16>, setting: &Setting<'_>, at: usize) -> Solved {
        let nread = sci.shape()[0];
        let electrons = f64::from(setting.electrons[at]);
        let noise = f64::from(setting.noise[at]).powi(2);
        let flags = |r: usize| dq.plane(r)[at];
        let every = (0..nread).fold(0, |sum, r| sum | flags(r));
        let always = (0..nread).fold(u16::MAX, |sum, r| sum & flags(r));
        let bad = setting.bad_dq & (!always | SATPIXEL);
        let counts = |r: usize| f64::from(sci.plane(r)[at]) * f64::from(setting.weight[r]);
        self.gains.clear();
        for r in 1..nread {
            let gain = Gain {
                read: r,
                electrons: (counts(r) - counts(r - 1)) * electrons,
                span: setting.times[r] - setting.times[r - 1],
            };
            if !setting.excluded[r] && (flags(r) | flags(r - 1)) & bad == 0 && gain.electrons.is_finite() {
                self.gains.push(gain);
            }
        }
        let Some(guess) = self.weighted_median().filter(|_| electrons > 0.0) else {
            return Solved { dq: every & !DATAREJECT, ..Solved::default() };
        };
        let sigma = f64::from(setting.sigma);
        let (mut sum, mut time, mut runs, mut used) = (0.0, 0.0, 0, 0);
        let (mut last, mut hit) = (0, None);
        let mut product = always;
        for gain in &self.gains {
            let off = gain.electrons - guess * gain.span;
            if off.abs() > sigma * (noise + guess.max(0.0) * gain.span).sqrt() {
                if off > 0.0 {
                    hit = hit.or(Some(gain.read));
                }
                continue;
            }
            runs += usize::from(used == 0 || gain.read != last + 1);
            last = gain.read;
            used += 1;
            sum += gain.electrons;
            time += gain.span;
            product |= flags(gain.read);
        }
        if used == 0 {
            return Solved { dq: every & !DATAREJECT, hit, ..Solved::default() };
        }
        let err = (runs as f64 * noise + f64::max(sum, 0.0)).sqrt() / time;
        Solved {
            rate: (sum / time / electrons) as f32,
            err: (err / electrons) as f32,
            dq: product & !DATAREJECT,
            samp: used + 1,
            time: time as f32,
            hit,
        }
    }

    /// Rate below which lies half of the time.
    fn weighted_median(&mut self) -> Option<f64> {
        self.order.clear();
        self.order.extend(self.gains.iter().map(|gain| (gain.electrons / gain.span, gain.span)));
        self.order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let half = 0.5 * self.order.iter().map(|(_, span)| span).sum::<f64>();
        let mut before = 0.0;
        for (i, &(rate, span)) in self.order.iter().enumerate() {
            before += span;
            if before > half {
                return Some(rate);
            }
            if before == half {
                // As many on both sides: between the two.
                return Some(self.order.get(i + 1).map_or(rate, |next| 0.5 * (rate + next.0)));
            }
        }
        None
    }
}

fn check(sci: &Cube<'_, f32>, dq: &Cube<'_, u16>, setting: &Setting<'_>) -> Result<()> {
    let [nread, ny, nx] = sci.shape();
    sci.same_shape("dq", dq)?;
    let per_read = [
        ("weight", setting.weight.len()),
        ("times", setting.times.len()),
        ("excluded", setting.excluded.len()),
    ];
    for (name, got) in per_read {
        if got != nread {
            return Err(Error::Shape { name, got: vec![got], expected: vec![nread] });
        }
    }
    for (name, got) in [("electrons", setting.electrons.len()), ("noise", setting.noise.len())] {
        if got != ny * nx {
            return Err(Error::Shape { name, got: vec![got], expected: vec![ny, nx] });
        }
    }
    if nread < 2 || !setting.times.windows(2).all(|times| times[1] > times[0]) {
        return Err(Error::value("times", format!("{:?}", setting.times), "two or more, ascending"));
    }
    if setting.sigma.is_nan() || setting.sigma <= 0.0 {
        return Err(Error::value("sigma", setting.sigma, "a positive number"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [f64; 7] = [0.0, 3.0, 103.0, 203.0, 303.0, 403.0, 503.0];

    /// Means of pixels that gather these electrons a second, with steps of (read, electrons).
    fn mean(rate: f64, steps: &[(usize, f64)], flags: &[(usize, u16)], excluded: &[usize]) -> Mean {
        let sum = |r: usize| steps.iter().filter(|step| r >= step.0).map(|step| step.1).sum::<f64>();
        let sci: Vec<f32> = (0..7).map(|r| ((rate * TIMES[r] + sum(r)) / 2.0) as f32).collect();
        let mut dq = [0u16; 7];
        flags.iter().for_each(|&(r, flags)| dq[r] |= flags);
        let out: Vec<bool> = (0..7).map(|r| excluded.contains(&r)).collect();
        let setting = Setting {
            weight: &[1.0; 7],
            times: &TIMES,
            electrons: &[2.0],
            noise: &[20.0],
            excluded: &out,
            sigma: 5.0,
            bad_dq: !0,
        };
        let cube = Cube::new("sci", &sci, [7, 1, 1]).unwrap();
        let dq = Cube::new("dq", &dq, [7, 1, 1]).unwrap();
        average_intervals(&cube, &dq, &setting, &Region::whole([1, 1]), 2).unwrap()
    }

    #[test]
    fn a_clean_ramp_is_its_last_read() {
        let found = mean(3.0, &[], &[], &[]);
        let err = (400.0 + 3.0 * 503.0f64).sqrt() / 503.0 / 2.0;
        assert!(
            (f64::from(found.rate[0]) - 1.5).abs() < 1e-6 && (f64::from(found.err[0]) - err).abs() < 1e-7
        );
        assert_eq!((found.samp[0], found.time[0], found.dq[0]), (7, 503.0, 0));
    }

    #[test]
    fn hits_and_excluded_intervals_are_left_out() {
        let found = mean(3.0, &[(3, 900.0), (5, 4000.0)], &[], &[5]);
        // Intervals 1-2, 4 and 6: three runs.
        let err = (3.0 * 400.0 + 3.0 * 303.0f64).sqrt() / 303.0 / 2.0;
        assert!((found.rate[0] - 1.5).abs() < 1e-5 && (f64::from(found.err[0]) - err).abs() < 1e-6);
        assert_eq!((found.samp[0], found.time[0]), (5, 303.0));
        assert_eq!(found.read_dq, [0, 0, 0, 8192, 8192, 8192, 8192]);
    }

    #[test]
    fn flags_of_some_reads_leave_those_out_and_flags_of_all_do_not() {
        let saturated = mean(3.0, &[], &[(5, SATPIXEL), (6, SATPIXEL)], &[]);
        assert_eq!((saturated.samp[0], saturated.time[0], saturated.dq[0]), (5, 303.0, 0));
        let hot: Vec<(usize, u16)> = (0..7).map(|r| (r, 16)).collect();
        assert_eq!((mean(3.0, &[], &hot, &[]).samp[0], mean(3.0, &[], &hot, &[]).dq[0]), (7, 16));
        let all: Vec<(usize, u16)> = (0..7).map(|r| (r, SATPIXEL)).collect();
        let lost = mean(3.0, &[], &all, &[]);
        assert_eq!((lost.samp[0], lost.rate[0], lost.dq[0]), (0, 0.0, SATPIXEL));
    }
}
