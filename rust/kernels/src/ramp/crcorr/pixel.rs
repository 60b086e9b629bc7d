//! One pixel with all the rules: the truth that [`super::block`] must agree with.

use super::line::{self, Samples, Terms, Weights};
use super::{Params, Reads, Solved, Times, block, ignored};
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
    /// Reads that may enter the fit.
    used: Vec<usize>,
    // The ramp, by read; signal and errors of used reads only.
    sci: Vec<f32>,
    err: Vec<f32>,
    time: Vec<f32>,
    /// Working flags.
    dq: Vec<u16>,
    /// Samples that take part in nothing.
    excluded: Vec<bool>,
    /// Earlier flags of this pixel, to clear from the stored DQ of every read.
    cleared: u16,
    /// Signal and error of the zeroth read, for a pixel saturated in the first.
    rescued: Option<[f32; 2]>,
    to_dn: f32,
    product_dq: u16,
    // Intervals: samples[bounds[i]..bounds[i + 1]] are the samples of interval i.
    bounds: Vec<usize>,
    members: Vec<usize>,
    x: Vec<f32>,
    y: Vec<f32>,
    s: Vec<f32>,
    terms: Vec<Terms>,
    /// DQ of each interval's samples, one row an interval. Not cleared between searches: the spike test looks
    /// one place past the end, where a longer, earlier interval may have left its flags.
    rows: Vec<u16>,
    residual: Vec<f32>,
}

