//! Pixels as they come, hundreds at once.
//!
//! A pixel whose used reads are all clean (or all flagged alike: nothing bad, nothing clean) and whose
//! residuals show no step has one interval: all reads in use. A block is read plane by plane, in long runs, and
//! rearranged into tiles of a few pixels with all their reads side by side: a tile's sums stay in registers.
//! Pixels with a hit are left to [`super::onehit`], all others to [`super::pixel`]; both find their samples in
//! the tile.

use super::interval::{Interval, Mean};
use super::line::Weights;
use super::tile::{LANES, Ramps, Tile};
use super::{Params, Reads, Times, ignored};
use crate::dq::{DATAREJECT, DETECTORPROB, HIGH_CURVATURE, SATPIXEL, SPIKE, UNSTABLE};
use crate::simd;
use crate::view::Cube;

/// Pixels in a block: runs long enough to read, and samples that stay in the first-level cache.
pub(super) const SIZE: usize = 128;
/// How far ahead samples are called for: time enough for them to come, and not yet to be pushed out again.
const AHEAD: usize = 256;
/// Flags in a cache line.
const LINE: usize = 32;
/// Tiles in a block.
const TILES: usize = SIZE / LANES;

/// What all blocks of an exposure share.
pub(super) struct Plan {
    /// Reads that enter the fit, in time order.
    used: Vec<usize>,
    nread: usize,
    /// All of them; none where only the plain path can answer.
    whole: Option<Interval>,
    crsigma: f32,
    /// Flags that the fit does not look at.
    ignored: u16,
    /// Flags of an earlier fit, to clear.
    cleared: u16,
    /// Flags that a sample of a pixel flagged in every read may not have.
    bad: u16,
    /// Flags that change what is stored for a read, wherever they stand: the plain path's business.
    disturbing: u16,
    /// Flags that do so unless all reads have them.
    passing: u16,
    zeroth_excluded: bool,
    /// Factor from rate to the unit of the product.
    counts: f32,
    /// Exposure time covered.
    pub covered: f32,
    /// Reads used, the zeroth included.
    pub samp: i16,
}

/// A block's samples and results.
pub(super) struct Scratch {
    /// What is found goes to the flags too.
    pub ramps: Ramps,
    rate: [Tile<f32>; TILES],
    err: [Tile<f32>; TILES],
    dq: [Tile<u16>; TILES],
    /// Place of the first hit among the used reads.
    hit: [Tile<u16>; TILES],
    /// Bits of the lanes whose pixel was hit, where nothing else disturbs it.
    struck: [u16; TILES],
    /// Bits of the lanes whose pixel is disturbed otherwise.
    disturbed: [u16; TILES],
    len: usize,
}

/// Reads that enter a fit, in time order.
pub(super) fn used_reads(reads: &Reads<'_>) -> Vec<usize> {
    (1..reads.sci.shape()[0]).filter(|&r| !reads.excluded[r]).collect()
}

impl Plan {
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let used = used_reads(reads);
        let mut plan = Self {
            nread,
            whole: None,
            crsigma: params.crsigma,
            ignored: ignored(params),
            cleared: ignored(params) & DATAREJECT,
            bad: params.bad_dq | DATAREJECT | SPIKE | HIGH_CURVATURE,
            disturbing: SPIKE | HIGH_CURVATURE | if params.parity { DATAREJECT } else { 0 },
            passing: if params.parity { 0 } else { DETECTORPROB | UNSTABLE },
            zeroth_excluded: reads.excluded[0],
            counts: 1.0,
            covered: 0.0,
            samp: used.len() as i16 + 1,
            used,
        };
        if let Times::PerRead(times) = reads.times
            && plan.used.len() >= 3
            && !plan.used.iter().any(|&r| reads.breaks[r])
        {
            let first = plan.used[0];
            let used: Vec<f32> = plan.used.iter().map(|&r| times[r]).collect();
            let whole = Interval::new(&used, &Weights::new(params.gain, nread));
            plan.covered += times[first] - times[first - 1];
            plan.covered += whole.span;
            plan.counts = if params.rate { 1.0 } else { plan.covered };
            plan.whole = Some(whole);
        }
        plan
    }

    /// Room for one block at a time.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            ramps: Ramps::new(TILES, self.nread, self.used.len()),
            rate: [[0.0; LANES]; TILES],
            err: [[0.0; LANES]; TILES],
            dq: [[0; LANES]; TILES],
            hit: [[0; LANES]; TILES],
            struck: [0; TILES],
            disturbed: [u16::MAX; TILES],
            len: 0,
        }
    }

    /// Fit the `len` pixels that start at flat pixel `first`.
    pub fn solve(&self, reads: &Reads<'_>, params: &Params, first: usize, len: usize, block: &mut Scratch) {
        block.len = len;
        simd::run(Solve { plan: self, reads, params, first, block });
    }
}

struct Solve<'a, 'b> {
    plan: &'a Plan,
    reads: &'a Reads<'b>,
    params: &'a Params,
    first: usize,
    block: &'a mut Scratch,
}

