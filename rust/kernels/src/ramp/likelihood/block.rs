//! The pixels of a block: load, guess, search, fit.
//!
//! All pixels go through two solutions, one for the search and one with the rate that it found. Those in which
//! something was left out are gathered from wherever they are and searched again, side by side too.

use super::covariance::Covariance;
use super::guess::Network;
use super::jumps;
use super::samples::{Run, SIZE, Samples};
use super::system::{Ramps, System};
use super::tile::{LANES, Tile};
use super::{Image, Params, Reads, Removed};
use crate::simd;
use crate::view::Cube;

/// Tiles in a block.
const TILES: usize = SIZE / LANES;

/// What all blocks share.
pub(super) struct Plan {
    pub cov: Covariance,
    network: Network,
}

impl Plan {
    pub fn new(cov: Covariance) -> Self {
        Self { network: Network::new(cov.len()), cov }
    }
}

/// A difference that was left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Pixel of the block.
    pub pixel: usize,
    /// Difference: the hit fell after this read.
    pub after: usize,
    /// Electrons.
    pub size: f64,
}

/// A block and its results.
pub(super) struct Block {
    pub samples: Samples,
    /// What was left out, in the order found.
    pub hits: Vec<Hit>,
    /// Differences of tile `t`: `rates[t * n + i]`, electrons per second.
    rates: Vec<Tile>,
    used: Vec<Tile>,
    /// Rate of the charge that has been subtracted, electrons per second; empty: none.
    removed: Vec<Tile>,
    /// Number of differences used.
    pub left: [Tile; TILES],
    /// Electrons per unit of the data.
    gain: [Tile; TILES],
    noise2: [Tile; TILES],
    dark: [Tile; TILES],
    /// 1 where gain, noise and dark current are such that there is an answer, else 0.
    valid: [Tile; TILES],
    /// Rate that the covariance of the search is for, dark current included.
    guess: [Tile; TILES],
    /// Count rate, electrons per second.
    rate: [Tile; TILES],
    pub results: [Results; TILES],
    system: System,
    sorted: Vec<Tile>,
    gathered: [Vec<Tile>; 3],
    active: Vec<usize>,
    before: Run<f64>,
    /// The same of the reads before anything was subtracted.
    before_removal: Run<f64>,
}

/// Answers for a tile, in units of the data; NaN without a usable difference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Results {
    pub rate: Tile,
    pub err: Tile,
    pub var_poisson: Tile,
    pub var_rnoise: Tile,
    pub chi2: Tile,
    /// Seconds between the samples used.
    pub time: Tile,
    /// Samples used.
    pub samples: Tile,
}

const NOTHING: Tile = [0.0; LANES];

impl Block {
    pub fn new(nread: usize, removed: bool) -> Self {
        let n = nread - 1;
        let room = |len: usize| vec![NOTHING; len];
        let empty = Results {
            rate: NOTHING,
            err: NOTHING,
            var_poisson: NOTHING,
            var_rnoise: NOTHING,
            chi2: NOTHING,
            time: NOTHING,
            samples: NOTHING,
        };
        Self {
            samples: Samples::new(nread),
            hits: Vec::new(),
            rates: room(TILES * n),
            used: room(TILES * n),
            removed: room(if removed { TILES * n } else { 0 }),
            left: [NOTHING; TILES],
            gain: [NOTHING; TILES],
            noise2: [NOTHING; TILES],
            dark: [NOTHING; TILES],
            valid: [NOTHING; TILES],
            guess: [NOTHING; TILES],
            rate: [NOTHING; TILES],
            results: [empty; TILES],
            system: System::new(n),
            sorted: room(n),
            gathered: [room(n), room(n), room(if removed { n } else { 0 })],
            active: Vec::new(),
            before: [0.0; SIZE],
            before_removal: [0.0; SIZE],
        }
    }

