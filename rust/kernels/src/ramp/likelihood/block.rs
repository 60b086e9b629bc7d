//! The pixels of a block: load, guess, search, fit.
//!
//! All pixels go through two solutions, one for the search and one with the rate that it found. Those in which
//! something was left out are gathered from wherever they are and searched again, side by side too.

use super::covariance::Covariance;
use super::guess::Network;
use super::jumps::{self, Thresholds};
use super::load::{Place, load};
use super::pedestal::Pedestal;
use super::samples::{SIZE, Samples};
use super::system::{Ramps, System};
use super::tile::{LANES, Tile};
use super::{Params, Reads, Removed};
use crate::simd;

/// Tiles in a block.
pub(super) const TILES: usize = SIZE / LANES;

/// What all blocks share.
pub(super) struct Plan {
    pub cov: Covariance,
    /// With the first sample as a difference to nothing, where a pedestal is fitted.
    pub with_first: Option<Covariance>,
    /// The covariance of the search is for rates that are given, not for those of the median.
    pub guessed: bool,
    network: Network,
    /// Of ramps all of whose differences are usable, and the two places that it puts right.
    middle: (Network, [usize; 2]),
}

impl Plan {
    pub fn new(cov: Covariance, with_first: Option<Covariance>, guessed: bool) -> Self {
        let n = cov.len();
        let places = [(n - 1) / 2, n / 2];
        let middle = (Network::selecting(n, &places), places);
        Self { network: Network::new(n), middle, cov, with_first, guessed }
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
    pub(super) rates: Vec<Tile>,
    pub(super) used: Vec<Tile>,
    /// Rate of the charge that has been subtracted, electrons per second; empty: none.
    pub(super) removed: Vec<Tile>,
    /// First samples, electrons; empty: no pedestal is asked for.
    pub(super) first: Vec<Tile>,
    /// Number of differences used.
    pub left: [Tile; TILES],
    /// Electrons per unit of the data.
    pub(super) gain: [Tile; TILES],
    pub(super) noise2: [Tile; TILES],
    pub(super) dark: [Tile; TILES],
    /// 1 where gain, noise and dark current are such that there is an answer, else 0.
    pub(super) valid: [Tile; TILES],
    /// Rate that the covariance of the search is for, dark current included.
    pub(super) guess: [Tile; TILES],
    /// Count rate, electrons per second.
    pub(super) rate: [Tile; TILES],
    pub results: [Results; TILES],
    system: System,
    sorted: Vec<[f32; LANES]>,
    gathered: [Vec<Tile>; 3],
    active: Vec<usize>,
    pedestal: Pedestal,
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
    /// Signal at the start, its uncertainty, and its covariance with the rate.
    pub pedestal: [Tile; 3],
}

const NOTHING: Tile = [0.0; LANES];

impl Block {
    /// Room for blocks of `nread` samples; `removed`: with a background that was subtracted; `first`: with a
    /// pedestal.
    pub fn new(nread: usize, removed: bool, first: bool) -> Self {
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
            pedestal: [NOTHING; 3],
        };
        Self {
            samples: Samples::new(nread),
            hits: Vec::new(),
            rates: room(TILES * n),
            used: room(TILES * n),
            removed: room(if removed { TILES * n } else { 0 }),
            first: room(if first { TILES } else { 0 }),
            left: [NOTHING; TILES],
            gain: [NOTHING; TILES],
            noise2: [NOTHING; TILES],
            dark: [NOTHING; TILES],
            valid: [NOTHING; TILES],
            guess: [NOTHING; TILES],
            rate: [NOTHING; TILES],
            results: [empty; TILES],
            system: System::new(n),
            sorted: vec![[0.0; LANES]; n],
            gathered: [room(n), room(n), room(if removed { n } else { 0 })],
            active: Vec::new(),
            pedestal: Pedestal::new(if first { nread } else { 0 }),
        }
    }

    /// Solve the pixels at `place`.
    pub fn solve(&mut self, plan: &Plan, reads: &Reads<'_>, params: &Params, place: Place) {
        simd::run(Solve { plan, reads, params, place, block: self });
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
    place: Place,
    block: &'a mut Block,
}

impl simd::Loop for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, reads, params, place, block } = self;
        load(plan, reads, params, place, block);
        match reads.removed {
            Removed::Nothing => answer::<false>(plan, params, place.len, block),
            _ => answer::<true>(plan, params, place.len, block),
        }
    }
}

/// All of a block, once loaded. `REMOVED`: a background has been subtracted.
#[inline(always)]
fn answer<const REMOVED: bool>(plan: &Plan, params: &Params, len: usize, block: &mut Block) {
    find::<REMOVED>(plan, params.thresholds.as_ref(), len, block);
    for t in 0..len.div_ceil(LANES) {
        fit::<REMOVED>(plan, params, block, t);
    }
}