impl simd::Loop for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, reads, params, first, block } = self;
        let pixels = first..first + block.len;
        let Ramps { flags, signal, error, to_dn, used, .. } = &mut block.ramps;
        if let Some(factors) = reads.to_dn {
            to_dn.as_flattened_mut()[..block.len].copy_from_slice(&factors[pixels.clone()]);
        }
        for r in 0..plan.nread {
            spread(&reads.dq.plane(r)[pixels.clone()], &mut flags[r..], plan.nread);
        }
        for (j, &r) in plan.used.iter().enumerate() {
            let sci = &reads.sci.plane(r)[pixels.clone()];
            let err = &reads.err.plane(r)[pixels.clone()];
            let factor = match reads.times {
                _ if !params.rate => Factor::Same(1.0),
                Times::PerRead(times) => Factor::Same(times[r]),
                Times::PerPixel(times) => Factor::Each(&times.plane(r)[pixels.clone()]),
            };
            accumulate(sci, to_dn, factor, &mut signal[j..], *used);
            accumulate(err, to_dn, factor, &mut error[j..], *used);
        }
        if let Some(whole) = &plan.whole {
            for t in 0..block.len.div_ceil(LANES) {
                fit_tile(plan, whole, block, t, Ahead { reads, at: first + AHEAD + t * LANES });
            }
        }
    }
}

/// Factor from the stored signal to accumulated signal.
#[derive(Clone, Copy)]
enum Factor<'a> {
    Same(f32),
    Each(&'a [f32]),
}

/// Copy a run of pixels into every `step`-th tile.
#[inline(always)]
fn spread<T: Copy>(run: &[T], tiles: &mut [Tile<T>], step: usize) {
    let (whole, rest) = run.as_chunks();
    let mut tiles = tiles.iter_mut().step_by(step);
    for (pixels, tile) in whole.iter().zip(&mut tiles) {
        *tile = *pixels;
    }
    // Lanes past the end keep what they hold: they are fitted, and nobody looks.
    if let Some(tile) = tiles.next() {
        tile[..rest.len()].copy_from_slice(rest);
    }
}

/// Turn a run of stored values into accumulated DN, in every `step`-th tile.
#[inline(always)]
fn accumulate(run: &[f32], to_dn: &[Tile<f32>], factor: Factor<'_>, tiles: &mut [Tile<f32>], step: usize) {
    let (whole, rest) = run.as_chunks::<LANES>();
    if let Factor::Same(factor) = factor {
        for ((pixels, to_dn), tile) in whole.iter().zip(to_dn).zip(tiles.iter_mut().step_by(step)) {
            let mut scaled = [0.0; LANES];
            for l in 0..LANES {
                scaled[l] = (pixels[l] * to_dn[l]) * factor;
            }
            *tile = scaled;
        }
    }
    let done = match factor {
        Factor::Same(_) => run.len() - rest.len(),
        Factor::Each(_) => 0,
    };
    for p in done..run.len() {
        let factor = match factor {
            Factor::Same(factor) => factor,
            Factor::Each(factors) => factors[p],
        };
        tiles[p / LANES * step][p % LANES] = (run[p] * to_dn[p / LANES][p % LANES]) * factor;
    }
}

/// Where the pixels lie that will be wanted soon. Their reads are far apart, in more places than the
/// processor keeps watch on: each loop over the reads of a tile calls for a part of a later tile.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    reads: &'a Reads<'a>,
    at: usize,
}

impl Ahead<'_> {
    #[inline(always)]
    fn call<T>(&self, cube: &Cube<'_, T>, r: usize) {
        let [_, ny, nx] = cube.shape();
        if let Some(sample) = cube.data().get(r * (ny * nx) + self.at) {
            simd::prefetch(sample);
        }
    }
}

/// Fit the pixels of one tile.
#[inline(always)]
fn fit_tile(plan: &Plan, whole: &Interval, block: &mut Scratch, t: usize, ahead: Ahead<'_>) {
    let (signal, error) = block.ramps.tile(t);
    let judged = judge_flags(plan, &block.ramps.flags[t * plan.nread..(t + 1) * plan.nread], ahead);
    let equal = whole.sum(signal, 0);
    let call = |j: usize| ahead.call(&ahead.reads.err, plan.used[j]);
    let seen = whole.search(&equal, signal, error, plan.crsigma, false, call);
    let mean = Mean::of(&whole.slopes(&equal, signal, error));
    [block.rate[t], block.err[t]] = mean.rates(plan.counts, &block.ramps.to_dn[t]);
    block.dq[t] = judged.dq;
    let (mut struck, mut disturbed) = ([0u16; LANES], [0u16; LANES]);
    for l in 0..LANES {
        let other = (seen.other[l] != 0) | (judged.disturbed[l] != 0);
        let hit = seen.hit[l] != 0;
        struck[l] = u16::from(hit & !other & (judged.fitted[l] == 0));
        disturbed[l] = u16::from(other | hit | (mean.lost[l] != 0)) & !struck[l];
        block.hit[t][l] = seen.hit[l] as u16;
    }
    (block.struck[t], block.disturbed[t]) = (bits(struck), bits(disturbed));
    let cleared = judged.every.iter().fold(0, |any, every| any | every) & plan.cleared;
    if cleared != 0 {
        for flags in &mut block.ramps.flags[t * plan.nread..(t + 1) * plan.nread] {
            for l in 0..LANES {
                flags[l] &= if disturbed[l] == 0 { !cleared } else { u16::MAX };
            }
        }
    }
}