    /// Solve the `len` pixels from flat pixel `first` on.
    pub fn solve(&mut self, plan: &Plan, reads: &Reads<'_>, params: &Params, first: usize, len: usize) {
        simd::run(Solve { plan, reads, params, first, len, block: self });
    }

    /// The pixel's lane.
    pub fn at(tiles: &[Tile; TILES], pixel: usize) -> f64 {
        tiles[pixel / LANES][pixel % LANES]
    }

    /// Size of a hit, units of the data.
    pub fn in_data_units(&self, hit: &Hit) -> f64 {
        hit.size / Self::at(&self.gain, hit.pixel)
    }

    /// Whether the charges that two neighbouring differences are off by cancel: one read is off, not the ramp.
    pub fn cancel(&self, plan: &Plan, pixel: usize, after: usize) -> bool {
        let (t, l) = (pixel / LANES, pixel % LANES);
        let cov = &plan.cov;
        let rate = self.rate[t][l];
        let off = |i: usize| (self.rates[t * cov.len() + i][l] - rate) * cov.dt[i];
        let (a, b) = (off(after), off(after + 1));
        let span = cov.dt[after] + cov.dt[after + 1];
        let variance = 2.0 * self.noise2[t][l] + (rate.max(0.0) + self.dark[t][l]) * span;
        a * b < 0.0 && (a + b) * (a + b) < 9.0 * variance
    }
}

struct Solve<'a, 'b> {
    plan: &'a Plan,
    reads: &'a Reads<'b>,
    params: &'a Params,
    first: usize,
    len: usize,
    block: &'a mut Block,
}

impl simd::Loop for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, reads, params, first, len, block } = self;
        load(plan, reads, params, first, len, block);
        match reads.removed {
            Removed::Nothing => answer::<false>(plan, params, len, block),
            _ => answer::<true>(plan, params, len, block),
        }
    }
}

/// All of a block, once loaded. `REMOVED`: a background has been subtracted.
#[inline(always)]
fn answer<const REMOVED: bool>(plan: &Plan, params: &Params, len: usize, block: &mut Block) {
    block.hits.clear();
    block.active.clear();
    for t in 0..len.div_ceil(LANES) {
        search::<REMOVED>(plan, params, block, t);
    }
    while !block.active.is_empty() {
        search_again::<REMOVED>(plan, params, block);
    }
    for t in 0..len.div_ceil(LANES) {
        fit::<REMOVED>(plan, params, block, t);
    }
}

