//! One pixel with all the rules: the truth that [`super::block`] must agree with.

use super::line::{self, Samples, Weights};
use super::{Params, Reads, Solved, Times, ignored};
use crate::dq::{DATAREJECT, DETECTORPROB, HIGH_CURVATURE, SATPIXEL, SPIKE, UNSTABLE};

/// A residual this far above both neighbours is a spike, in sigma.
pub(super) const SPIKE_SIGMA: f32 = 6.0;
/// With this many hits the pixel is called unstable.
const MAX_HITS: usize = 4;

/// How strictly samples are chosen.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Samples without any flag.
    Strict,
    /// Samples without a bad flag: for pixels that are flagged in every read.
    Lenient,
}

/// How a search ended.
#[derive(PartialEq)]
enum Search {
    NoSamples,
    Unstable,
    Settled,
}

/// One pixel's ramp, and room to fit it.
pub(super) struct Scratch {
    weights: Weights,
    nread: usize,
    // The ramp in time order.
    sci: Vec<f32>,
    err: Vec<f32>,
    time: Vec<f32>,
    dark: Vec<f32>,
    /// Working flags.
    dq: Vec<u16>,
    /// Samples that take part in nothing.
    excluded: Vec<bool>,
    /// Reads whose stored DQ this pixel's earlier flags are cleared from.
    cleared: u16,
    zeroth: [f32; 2],
    first_saturated: bool,
    to_dn: f32,
    product_dq: u16,
    // Intervals: members[bounds[i]..bounds[i + 1]] are the samples of interval i.
    members: Vec<usize>,
    bounds: Vec<usize>,
    /// DQ of each interval's samples, one row an interval. Not cleared between searches: the spike test looks
    /// one place past the end, where a longer, earlier interval may have left its flags.
    rows: Vec<u16>,
    x: Vec<f32>,
    y: Vec<f32>,
    s: Vec<f32>,
    d: Vec<f32>,
    residual: Vec<f32>,
}

impl Scratch {
    /// Room for ramps of `nread` reads.
    pub fn new(nread: usize, params: &Params) -> Self {
        let floats = || vec![0.0; nread];
        Self {
            weights: Weights::new(params.gain, nread),
            nread,
            sci: floats(),
            err: floats(),
            time: floats(),
            dark: floats(),
            dq: vec![0; nread],
            excluded: vec![false; nread],
            cleared: 0,
            zeroth: [0.0; 2],
            first_saturated: false,
            to_dn: 1.0,
            product_dq: 0,
            members: Vec::with_capacity(nread),
            bounds: Vec::with_capacity(nread + 1),
            rows: vec![0; nread * (nread + 1)],
            x: floats(),
            y: floats(),
            s: floats(),
            d: floats(),
            residual: floats(),
        }
    }

    /// Collect the samples of flat pixel `at`.
    pub fn load(&mut self, reads: &Reads<'_>, params: &Params, at: usize) {
        let ignored = ignored(params);
        self.to_dn = reads.to_dn.map_or(1.0, |image| image[at]);
        self.zeroth = [reads.sci.plane(0)[at], reads.err.plane(0)[at]];
        self.first_saturated = params.zeroth_rescue && reads.dq.plane(1)[at] & SATPIXEL != 0;
        let (mut any, mut all) = (0, u16::MAX);
        for r in 0..self.nread {
            let time = match reads.times {
                Times::PerRead(times) => times[r],
                Times::PerPixel(times) => times.plane(r)[at],
            };
            let factor = if params.rate { time } else { 1.0 };
            self.sci[r] = (reads.sci.plane(r)[at] * self.to_dn) * factor;
            self.err[r] = (reads.err.plane(r)[at] * self.to_dn) * factor;
            self.time[r] = time;
            self.dark[r] = time * self.weights.dark;
            let flags = reads.dq.plane(r)[at];
            self.dq[r] = flags & !ignored;
            self.excluded[r] = reads.excluded[r];
            any |= flags;
            all &= flags;
        }
        self.cleared = 0;
        if !params.parity {
            // A fit before this one left 8192 behind, and 4 or 32 on single reads; a bad pixel of the
            // detector carries its 4 or 32 in every read. Q11.
            self.cleared = (any & DATAREJECT) | (any & !all & (DETECTORPROB | UNSTABLE));
            for r in 0..self.nread {
                self.dq[r] &= !self.cleared;
                // "Leave this read out", said in the file: meant for every mode, not for the product. Q17.
                self.excluded[r] |= self.dq[r] & SPIKE != 0;
                // A sample that is not a number spoils a sum: out.
                self.excluded[r] |= self.sci[r].is_nan() || self.err[r].is_nan();
                self.dq[r] &= !SPIKE;
            }
        }
        let kept = (0..self.nread).filter(|&r| !reads.excluded[r]);
        self.product_dq = kept.fold(0, |sum, r| sum | self.dq[r]) & !SATPIXEL;
        self.rows.fill(0);
    }