/// One bit from each lane.
#[inline(always)]
fn bits(lanes: Tile<u16>) -> u16 {
    let mut bits = 0;
    for l in 0..LANES {
        bits |= lanes[l] << l;
    }
    bits
}

/// The flags of a tile's reads, put together.
struct Judged {
    /// Flags of any read.
    every: Tile<u16>,
    /// Flags of any used read that matter.
    fitted: Tile<u16>,
    /// Flags that leave the pixel to the plain path.
    disturbed: Tile<u16>,
    /// Flags of the product.
    dq: Tile<u16>,
}

#[inline(always)]
fn judge_flags(plan: &Plan, flags: &[Tile<u16>], ahead: Ahead<'_>) -> Judged {
    let (mut every, mut always) = ([0u16; LANES], [u16::MAX; LANES]);
    for (r, flags) in flags.iter().enumerate() {
        ahead.call(&ahead.reads.dq, r);
        for l in 0..LANES {
            every[l] |= flags[l];
            always[l] &= flags[l];
        }
    }
    let (mut fitted, mut clean) = ([0u16; LANES], [0u16; LANES]);
    for &r in &plan.used {
        ahead.call(&ahead.reads.sci, r);
        for l in 0..LANES {
            let flags = flags[r][l] & !plan.ignored;
            fitted[l] |= flags;
            clean[l] |= if flags == 0 { u16::MAX } else { 0 };
        }
    }
    let (mut disturbed, mut dq) = ([0u16; LANES], [0u16; LANES]);
    // The zeroth read flags the product as well, unless left out.
    let zeroth = if plan.zeroth_excluded { 0 } else { u16::MAX };
    for l in 0..LANES {
        disturbed[l] = (every[l] & plan.disturbing)
            | (every[l] & !always[l] & plan.passing)
            // A pixel with both clean and flagged samples loses some.
            | (fitted[l] & (clean[l] | plan.bad))
            // Rescue by the zeroth read depends on the first, even if that one is excluded.
            | (flags[1][l] & SATPIXEL);
        dq[l] = (fitted[l] | (flags[0][l] & zeroth)) & !(plan.ignored | SATPIXEL);
    }
    Judged { every, fitted, disturbed, dq }
}

impl Scratch {
    /// Rates, errors and flags of the block's undisturbed pixels; those that were hit have their flags too.
    pub fn products(&self) -> (&[f32], &[f32], &[u16]) {
        let len = self.len;
        (&self.rate.as_flattened()[..len], &self.err.as_flattened()[..len], &self.dq.as_flattened()[..len])
    }

    /// The next pixel from `from` on that the plain path must answer.
    pub fn next_disturbed(&self, from: usize) -> Option<usize> {
        next(&self.disturbed, from).filter(|&pixel| pixel < self.len)
    }

    /// The next pixel from `from` on that was hit and is not disturbed otherwise, and the hit's place among the
    /// used reads.
    pub fn next_struck(&self, from: usize) -> Option<(usize, usize)> {
        let pixel = next(&self.struck, from).filter(|&pixel| pixel < self.len)?;
        Some((pixel, self.hit.as_flattened()[pixel].into()))
    }

    /// Flag the reads of a pixel from a hit on.
    pub fn mark(&mut self, plan: &Plan, pixel: usize, hit: usize) {
        self.ramps.flags_mut(pixel).skip(plan.used[hit]).for_each(|flags| *flags |= DATAREJECT);
    }

    /// Write the flags of all reads.
    pub fn store_flags(&self, planes: &mut [&mut [u16]], first: usize) {
        for (r, plane) in planes.iter_mut().enumerate() {
            let (now, soon) = plane[first..].split_at_mut(self.len);
            // The next block's flags go there: without a call each plane would make the processor wait.
            soon.chunks(LINE).take(SIZE / LINE).for_each(|line| simd::prefetch(&line[0]));
            let (whole, rest) = now.as_chunks_mut();
            let mut tiles = self.ramps.flags[r..].iter().step_by(self.ramps.nread);
            for (stored, flags) in whole.iter_mut().zip(&mut tiles) {
                *stored = *flags;
            }
            if let Some(flags) = tiles.next() {
                rest.copy_from_slice(&flags[..rest.len()]);
            }
        }
    }
}

/// The first bit set from bit `from` on.
fn next(masks: &[u16], from: usize) -> Option<usize> {
    let mut keep = u16::MAX << (from % LANES);
    masks.iter().enumerate().skip(from / LANES).find_map(|(t, &mask)| {
        let kept = mask & std::mem::replace(&mut keep, u16::MAX);
        (kept != 0).then(|| t * LANES + kept.trailing_zeros() as usize)
    })
}