/// Flags, and differences per second in electrons.
#[inline(always)]
fn load(plan: &Plan, reads: &Reads<'_>, params: &Params, first: usize, len: usize, block: &mut Block) {
    let pixels = first..first + len;
    let n = plan.cov.len();
    let flags = &mut block.samples;
    if let Some(dq) = &reads.dq {
        for (r, run) in flags.flags.iter_mut().enumerate() {
            run[..len].copy_from_slice(&dq.plane(r)[pixels.clone()]);
        }
    }
    flags.judge(&params.rule, reads.excluded);
    spread(&reads.gain, pixels.clone(), &mut block.gain);
    spread(&reads.read_noise, pixels.clone(), &mut block.noise2);
    spread(&reads.dark, pixels.clone(), &mut block.dark);
    block.left = [NOTHING; TILES];
    for t in 0..TILES {
        for l in 0..LANES {
            let (gain, noise, dark) = (&mut block.gain[t][l], &mut block.noise2[t][l], &mut block.dark[t][l]);
            let good = *gain > 0.0 && *noise >= 0.0 && *dark >= 0.0 && (*gain + *noise + *dark) * 0.0 == 0.0;
            let good = good && t * LANES + l < len;
            // The others go along with harmless numbers.
            (*gain, *noise, *dark) = if good { (*gain, *noise * *noise, *dark) } else { (1.0, 1.0, 0.0) };
            block.valid[t][l] = if good { 1.0 } else { 0.0 };
        }
    }
    let before = &mut block.before;
    let scale = |r: usize| reads.scale[r];
    read_samples(&reads.sci.plane(0)[pixels.clone()], scale(0), before);
    for i in 0..n {
        let now = &reads.sci.plane(i + 1)[pixels.clone()];
        let (scale, per_second) = (scale(i + 1), 1.0 / plan.cov.dt[i]);
        let left_out = reads.mask.as_ref().map(|mask| &mask.plane(i)[pixels.clone()]);
        for t in 0..len.div_ceil(LANES) {
            let (rate, used) = (&mut block.rates[t * n + i], &mut block.used[t * n + i]);
            let from = t * LANES;
            let samples = scaled(now, from, scale);
            let usable: [&[u16; LANES]; 2] = [i, i + 1].map(|r| &flags.usable[r].as_chunks().0[t]);
            let before: &mut Tile = &mut before.as_chunks_mut().0[t];
            let (gain, valid, left) = (&block.gain[t], &block.valid[t], &mut block.left[t]);
            for l in 0..LANES {
                let d = (samples[l] - before[l]) * per_second * gain[l];
                let both = f64::from(i32::from(usable[0][l] & usable[1][l] & 1)) * valid[l];
                // Not a number times nothing is not nothing.
                used[l] = if d * 0.0 == 0.0 { both } else { 0.0 };
                rate[l] = if used[l] > 0.0 { d } else { 0.0 };
                left[l] += used[l];
            }
            *before = samples;
            if let Some(left_out) = left_out {
                for (l, &out) in left_out[from..].iter().take(LANES).enumerate() {
                    if out {
                        block.left[t][l] -= used[l];
                        (rate[l], used[l]) = (0.0, 0.0);
                    }
                }
            }
        }
    }
    match reads.removed {
        Removed::Nothing => {}
        Removed::Untouched(untouched) => load_removed(plan, reads, &untouched, first, len, block),
        Removed::Rates(rates, response) => {
            let mut run = [1.0; SIZE];
            if let Some(response) = response {
                for (factor, &response) in run.iter_mut().zip(&response[pixels]) {
                    *factor = f64::from(response);
                }
            }
            spread_removed(rates, &run, len, block);
        }
    }
}

/// Rate of what was subtracted from all pixels alike.
#[inline(always)]
fn spread_removed(rates: &[f64], response: &Run<f64>, len: usize, block: &mut Block) {
    let n = rates.len();
    for t in 0..len.div_ceil(LANES) {
        let response: &Tile = &response.as_chunks().0[t];
        for (i, rate) in rates.iter().enumerate() {
            let used = &block.used[t * n + i];
            for l in 0..LANES {
                let all = rate * response[l] * block.gain[t][l];
                block.removed[t * n + i][l] = if used[l] > 0.0 && all * 0.0 == 0.0 { all } else { 0.0 };
            }
        }
    }
}

/// Rate of what was subtracted: that of the reads before, less that of the reads after.
#[inline(always)]
fn load_removed(
    plan: &Plan,
    reads: &Reads<'_>,
    untouched: &Cube<'_, f32>,
    first: usize,
    len: usize,
    block: &mut Block,
) {
    let n = plan.cov.len();
    let before = &mut block.before_removal;
    read_samples(&untouched.plane(0)[first..first + len], reads.scale[0], before);
    for i in 0..n {
        let now = &untouched.plane(i + 1)[first..first + len];
        let (scale, per_second) = (reads.scale[i + 1], 1.0 / plan.cov.dt[i]);
        for t in 0..len.div_ceil(LANES) {
            let samples = scaled(now, t * LANES, scale);
            let before: &mut Tile = &mut before.as_chunks_mut().0[t];
            let (rate, used) = (&block.rates[t * n + i], &block.used[t * n + i]);
            let (gain, removed) = (&block.gain[t], &mut block.removed[t * n + i]);
            for l in 0..LANES {
                let all = (samples[l] - before[l]) * per_second * gain[l];
                removed[l] = if used[l] > 0.0 && all * 0.0 == 0.0 { all - rate[l] } else { 0.0 };
            }
            *before = samples;
        }
    }
}

