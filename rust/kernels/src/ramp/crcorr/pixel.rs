//! One pixel with all the rules: the truth that [`super::block`] and [`super::onehit`] must agree with.

use super::line::{self, Sample, Weights};
use super::tile::Ramps;
use super::{Params, Reads, Solved, Times, ignored};
use crate::dq::{DATAREJECT, DETECTORPROB, HIGH_CURVATURE, SATPIXEL, SPIKE, UNSTABLE};
use std::ops::Range;

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

/// A sample that sticks out.
struct Found {
    interval: usize,
    /// Where in the interval.
    place: usize,
    spike: bool,
}

/// One pixel's ramp, and room to fit it.
pub(super) struct Scratch {
    weights: Weights,
    nread: usize,
    /// Reads that may enter the fit.
    used: Vec<usize>,
    /// Their samples.
    ramp: Vec<Sample>,
    time: Vec<f32>,
    /// Working flags.
    dq: Vec<u16>,
    /// Samples that take part in nothing.
    excluded: Vec<bool>,
    /// Reads that begin an interval, hit or not.
    breaks: Vec<bool>,
    /// Where among the used reads most lie between two breaks.
    longest: Range<usize>,
    /// Earlier flags of this pixel, to clear from the stored DQ of every read.
    cleared: u16,
    /// All used samples are without a flag, and take part.
    clean: bool,
    /// Place of the first hit among the used reads, where it has been seen.
    hit: Option<usize>,
    /// Signal and error of the zeroth read, for a pixel saturated in the first.
    rescued: Option<[f32; 2]>,
    to_dn: f32,
    product_dq: u16,
    // Intervals: samples[bounds[i]..bounds[i + 1]] are the samples of interval i.
    bounds: Vec<usize>,
    samples: Vec<Sample>,
    /// Their reads.
    members: Vec<usize>,
    /// DQ of each interval's samples, one row an interval. Not cleared between searches: the spike test looks
    /// one place past the end, where a longer, earlier interval may have left its flags.
    rows: Vec<u16>,
    residual: Vec<f32>,
}