    /// Fit the loaded pixel.
    pub fn solve(&mut self, params: &Params) -> Solved {
        if self.first_saturated {
            // Nothing but the zeroth read holds a signal.
            return Solved {
                rate: self.zeroth[0],
                err: self.zeroth[1],
                // Its own flags, 256 included.
                dq: self.dq[0],
                samp: 1,
                time: params.zeroth_time,
                unstable: false,
            };
        }
        if self.to_dn == 0.0 {
            // No response (flat field 0): the pipeline's answer after flat-fielding is 0 as well.
            return Solved { dq: self.product_dq, ..Solved::default() };
        }
        let mut found = self.search(Mode::Strict, params);
        if found == Search::NoSamples {
            found = self.search(Mode::Lenient, params);
        }
        let mut solved = match found {
            Search::NoSamples => Solved { err: 1e5, ..Solved::default() },
            Search::Unstable => self.two_points(params),
            Search::Settled => self.combine().unwrap_or_else(|| self.two_points(params)),
        };
        if !params.rate {
            solved.rate *= solved.time;
            solved.err *= solved.time;
        }
        solved.rate /= self.to_dn;
        solved.err /= self.to_dn;
        solved.dq = self.product_dq;
        let last = self.nread - 1;
        for r in 0..last {
            if self.dq[r] & DATAREJECT != 0 {
                self.dq[r + 1] |= DATAREJECT;
            }
        }
        if self.dq[..last].iter().any(|flags| flags & HIGH_CURVATURE != 0) {
            // Found at the last sample only, the pixel keeps its earlier hits. Q10.
            self.dq.iter_mut().for_each(|flags| *flags = (*flags | HIGH_CURVATURE) & !DATAREJECT);
        }
        if self.dq[last] & HIGH_CURVATURE != 0 {
            solved.dq = (solved.dq | UNSTABLE) & !DATAREJECT;
            solved.unstable = true;
        }
        solved
    }