/// Samples of a tile, accumulated; those past the end of the run are 0.
#[inline(always)]
fn scaled(run: &[f32], from: usize, scale: f64) -> Tile {
    let mut samples = [0.0; LANES];
    if let Some(whole) = run.get(from..from + LANES) {
        for l in 0..LANES {
            samples[l] = f64::from(whole[l]) * scale;
        }
    } else {
        for (sample, &value) in samples.iter_mut().zip(&run[from..]) {
            *sample = f64::from(value) * scale;
        }
    }
    samples
}

#[inline(always)]
fn read_samples(run: &[f32], scale: f64, samples: &mut Run<f64>) {
    // A read without a scale is zero by definition, whatever it holds.
    if scale == 0.0 {
        samples.fill(0.0);
        return;
    }
    for (sample, &value) in samples.iter_mut().zip(run) {
        *sample = f64::from(value) * scale;
    }
}

#[inline(always)]
fn spread(image: &Image<'_>, pixels: std::ops::Range<usize>, tiles: &mut [Tile; TILES]) {
    let run = tiles.as_flattened_mut();
    match image {
        Image::Same(value) => run.fill(*value),
        Image::Each(values) => {
            for (place, &value) in run.iter_mut().zip(&values[pixels]) {
                *place = f64::from(value);
            }
        }
    }
}

/// What belongs to tile `t`, if there is any.
#[inline(always)]
fn of_tile(all: &[Tile], t: usize, n: usize) -> &[Tile] {
    all.get(t * n..(t + 1) * n).unwrap_or_default()
}

/// First look at a tile: guess its rates, and leave out what sticks out most.
#[inline(always)]
fn search<const REMOVED: bool>(plan: &Plan, params: &Params, block: &mut Block, t: usize) {
    let cov = &plan.cov;
    let n = cov.len();
    let (rates, used) = (&block.rates[t * n..(t + 1) * n], &mut block.used[t * n..(t + 1) * n]);
    for i in 0..n {
        for l in 0..LANES {
            block.sorted[i][l] = if used[i][l] > 0.0 { rates[i][l] } else { f64::INFINITY };
        }
    }
    let median = plan.network.median(&mut block.sorted, &block.left[t]);
    for l in 0..LANES {
        block.guess[t][l] = median[l].max(0.0) + block.dark[t][l];
    }
    let ramps = Ramps { rates, used, noise2: &block.noise2[t], removed: of_tile(&block.removed, t, n) };
    let Some(limits) = &params.thresholds else {
        block.system.solve::<false, REMOVED>(cov, ramps, &block.guess[t]);
        block.rate[t] = block.system.rate;
        return;
    };
    block.system.solve::<true, REMOVED>(cov, ramps, &block.guess[t]);
    block.rate[t] = block.system.rate;
    let mut suspects = jumps::suspects(&block.system, cov, limits, &block.left[t]);
    while suspects != 0 {
        let l = suspects.trailing_zeros() as usize;
        suspects &= suspects - 1;
        let pixel = t * LANES + l;
        if let Some(drop) = jumps::choose(&block.system, cov, used, l, limits) {
            leave_out(cov, drop, pixel, &mut block.hits, &mut block.left, |i| used[i][l] = 0.0);
            block.active.push(pixel);
        }
    }
}

/// Take note of a drop.
fn leave_out(
    cov: &Covariance,
    drop: jumps::Drop,
    pixel: usize,
    hits: &mut Vec<Hit>,
    left: &mut [Tile; TILES],
    mut mask: impl FnMut(usize),
) {
    for k in 0..1 + usize::from(drop.pair) {
        let after = drop.first + k;
        mask(after);
        hits.push(Hit { pixel, after, size: drop.sizes[k] * cov.dt[after] });
        left[pixel / LANES][pixel % LANES] -= 1.0;
    }
}