impl Scratch {
    /// Room for the ramps of these reads.
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let used: Vec<usize> = (1..nread).filter(|&r| !reads.excluded[r]).collect();
        let time = match reads.times {
            Times::PerRead(times) => times.to_vec(),
            Times::PerPixel(_) => vec![0.0; nread],
        };
        Self {
            weights: Weights::new(params.gain, nread),
            nread,
            breaks: reads.breaks.to_vec(),
            longest: longest(&used, reads.breaks),
            ramp: used.iter().map(|&r| Sample::new(time[r], 0.0, 0.0)).collect(),
            used,
            time,
            dq: vec![0; nread],
            excluded: reads.excluded.to_vec(),
            cleared: 0,
            clean: false,
            hit: None,
            rescued: None,
            to_dn: 1.0,
            product_dq: 0,
            bounds: Vec::with_capacity(nread + 1),
            samples: Vec::with_capacity(nread),
            members: Vec::with_capacity(nread),
            rows: vec![0; nread * (nread + 1)],
            residual: vec![0.0; nread],
        }
    }

    /// Collect the samples of flat pixel `at`, which is pixel `pixel` of `ramps`. `hit` is the place of its first
    /// hit among the used reads, if those are known to be clean and the hit is known.
    pub fn load(
        &mut self,
        reads: &Reads<'_>,
        params: &Params,
        at: usize,
        (ramps, pixel): (&Ramps, usize),
        hit: Option<usize>,
    ) {
        self.to_dn = ramps.to_dn(pixel);
        self.hit = hit;
        if let Times::PerPixel(times) = reads.times {
            for (r, time) in self.time.iter_mut().enumerate() {
                *time = times.plane(r)[at];
            }
            for (sample, &r) in self.ramp.iter_mut().zip(&self.used) {
                *sample = Sample::new(self.time[r], 0.0, 0.0);
            }
        }
        for (sample, (y, s)) in self.ramp.iter_mut().zip(ramps.samples(pixel)) {
            sample.set(y, s);
        }
        self.load_flags(reads, params, ramps.flags(pixel));
        let saturated =
            params.zeroth_rescue && ramps.flags(pixel).nth(1).is_some_and(|dq| dq & SATPIXEL != 0);
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
        self.clean = any & !ignored == 0;
        self.cleared = 0;
        if !params.parity {
            // A fit before this one left 8192 behind, and 4 or 32 on single reads; a bad pixel of the
            // detector carries its 4 or 32 in every read. Q11.
            self.cleared = (any & DATAREJECT) | (any & !all & (DETECTORPROB | UNSTABLE));
            self.exclude(reads);
        }
        let kept = self.dq.iter().zip(reads.excluded).filter(|&(_, &out)| !out);
        self.product_dq = kept.fold(0, |sum, (flags, _)| sum | flags) & !SATPIXEL;
    }

    /// Leave out samples that say so, or that are not numbers: what the reference program does not.
    fn exclude(&mut self, reads: &Reads<'_>) {
        self.excluded.copy_from_slice(reads.excluded);
        for (flags, out) in self.dq.iter_mut().zip(&mut self.excluded) {
            *flags &= !self.cleared;
            // "Leave this read out", said in the file: meant for every mode, not for the product. Q17.
            *out |= *flags & SPIKE != 0;
            *flags &= !SPIKE;
        }
        for (sample, &r) in self.ramp.iter().zip(&self.used) {
            // A sample that is not a number spoils a sum.
            let spoilt = sample.y().is_nan() || sample.s().is_nan();
            self.excluded[r] |= spoilt;
            self.clean &= !spoilt;
        }
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
        let found = if self.rescued.is_some() { 0 } else { u16::MAX };
        for (&flags, stored) in self.dq.iter().zip(stored) {
            let flags = flags & found;
            *stored &= !self.cleared;
            *stored |= flags & DATAREJECT;
            *stored |= if flags & SPIKE != 0 { DETECTORPROB } else { 0 };
            *stored |= if flags & HIGH_CURVATURE != 0 { UNSTABLE } else { 0 };
        }
    }

    /// Split, fit, look for spikes and hits; again until nothing sticks out.
    fn search(&mut self, mode: Mode, params: &Params) -> Search {
        if !self.split(mode, params) {
            return Search::NoSamples;
        }
        let (mut hits, mut from) = (0, 0);
        let mut found = self.hit.take().map(|place| Found { interval: 0, place, spike: false });
        // Nothing stuck out of the intervals before the last find, and they have not changed since.
        while let Some(Found { interval, place, spike }) =
            found.take().or_else(|| self.find(from, mode, params))
        {
            from = interval;
            let sample = self.members[self.bounds[interval] + place];
            self.clean = false;
            if spike {
                self.dq[sample] |= SPIKE;
                if !self.split(mode, params) {
                    return Search::NoSamples;
                }
                continue;
            }
            hits += 1;
            if hits == MAX_HITS {
                self.dq[sample] |= HIGH_CURVATURE;
                return Search::Unstable;
            }
            self.dq[sample] |= DATAREJECT;
            self.cut(interval, place);
        }
        Search::Settled
    }

    /// Cut the ramp into intervals that start at its hits; false if no sample is left.
    fn split(&mut self, mode: Mode, params: &Params) -> bool {
        self.bounds.clear();
        self.bounds.push(0);
        self.samples.clear();
        self.members.clear();
        if self.clean && self.longest.len() == self.used.len() {
            self.samples.extend_from_slice(&self.ramp);
            self.members.extend_from_slice(&self.used);
        } else {
            self.choose(mode, params);
        }
        self.bounds.push(self.members.len());
        if self.members.is_empty() {
            return false;
        }
        self.write_rows(0);
        self.drop_last_hit();
        true
    }

    /// Choose the samples that take part, and begin an interval at each hit and break.
    fn choose(&mut self, mode: Mode, params: &Params) {
        // The reference program keeps a spike in a lenient fit. Q12.
        let bad = if params.parity { params.bad_dq } else { params.bad_dq | SPIKE };
        let mut broken = false;
        for (sample, &k) in self.ramp.iter().zip(&self.used) {
            // The first sample that takes part after a break begins the interval.
            broken |= self.breaks[k];
            let flags = self.dq[k];
            let (good, hit) = match mode {
                Mode::Strict => (flags == 0, flags == DATAREJECT),
                Mode::Lenient => (flags & (bad | DATAREJECT) == 0, flags & DATAREJECT != 0),
            };
            if self.excluded[k] || !(good || hit) {
                continue;
            }
            if hit || (broken && !self.members.is_empty()) {
                self.bounds.push(self.members.len());
            }
            broken = false;
            self.samples.push(*sample);
            self.members.push(k);
        }
    }

    /// Cut interval `i` at a hit found at one of its places, as splitting anew would.
    fn cut(&mut self, i: usize, place: usize) {
        self.bounds.insert(i + 1, self.bounds[i] + place);
        if self.bounds.last() != Some(&self.members.len()) {
            // A dropped hit is an interval again while rows are written.
            self.bounds.push(self.members.len());
        }
        self.write_rows(i);
        self.drop_last_hit();
    }

    /// Set out the flags of the samples of intervals `from` on.
    fn write_rows(&mut self, from: usize) {
        let rows = self.rows.chunks_mut(self.nread + 1).zip(self.bounds.windows(2)).skip(from);
        for (row, bounds) in rows {
            for (stored, &k) in row.iter_mut().zip(&self.members[bounds[0]..bounds[1]]) {
                *stored = self.dq[k];
            }
        }
    }

    /// Hit in the last sample: there is no line after it. Its start closes the interval before.
    fn drop_last_hit(&mut self) {
        let last = self.members[self.members.len() - 1];
        if self.dq[last] == DATAREJECT {
            self.bounds.pop();
        }
    }

    fn intervals(&self) -> usize {
        self.bounds.len() - 1
    }

    fn interval(&self, i: usize) -> &[Sample] {
        &self.samples[self.bounds[i]..self.bounds[i + 1]]
    }

    /// Flags of the samples of interval `i`, and of the place after the last.
    fn row(&self, i: usize) -> &[u16] {
        &self.rows[i * (self.nread + 1)..(i + 1) * (self.nread + 1)]
    }

    /// The first sample that sticks out of its interval's line, from interval `from` on.
    fn find(&mut self, from: usize, mode: Mode, params: &Params) -> Option<Found> {
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
            if let Some(place) = find_spike(residual, row, params.bad_dq) {
                return Some(Found { interval: i, place, spike: true });
            }
            if let Some(place) = find_hit(residual, row, params) {
                return Some(Found { interval: i, place, spike: false });
            }
        }
        None
    }

    /// Residuals of interval `i` from its line, in sigma; 0 for samples that have an unusable flag.
    fn take_residuals(&mut self, i: usize, unusable: u16) {
        let samples = &self.samples[self.bounds[i]..self.bounds[i + 1]];
        let line = line::fit_line(samples, &self.weights, 0);
        let row = &self.rows[i * (self.nread + 1)..];
        for ((residual, sample), flags) in self.residual.iter_mut().zip(samples).zip(row) {
            let off = (sample.y() - (line.intercept + line.slope * sample.x())) / sample.s();
            *residual = if flags & unusable == 0 && sample.s() != 0.0 { off } else { 0.0 };
        }
    }

    /// Weighted mean of the slopes; none if no interval has a weight.
    fn combine(&self) -> Option<Solved> {
        let (mut covered, mut weight, mut sum) = (0.0f32, 0.0f32, 0.0f32);
        let mut samp = 0;
        for i in 0..self.intervals() {
            let samples = self.interval(i);
            let n = samples.len();
            let struck = self.row(i)[0] & DATAREJECT != 0;
            // What fell in before the first sample counts, unless the ramp is cut there.
            let begins = i == 0 && n > 0 && !self.breaks[self.members[0]];
            samp += match n as i16 {
                n if begins || (i == 0 && n == 0) => n + 1,
                n if struck => n - 1,
                // One sample alone after a break tells nothing.
                1 => 0,
                n => n,
            };
            if n > 1 {
                if begins {
                    covered += self.time_before(i);
                }
                let (start, end) = (samples[0].x(), samples[n - 1].x());
                covered += end - start;
                let dark = end * self.weights.dark - start * self.weights.dark;
                let (slope, error) = line::fit_slope(samples, &self.weights, dark);
                let variance = error * error;
                if variance != 0.0 {
                    weight = (f64::from(weight) + 1.0 / f64::from(variance)) as f32;
                    sum += slope / variance;
                }
            } else if begins && n == 1 && !struck {
                let slope = samples[0].y() / samples[0].x();
                let error = samples[0].s() / samples[0].x();
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
        let steady = self.used.iter().zip(&self.ramp).take(self.longest.end).skip(self.longest.start);
        let usable = steady.filter(|&(&k, _)| !self.excluded[k]);
        let mut samples = usable.map(|(&k, sample)| (self.dq[k], sample));
        // Where all samples are bad, none is clean either.
        let Some((flags, first)) = samples.find(|(flags, _)| flags & params.bad_dq == 0) else {
            return Solved::default();
        };
        // The first sample may be counted twice: the reference program does. Q15.
        let mut samp = if flags == 0 { 2 } else { 1 };
        let mut last = None;
        for (_, sample) in samples.filter(|&(flags, _)| flags == 0) {
            last = Some(sample);
            samp += 1;
        }
        let Some(last) = last else { return Solved::default() };
        let span = last.x() - first.x();
        let (e0, e1) = (first.s(), last.s());
        // The reference program subtracts the errors, which can leave none, or less. Q16.
        let noise = if params.parity { e1 - e0 } else { (e0 * e0 + e1 * e1).sqrt() };
        Solved {
            rate: (last.y() - first.y()) / span,
            err: noise / span,
            samp,
            time: span,
            ..Solved::default()
        }
    }
}

/// Where most of the used reads lie between two breaks: all of them if there is none.
fn longest(used: &[usize], breaks: &[bool]) -> Range<usize> {
    let starts = (1..used.len()).filter(|&j| breaks[used[j]]).chain([used.len()]);
    let mut from = 0;
    let parts = starts.map(|to| std::mem::replace(&mut from, to)..to);
    parts.max_by_key(|part| part.len()).unwrap_or(0..0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Cube;
    use proptest::prelude::*;

    const NREAD: usize = 14;

    /// Samples of one pixel with steps (up or down, also on the last reads), spikes and flags.
    fn pixel() -> impl Strategy<Value = (Vec<f32>, Vec<u16>)> {
        let step = prop_oneof![3 => Just(0.0f32), 1 => -900.0f32..900.0];
        let sample = (step, prop_oneof![9 => Just(0.0f32), 1 => 0.0f32..500.0], -9.0f32..9.0);
        let flags = prop_oneof![20 => Just(0u16), 1 => Just(16u16), 1 => Just(256u16), 1 => Just(8192u16)];
        let samples = prop::collection::vec(sample, NREAD);
        (samples, prop::collection::vec(flags, NREAD)).prop_map(|(samples, flags)| {
            let mut sum = 0.0;
            let signal = samples.iter().map(|(step, spike, noise)| {
                sum += step + 20.0;
                sum + spike + noise
            });
            (signal.collect(), flags)
        })
    }

    proptest! {
        #[test]
        fn a_settled_search_would_find_nothing_anew(
            (sci, dq) in pixel(), parity in any::<bool>(), crsigma in 3.0f32..9.0) {
            let times: Vec<f32> = (0..NREAD).map(|r| 25.0 * r as f32).collect();
            let shape = [NREAD, 1, 1];
            let reads = Reads {
                sci: Cube::new("sci", &sci, shape).unwrap(),
                err: Cube::new("err", &[9.0; NREAD], shape).unwrap(),
                dq: Cube::new("dq", &dq, shape).unwrap(),
                times: Times::PerRead(&times),
                excluded: &[false; NREAD],
                breaks: &[false; NREAD],
                to_dn: None,
            };
            let params = Params {
                crsigma, bad_dq: 256, gain: 2.35, rate: false, zeroth_rescue: false, zeroth_time: 2.9, parity,
            };
            let plan = super::super::block::Plan::new(&reads, &params);
            let mut block = plan.scratch();
            plan.solve(&reads, &params, 0, 1, &mut block);
            let mut ramp = Scratch::new(&reads, &params);
            for mode in [Mode::Strict, Mode::Lenient] {
                ramp.load(&reads, &params, 0, (&block.ramps, 0), block.next_struck(0).map(|(_, hit)| hit));
                if ramp.search(mode, &params) == Search::Settled {
                    let (bounds, rows) = (ramp.bounds.clone(), ramp.rows.clone());
                    prop_assert!(ramp.split(mode, &params));
                    prop_assert_eq!((bounds, rows), (ramp.bounds.clone(), ramp.rows.clone()));
                    prop_assert!(ramp.find(0, mode, &params).is_none());
                }
            }
        }
    }
}