/// The search in a block, once loaded: rates and hits.
#[inline(always)]
pub(super) fn find<const REMOVED: bool>(
    plan: &Plan,
    limits: Option<&Thresholds>,
    len: usize,
    block: &mut Block,
) {
    block.hits.clear();
    block.active.clear();
    for t in 0..len.div_ceil(LANES) {
        search::<REMOVED>(plan, limits, block, t);
    }
    while !block.active.is_empty() {
        search_again::<REMOVED>(plan, limits, block);
    }
}

/// What belongs to tile `t`, if there is any.
#[inline(always)]
fn of_tile(all: &[Tile], t: usize, n: usize) -> &[Tile] {
    all.get(t * n..(t + 1) * n).unwrap_or_default()
}

/// First look at a tile: guess its rates, and leave out what sticks out most.
#[inline(always)]
fn search<const REMOVED: bool>(plan: &Plan, limits: Option<&Thresholds>, block: &mut Block, t: usize) {
    let cov = &plan.cov;
    let n = cov.len();
    let (rates, used) = (&block.rates[t * n..(t + 1) * n], &mut block.used[t * n..(t + 1) * n]);
    if !plan.guessed {
        // A guess: single precision will do.
        for i in 0..n {
            for l in 0..LANES {
                let rate = (rates[i][l] as f32).min(f32::MAX);
                block.sorted[i][l] = if used[i][l] > 0.0 { rate } else { f32::INFINITY };
            }
        }
        let median = if block.left[t].iter().all(|&left| left == n as f64) {
            let (network, [low, high]) = &plan.middle;
            network.sort(&mut block.sorted);
            let (low, high) = (block.sorted[*low], block.sorted[*high]);
            std::array::from_fn(|l| 0.5 * (f64::from(low[l]) + f64::from(high[l])))
        } else {
            plan.network.median(&mut block.sorted, &block.left[t])
        };
        for l in 0..LANES {
            block.guess[t][l] = median[l].max(0.0) + block.dark[t][l];
        }
    }
    let ramps = Ramps { rates, used, noise2: &block.noise2[t], removed: of_tile(&block.removed, t, n) };
    let Some(limits) = limits else {
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
fn search_again<const REMOVED: bool>(plan: &Plan, limits: Option<&Thresholds>, block: &mut Block) {
    let cov = &plan.cov;
    let n = cov.len();
    let Some(limits) = limits else { return };
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
    let (mut rate, mut variance) = (system.rate, NOTHING);
    for l in 0..LANES {
        variance[l] = 1.0 / system.weight[l];
    }
    let [mut photon, mut read, mut chi2] = match params.wanted.details() {
        true => system.noise::<REMOVED>(cov, ramps, &guess),
        false => [NOTHING; 3],
    };
    let answers = &mut block.results[t];
    // Pixels whose rate is known without a difference, from the first sample and what is known of the pedestal.
    let mut known = NOTHING;
    if let (Some(cov), Some(prior)) = (&plan.with_first, &params.wanted.pedestal) {
        let prior = prior.in_electrons(&block.gain[t]);
        for l in 0..LANES {
            // Ramps without a difference: the rate that the covariance is for comes from the first sample.
            let alone = (block.first[t][l] - prior[0][l]) / cov.dt[0];
            let lonely = block.left[t][l] == 0.0 && alone > 0.0;
            guess[l] += if lonely { alone } else { 0.0 };
        }
        let fit = block.pedestal.fit(cov, ramps, &block.first[t], &guess, &prior);
        for l in 0..LANES {
            if fit.determined[l] > 0.0 {
                (rate[l], variance[l], known[l]) = (fit.rate[l], fit.variance[l], fit.determined[l]);
                (photon[l], chi2[l]) = (fit.photon[l], fit.chi2[l]);
                read[l] = fit.variance[l] - fit.photon[l];
            }
            let gain = block.gain[t][l];
            answers.pedestal[0][l] = fit.pedestal[l] / gain;
            answers.pedestal[1][l] = fit.pedestal_variance[l].sqrt() / gain;
            answers.pedestal[2][l] = fit.covariance[l] / (gain * gain);
        }
    }
    if params.wanted.exposure {
        let (mut time, mut samples) = (NOTHING, NOTHING);
        for i in 0..n {
            let before = if i > 0 { used[i - 1] } else { NOTHING };
            for l in 0..LANES {
                time[l] += used[i][l] * cov.dt[i];
                // Both samples of a difference, unless the first was counted with the one before.
                samples[l] += used[i][l] * (2.0 - before[l]);
            }
        }
        (answers.time, answers.samples) = (time, samples);
    }
    for l in 0..LANES {
        // Without a usable difference: not a number.
        let nothing = if block.left[t][l] > 0.0 || known[l] > 0.0 { 0.0 } else { f64::NAN };
        let unit = 1.0 / block.gain[t][l] + nothing;
        answers.rate[l] = rate[l] * unit;
        answers.err[l] = variance[l].sqrt() * unit;
        answers.var_poisson[l] = photon[l] * unit * unit;
        answers.var_rnoise[l] = read[l] * unit * unit;
        answers.chi2[l] = chi2[l] + nothing;
    }
}