    /// Add what was found to the stored DQ of every read.
    pub fn store_flags<'a>(&self, stored: impl Iterator<Item = &'a mut u16>) {
        for (r, stored) in stored.enumerate() {
            let found = self.dq[r];
            *stored &= !self.cleared;
            if self.first_saturated {
                continue;
            }
            *stored |= found & DATAREJECT;
            if found & SPIKE != 0 {
                *stored |= DETECTORPROB;
            }
            if found & HIGH_CURVATURE != 0 {
                *stored |= UNSTABLE;
            }
        }
    }

    /// Split, fit, look for spikes and hits; again until nothing sticks out.
    fn search(&mut self, mode: Mode, params: &Params) -> Search {
        let mut hits = 0;
        loop {
            if !self.split(mode, params) {
                return Search::NoSamples;
            }
            let Some((sample, spike)) = self.find(mode, params) else { return Search::Settled };
            if spike {
                self.dq[sample] |= SPIKE;
                continue;
            }
            hits += 1;
            if hits == MAX_HITS {
                self.dq[sample] |= HIGH_CURVATURE;
                return Search::Unstable;
            }
            self.dq[sample] |= DATAREJECT;
        }
    }

    /// Cut the ramp into intervals that start at its hits; false if no sample is left.
    fn split(&mut self, mode: Mode, params: &Params) -> bool {
        self.members.clear();
        self.bounds.clear();
        self.bounds.push(0);
        for k in 1..self.nread {
            if self.excluded[k] {
                continue;
            }
            let flags = self.dq[k];
            let (good, hit) = match mode {
                Mode::Strict => (flags == 0, flags == DATAREJECT),
                Mode::Lenient => {
                    // The reference program keeps a spike in the fit here. Q12.
                    let bad = if params.parity { params.bad_dq } else { params.bad_dq | SPIKE };
                    (flags & (bad | DATAREJECT) == 0, flags & DATAREJECT != 0)
                }
            };
            if !good && !hit {
                continue;
            }
            if hit {
                self.bounds.push(self.members.len());
            }
            let (row, place) = (self.bounds.len() - 1, self.members.len() - self.bounds[self.bounds.len() - 1]);
            self.rows[row * (self.nread + 1) + place] = flags;
            self.members.push(k);
        }
        let Some(&last) = self.members.last() else { return false };
        if self.dq[last] == DATAREJECT {
            // Hit in the last sample: there is no line after it. Its start closes the interval before.
            self.members.pop();
        } else {
            self.bounds.push(self.members.len());
        }
        true
    }

    fn intervals(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Copy the samples of interval `i` side by side.
    fn gather(&mut self, i: usize) -> usize {
        let (start, end) = (self.bounds[i], self.bounds[i + 1]);
        for (j, &k) in self.members[start..end].iter().enumerate() {
            self.x[j] = self.time[k];
            self.y[j] = self.sci[k];
            self.s[j] = self.err[k];
            self.d[j] = self.dark[k];
        }
        end - start
    }

    fn samples(&self, n: usize) -> Samples<'_> {
        Samples { x: &self.x[..n], y: &self.y[..n], s: &self.s[..n], d: &self.d[..n] }
    }

    /// The first sample that sticks out of its interval's line, and whether it is a spike.
    fn find(&mut self, mode: Mode, params: &Params) -> Option<(usize, bool)> {
        for i in 0..self.intervals() {
            let n = self.gather(i);
            if n < 2 {
                continue;
            }
            let fitted = line::fit_line(self.samples(n), &self.weights, false);
            let row = &self.rows[i * (self.nread + 1)..(i + 1) * (self.nread + 1)];
            for j in 0..n {
                let usable = match mode {
                    Mode::Strict => row[j] == 0,
                    Mode::Lenient => row[j] & params.bad_dq == 0,
                };
                self.residual[j] = if usable && self.s[j] != 0.0 {
                    (self.y[j] - (fitted.intercept + fitted.slope * self.x[j])) / self.s[j]
                } else {
                    0.0
                };
            }
            let residual = &self.residual[..n];
            let sample = |place: usize| self.members[self.bounds[i] + place];
            if let Some(place) = find_spike(residual, row, params.bad_dq) {
                return Some((sample(place), true));
            }
            if let Some(place) = find_hit(residual, row, params) {
                return Some((sample(place), false));
            }
        }
        None
    }

    /// Weighted mean of the slopes; none if no interval has a weight.
    fn combine(&mut self) -> Option<Solved> {
        let (mut covered, mut weight, mut sum) = (0.0f32, 0.0f32, 0.0f32);
        let mut samp = 0;
        for i in 0..self.intervals() {
            let n = self.gather(i);
            samp += if i == 0 { n as i16 + 1 } else { n as i16 - 1 };
            let Some(&k) = self.members[self.bounds[i]..self.bounds[i + 1]].first() else { continue };
            if n > 1 {
                if i == 0 {
                    covered += self.time[k] - self.time[k - 1];
                }
                let fitted = line::fit_line(self.samples(n), &self.weights, true);
                covered += self.x[n - 1] - self.x[0];
                let variance = fitted.error * fitted.error;
                if variance != 0.0 {
                    weight = (f64::from(weight) + 1.0 / f64::from(variance)) as f32;
                    sum += fitted.slope / variance;
                }
            } else if self.rows[i * (self.nread + 1)] & DATAREJECT == 0 {
                let slope = self.y[0] / self.x[0];
                let error = self.s[0] / self.x[0];
                covered += self.time[k] - self.time[k - 1];
                let variance = error * error;
                if variance != 0.0 {
                    weight += 1.0 / variance;
                    sum += slope / variance;
                }
            }
        }
        (weight > 0.0).then(|| Solved {
            rate: sum / weight,
            err: (1.0 / weight).sqrt(),
            samp,
            time: covered,
            ..Solved::default()
        })
    }

    /// Rate between the first and the last usable sample, where no line could be trusted.
    fn two_points(&self, params: &Params) -> Solved {
        let usable = |k: &usize| !self.excluded[*k];
        let found = (1..self.nread).filter(usable).find(|&k| self.dq[k] & params.bad_dq == 0);
        let first = found.unwrap_or(0);
        // The first sample may be counted twice: the reference program does. Q15.
        let mut samp = i16::from(found.is_some());
        let mut last = first;
        for k in (first..self.nread).filter(usable) {
            if self.dq[k] == 0 {
                last = k;
                samp += 1;
            }
        }
        if last == first {
            return Solved::default();
        }
        let span = self.time[last] - self.time[first];
        let (e0, e1) = (self.err[first], self.err[last]);
        // The reference program subtracts the errors, which can leave none, or less. Q16.
        let noise = if params.parity { e1 - e0 } else { (e0 * e0 + e1 * e1).sqrt() };
        Solved {
            rate: (self.sci[last] - self.sci[first]) / span,
            err: noise / span,
            samp,
            time: span,
            ..Solved::default()
        }
    }
}

/// The highest residual that stands above both neighbours, which lie below the line.
fn find_spike(residual: &[f32], row: &[u16], bad_dq: u16) -> Option<usize> {
    let clean = |place: usize| row[place] & (bad_dq | DATAREJECT | SPIKE) == 0;
    let (mut best, mut found) = (0.0f32, None);
    // The flags tested lie one place after the residuals, up to one past the end. Q14.
    for k in 2..residual.len() {
        if !(clean(k - 1) && clean(k) && clean(k + 1)) {
            continue;
        }
        let (before, here, after) = (residual[k - 2], residual[k - 1], residual[k]);
        let sticks_out = here - before > SPIKE_SIGMA && here - after > SPIKE_SIGMA;
        if sticks_out && before < 0.0 && after < 0.0 && here.abs() > best {
            best = here;
            found = Some(k - 1);
        }
    }
    found
}

/// The largest step from one residual to the next, up or down.
fn find_hit(residual: &[f32], row: &[u16], params: &Params) -> Option<usize> {
    let clean = |place: usize| row[place] & (params.bad_dq | DATAREJECT) == 0;
    let (mut before, mut best, mut found) = (0.0f32, 0.0f32, None);
    for k in 1..residual.len() {
        if clean(k - 1) {
            before = residual[k - 1];
        }
        if clean(k) {
            let step = (residual[k] - before).abs();
            if step > params.crsigma {
                if step > best {
                    best = step;
                    found = Some(k);
                }
                before = residual[k];
            }
        }
    }
    found
}