/// Look again at the pixels in which something was left out, a tile of them at a time.
#[inline(always)]
fn search_again<const REMOVED: bool>(plan: &Plan, params: &Params, block: &mut Block) {
    let cov = &plan.cov;
    let n = cov.len();
    let Some(limits) = &params.thresholds else { return };
    let waiting = std::mem::take(&mut block.active);
    for pixels in waiting.chunks(LANES) {
        let [rates, used, removed] = &mut block.gathered;
        let (mut noise2, mut guess, mut left) = ([1.0; LANES], NOTHING, NOTHING);
        for (l, &pixel) in pixels.iter().enumerate() {
            let (t, from) = (pixel / LANES, pixel % LANES);
            for i in 0..n {
                rates[i][l] = block.rates[t * n + i][from];
                used[i][l] = block.used[t * n + i][from];
                if !removed.is_empty() {
                    removed[i][l] = block.removed[t * n + i][from];
                }
            }
            noise2[l] = block.noise2[t][from];
            guess[l] = block.guess[t][from];
            left[l] = block.left[t][from];
        }
        let ramps = Ramps { rates, used, noise2: &noise2, removed };
        block.system.solve::<true, REMOVED>(cov, ramps, &guess);
        let suspects = jumps::suspects(&block.system, cov, limits, &left);
        for (l, &pixel) in pixels.iter().enumerate() {
            let (t, to) = (pixel / LANES, pixel % LANES);
            block.rate[t][to] = block.system.rate[l];
            if suspects >> l & 1 == 0 {
                continue;
            }
            if let Some(drop) = jumps::choose(&block.system, cov, used, l, limits) {
                let mask = &mut block.used;
                leave_out(cov, drop, pixel, &mut block.hits, &mut block.left, |i| mask[t * n + i][to] = 0.0);
                block.active.push(pixel);
            }
        }
    }
}

/// Final answers of a tile: the covariance is that of the rate which the search has found.
#[inline(always)]
fn fit<const REMOVED: bool>(plan: &Plan, params: &Params, block: &mut Block, t: usize) {
    let cov = &plan.cov;
    let n = cov.len();
    let (rates, used) = (&block.rates[t * n..(t + 1) * n], &block.used[t * n..(t + 1) * n]);
    let ramps = Ramps { rates, used, noise2: &block.noise2[t], removed: of_tile(&block.removed, t, n) };
    let mut guess = NOTHING;
    for l in 0..LANES {
        guess[l] = block.rate[t][l].max(0.0) + block.dark[t][l];
    }
    let system = &mut block.system;
    system.solve::<false, REMOVED>(cov, ramps, &guess);
    block.rate[t] = system.rate;
    let [photon, read, chi2] =
        if params.details { system.noise::<REMOVED>(cov, ramps, &guess) } else { [NOTHING; 3] };
    let (mut time, mut samples) = (NOTHING, NOTHING);
    for i in 0..n {
        let before = if i > 0 { used[i - 1] } else { NOTHING };
        for l in 0..LANES {
            time[l] += used[i][l] * cov.dt[i];
            // Both samples of a difference, unless the first was counted with the one before.
            samples[l] += used[i][l] * (2.0 - before[l]);
        }
    }
    let answers = &mut block.results[t];
    for l in 0..LANES {
        // Without a usable difference: 0 / 0.
        let nothing = if block.left[t][l] > 0.0 { 0.0 } else { f64::NAN };
        let unit = 1.0 / block.gain[t][l] + nothing;
        answers.rate[l] = system.rate[l] * unit;
        answers.err[l] = (1.0 / system.weight[l]).sqrt() * unit;
        answers.var_poisson[l] = photon[l] * unit * unit;
        answers.var_rnoise[l] = read[l] * unit * unit;
        answers.chi2[l] = chi2[l] + nothing;
    }
    (answers.time, answers.samples) = (time, samples);
}