impl Scratch {
    /// Room for the ramps of these reads.
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let floats = || vec![0.0; nread];
        Self {
            weights: Weights::new(params.gain, nread),
            nread,
            used: (1..nread).filter(|&r| !reads.excluded[r]).collect(),
            sci: floats(),
            err: floats(),
            time: match reads.times {
                Times::PerRead(times) => times.to_vec(),
                Times::PerPixel(_) => floats(),
            },
            dq: vec![0; nread],
            excluded: reads.excluded.to_vec(),
            cleared: 0,
            rescued: None,
            to_dn: 1.0,
            product_dq: 0,
            bounds: Vec::with_capacity(nread + 1),
            members: Vec::with_capacity(nread),
            x: Vec::with_capacity(nread),
            y: Vec::with_capacity(nread),
            s: Vec::with_capacity(nread),
            terms: Vec::with_capacity(nread),
            rows: vec![0; nread * (nread + 1)],
            residual: floats(),
        }
    }

    /// Collect the samples of flat pixel `at`, which the block holds as `pixel`.
    pub fn load(
        &mut self,
        reads: &Reads<'_>,
        params: &Params,
        at: usize,
        block: &block::Scratch,
        pixel: usize,
    ) {
        self.to_dn = block.to_dn(pixel);
        for (&r, sample) in self.used.iter().zip(block.samples(pixel)) {
            (self.sci[r], self.err[r]) = sample;
        }
        if let Times::PerPixel(times) = reads.times {
            for (r, time) in self.time.iter_mut().enumerate() {
                *time = times.plane(r)[at];
            }
        }
        self.load_flags(reads, params, block.flags(pixel));
        let saturated = params.zeroth_rescue && block.flags(pixel).nth(1).is_some_and(|dq| dq & SATPIXEL != 0);
        self.rescued = saturated.then(|| [reads.sci.plane(0)[at], reads.err.plane(0)[at]]);
        self.rows.fill(0);
    }

    /// Set out the flags to work with, and which samples they leave out.
    fn load_flags(&mut self, reads: &Reads<'_>, params: &Params, stored: impl Iterator<Item = u16>) {
        let ignored = ignored(params);
        let (mut any, mut all) = (0, u16::MAX);
        for (dq, flags) in self.dq.iter_mut().zip(stored) {
            *dq = flags & !ignored;
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
                self.excluded[r] = reads.excluded[r] || self.dq[r] & SPIKE != 0;
                self.dq[r] &= !SPIKE;
            }
            for &r in &self.used {
                // A sample that is not a number spoils a sum: out.
                self.excluded[r] |= self.sci[r].is_nan() || self.err[r].is_nan();
            }
        }
        let kept = (0..self.nread).filter(|&r| !reads.excluded[r]);
        self.product_dq = kept.fold(0, |sum, r| sum | self.dq[r]) & !SATPIXEL;
    }

    /// Fit the loaded pixel.
    pub fn solve(&mut self, params: &Params) -> Solved {
        if let Some([rate, err]) = self.rescued {
            // Nothing but the zeroth read holds a signal. Its own flags, 256 included.
            return Solved { rate, err, dq: self.dq[0], samp: 1, time: params.zeroth_time, unstable: false };
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
        self.spread_flags(&mut solved);
        solved
    }

    /// Hits last to the end of the ramp; with too many of them the pixel is unstable.
    fn spread_flags(&mut self, solved: &mut Solved) {
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
    }

    /// Add what was found to the stored DQ of every read.
    pub fn store_flags<'a>(&self, stored: impl Iterator<Item = &'a mut u16>) {
        for (&found, stored) in self.dq.iter().zip(stored) {
            *stored &= !self.cleared;
            if self.rescued.is_some() {
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
        let (mut hits, mut interval) = (0, 0);
        loop {
            if !self.split(mode, params) {
                return Search::NoSamples;
            }
            // Nothing stuck out of the intervals before this one, and they have not changed.
            let Some((found, sample, spike)) = self.find(interval, mode, params) else {
                return Search::Settled;
            };
            interval = found;
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
        self.clear_samples();
        self.bounds.clear();
        self.bounds.push(0);
        let (mut row, mut place) = (0, 0);
        for u in 0..self.used.len() {
            let k = self.used[u];
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
                (row, place) = (row + 1, 0);
            }
            self.rows[row * (self.nread + 1) + place] = flags;
            place += 1;
            self.push_sample(k);
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

    fn clear_samples(&mut self) {
        self.members.clear();
        self.x.clear();
        self.y.clear();
        self.s.clear();
        self.terms.clear();
    }

    fn push_sample(&mut self, k: usize) {
        let (x, y) = (self.time[k], self.sci[k]);
        self.members.push(k);
        self.x.push(x);
        self.y.push(y);
        self.s.push(self.err[k]);
        self.terms.push(line::terms(x, y));
    }

    fn intervals(&self) -> usize {
        self.bounds.len() - 1
    }

    fn samples(&self, i: usize) -> Samples<'_> {
        let places = self.bounds[i]..self.bounds[i + 1];
        Samples {
            x: &self.x[places.clone()],
            y: &self.y[places.clone()],
            s: &self.s[places.clone()],
            terms: &self.terms[places],
        }
    }

    /// Flags of the samples of interval `i`, and of the place after the last.
    fn row(&self, i: usize) -> &[u16] {
        &self.rows[i * (self.nread + 1)..(i + 1) * (self.nread + 1)]
    }

    /// The first sample that sticks out of its interval's line, from interval `from` on: the interval, the
    /// sample, and whether it is a spike.
    fn find(&mut self, from: usize, mode: Mode, params: &Params) -> Option<(usize, usize, bool)> {
        let unusable = match mode {
            Mode::Strict => u16::MAX,
            Mode::Lenient => params.bad_dq,
        };
        for i in from..self.intervals() {
            let n = self.bounds[i + 1] - self.bounds[i];
            if n < 2 {
                continue;
            }
            self.take_residuals(i, unusable);
            let (residual, row) = (&self.residual[..n], self.row(i));
            if quiet(residual, row, params) {
                continue;
            }
            let sample = |place: usize| self.members[self.bounds[i] + place];
            if let Some(place) = find_spike(residual, row, params.bad_dq) {
                return Some((i, sample(place), true));
            }
            if let Some(place) = find_hit(residual, row, params) {
                return Some((i, sample(place), false));
            }
        }
        None
    }

    /// Residuals of interval `i` from its line, in sigma; 0 for samples that have an unusable flag.
    fn take_residuals(&mut self, i: usize, unusable: u16) {
        let samples = self.samples(i);
        let line = line::fit_line(samples, &self.weights, 0);
        let n = samples.x.len();
        let Self { bounds, x, y, s, rows, residual, nread, .. } = self;
        let places = bounds[i]..bounds[i + 1];
        let (x, y, s) = (&x[places.clone()], &y[places.clone()], &s[places]);
        let row = &rows[i * (*nread + 1)..][..n];
        let residual = &mut residual[..n];
        for j in 0..n {
            let off = (y[j] - (line.intercept + line.slope * x[j])) / s[j];
            residual[j] = if row[j] & unusable == 0 && s[j] != 0.0 { off } else { 0.0 };
        }
    }

    /// Weighted mean of the slopes; none if no interval has a weight.
    fn combine(&self) -> Option<Solved> {
        let (mut covered, mut weight, mut sum) = (0.0f32, 0.0f32, 0.0f32);
        let mut samp = 0;
        for i in 0..self.intervals() {
            let samples = self.samples(i);
            let Samples { x, y, s, .. } = samples;
            let n = x.len();
            samp += if i == 0 { n as i16 + 1 } else { n as i16 - 1 };
            if n > 1 {
                if i == 0 {
                    covered += self.time_before(i);
                }
                covered += x[n - 1] - x[0];
                let dark = x[n - 1] * self.weights.dark - x[0] * self.weights.dark;
                let (line, error) = line::fit_weighted(samples, &self.weights, dark);
                let variance = error * error;
                if variance != 0.0 {
                    weight = (f64::from(weight) + 1.0 / f64::from(variance)) as f32;
                    sum += line.slope / variance;
                }
            } else if n == 1 && self.row(i)[0] & DATAREJECT == 0 {
                let slope = y[0] / x[0];
                let error = s[0] / x[0];
                covered += self.time_before(i);
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

    /// Time from the read before interval `i` to its first sample.
    fn time_before(&self, i: usize) -> f32 {
        let k = self.members[self.bounds[i]];
        self.time[k] - self.time[k - 1]
    }

    /// Rate between the first and the last usable sample, where no line could be trusted.
    fn two_points(&self, params: &Params) -> Solved {
        let usable = |k: &usize| !self.excluded[*k];
        let found = self.used.iter().copied().filter(usable).find(|&k| self.dq[k] & params.bad_dq == 0);
        // Where all samples are bad, none is clean either.
        let Some(first) = found else { return Solved::default() };
        // The first sample may be counted twice: the reference program does. Q15.
        let (mut last, mut samp) = (first, 1);
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

/// Whether no residual differs from the one before enough for a spike or a hit: nearly always so.
fn quiet(residual: &[f32], row: &[u16], params: &Params) -> bool {
    let limit = params.crsigma.min(SPIKE_SIGMA);
    let (mut step, mut flags) = (false, 0);
    for k in 1..residual.len() {
        step |= (residual[k] - residual[k - 1]).abs() > limit;
        flags |= row[k];
    }
    // A hit is compared with 0 if the sample before is not clean, or with an earlier one: look closely.
    !step && flags == 0 && (residual[0] == 0.0 || row[0] == 0)
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
