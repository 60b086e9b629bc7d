//! Undisturbed pixels, hundreds at once.
//!
//! A pixel whose used reads are all clean (or all flagged alike: nothing bad, nothing clean) and whose
//! residuals show no step has one interval: all reads in use. Then only the two sums over the signal differ
//! from pixel to pixel. A block is read plane by plane, in long runs, and rearranged into *tiles* of a few
//! pixels with all their reads side by side: a tile's sums stay in registers. Pixels that turn out disturbed
//! are left to [`super::pixel`], which finds its samples in the tile; the operations and their order are the
//! same, hence the bits are too.

use super::line::{self, CLASSES, Geometry, Weights};
use super::pixel::SPIKE_SIGMA;
use super::{Params, Reads, Times, ignored};
use crate::dq::{DATAREJECT, DETECTORPROB, HIGH_CURVATURE, SATPIXEL, SPIKE, UNSTABLE};
use crate::simd;
use crate::view::Cube;

/// Pixels in a block: runs long enough to read, and samples that stay in the first-level cache.
pub(super) const SIZE: usize = 128;
/// How far ahead samples are called for: time enough for them to come, and not yet to be pushed out again.
const AHEAD: usize = 256;
/// Pixels in a tile: a vector of flags, two of signals.
const LANES: usize = 16;
/// Tiles in a block.
const TILES: usize = SIZE / LANES;

/// One number for every pixel of a tile.
type Tile<T> = [T; LANES];

/// What all blocks of an exposure share.
pub(super) struct Plan {
    /// Reads that enter the fit, in time order.
    used: Vec<usize>,
    nread: usize,
    /// The used reads' times; empty where only the pixel path can answer.
    times: Vec<f32>,
    weights: Weights,
    geometry: [Geometry; CLASSES],
    fit_error: [f32; CLASSES],
    /// Time from the first used read to the last, and the dark signal of that span.
    span: [f32; 2],
    crsigma: f32,
    /// Flags that the fit does not look at.
    ignored: u16,
    /// Flags that a sample of a pixel flagged in every read may not have.
    bad: u16,
    /// Flags that change what is stored for a read, wherever they stand: the pixel path's business.
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
    /// Flags of tile `t`, read `r`: `flags[t * nread + r]`. What is found goes here too.
    flags: Vec<Tile<u16>>,
    /// Accumulated signal of tile `t`, used read `j`: `signal[t * used + j]`.
    signal: Vec<Tile<f32>>,
    error: Vec<Tile<f32>>,
    to_dn: [Tile<f32>; TILES],
    rate: [Tile<f32>; TILES],
    err: [Tile<f32>; TILES],
    dq: [Tile<u16>; TILES],
    /// Nonzero where the pixel path must answer.
    disturbed: [Tile<u16>; TILES],
    /// Place of the first hit among the used reads, where nothing else disturbs the pixel; else 0.
    hit: [Tile<u16>; TILES],
    nread: usize,
    used: usize,
    len: usize,
}

impl Plan {
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let used: Vec<usize> = (1..nread).filter(|&r| !reads.excluded[r]).collect();
        let weights = Weights::new(params.gain, nread);
        let mut plan = Self {
            nread,
            times: Vec::new(),
            geometry: [Geometry::default(); CLASSES],
            fit_error: [0.0; CLASSES],
            span: [0.0; 2],
            crsigma: params.crsigma,
            ignored: ignored(params),
            bad: params.bad_dq | DATAREJECT | SPIKE | HIGH_CURVATURE,
            disturbing: SPIKE | HIGH_CURVATURE | if params.parity { DATAREJECT } else { 0 },
            passing: if params.parity { 0 } else { DETECTORPROB | UNSTABLE },
            zeroth_excluded: reads.excluded[0],
            counts: 1.0,
            covered: 0.0,
            samp: used.len() as i16 + 1,
            used,
            weights,
        };
        if let Times::PerRead(times) = reads.times
            && plan.used.len() >= 3
        {
            plan.measure(times, params.rate);
        }
        plan
    }

    /// All that depends on the times alone.
    fn measure(&mut self, times: &[f32], rate: bool) {
        let (first, last) = (self.used[0], self.used[self.used.len() - 1]);
        self.times = self.used.iter().map(|&r| times[r]).collect();
        for (class, sums) in self.geometry.iter_mut().enumerate() {
            for (&time, &w) in self.times.iter().zip(self.weights.of(self.times.len(), class)) {
                sums.add(time, w);
            }
            *sums = sums.close();
        }
        self.fit_error = self.geometry.map(|sums| sums.fit_error());
        self.span =
            [times[last] - times[first], times[last] * self.weights.dark - times[first] * self.weights.dark];
        self.covered += times[first] - times[first - 1];
        self.covered += times[last] - times[first];
        if !rate {
            self.counts = self.covered;
        }
    }

    /// Room for one block at a time.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            flags: vec![[0; LANES]; TILES * self.nread],
            signal: vec![[0.0; LANES]; TILES * self.used.len()],
            error: vec![[0.0; LANES]; TILES * self.used.len()],
            to_dn: [[1.0; LANES]; TILES],
            rate: [[0.0; LANES]; TILES],
            err: [[0.0; LANES]; TILES],
            dq: [[0; LANES]; TILES],
            disturbed: [[1; LANES]; TILES],
            hit: [[0; LANES]; TILES],
            nread: self.nread,
            used: self.used.len(),
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
        if let Some(to_dn) = reads.to_dn {
            block.to_dn.as_flattened_mut()[..block.len].copy_from_slice(&to_dn[pixels.clone()]);
        }
        for r in 0..plan.nread {
            spread(&reads.dq.plane(r)[pixels.clone()], &mut block.flags[r..], plan.nread);
        }
        for (j, &r) in plan.used.iter().enumerate() {
            let sci = &reads.sci.plane(r)[pixels.clone()];
            let err = &reads.err.plane(r)[pixels.clone()];
            let factor = match reads.times {
                _ if !params.rate => Factor::Same(1.0),
                Times::PerRead(times) => Factor::Same(times[r]),
                Times::PerPixel(times) => Factor::Each(&times.plane(r)[pixels.clone()]),
            };
            accumulate(sci, &block.to_dn, factor, &mut block.signal[j..], block.used);
            accumulate(err, &block.to_dn, factor, &mut block.error[j..], block.used);
        }
        if plan.times.is_empty() {
            return;
        }
        for t in 0..block.len.div_ceil(LANES) {
            fit_tile(plan, block, t, Ahead { reads, at: first + AHEAD + t * LANES });
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
fn accumulate(
    run: &[f32],
    to_dn: &[Tile<f32>; TILES],
    factor: Factor<'_>,
    tiles: &mut [Tile<f32>],
    step: usize,
) {
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
fn fit_tile(plan: &Plan, block: &mut Scratch, t: usize, ahead: Ahead<'_>) {
    let signal = &block.signal[t * block.used..(t + 1) * block.used];
    let error = &block.error[t * block.used..(t + 1) * block.used];
    let flags = &block.flags[t * block.nread..(t + 1) * block.nread];
    let disturbed = &mut block.disturbed[t];
    (*disturbed, block.dq[t]) = judge_flags(plan, flags, ahead);
    let sums = sum_signal(plan, signal, 0);
    block.hit[t] = look_for_hits(plan, &sums, signal, error, disturbed, ahead);
    let (slope, fit_error) = weigh(plan, &sums, signal, error);
    let slopes = Slopes { slope, fit_error, to_dn: &block.to_dn[t] };
    rates(plan, &slopes, signal, [&mut block.rate[t], &mut block.err[t]], disturbed);
}

/// Which pixels the flags of the reads disturb, and the product's flags.
#[inline(always)]
fn judge_flags(plan: &Plan, flags: &[Tile<u16>], ahead: Ahead<'_>) -> (Tile<u16>, Tile<u16>) {
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
    (disturbed, dq)
}

/// Sums of `w y` and `w t y` with the weights of a class.
#[inline(always)]
fn sum_signal(plan: &Plan, signal: &[Tile<f32>], class: usize) -> [Tile<f32>; 2] {
    let (mut sy, mut sxy) = ([0.0f32; LANES], [0.0f32; LANES]);
    let weights = plan.weights.of(plan.times.len(), class);
    for ((y, &time), &w) in signal.iter().zip(&plan.times).zip(weights) {
        for l in 0..LANES {
            sy[l] += y[l] * w;
            sxy[l] += (time * y[l]) * w;
        }
    }
    [sy, sxy]
}

/// Find the largest step in the residuals from the equal-weight line: the pixel's first hit. Pixels with a
/// hit, with what may be a spike, or with a sample that has no error are disturbed.
#[inline(always)]
fn look_for_hits(
    plan: &Plan,
    [sy, sxy]: &[Tile<f32>; 2],
    signal: &[Tile<f32>],
    error: &[Tile<f32>],
    disturbed: &mut Tile<u16>,
    ahead: Ahead<'_>,
) -> Tile<u16> {
    let (mut intercept, mut slope) = ([0.0f32; LANES], [0.0f32; LANES]);
    for l in 0..LANES {
        (intercept[l], slope[l]) = plan.geometry[0].line(sy[l], sxy[l]);
    }
    let (mut before, mut previous, mut rise) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    let (mut other, mut hit) = ([0u32; LANES], [0u32; LANES]);
    // From nothing to the first residual is no step.
    let mut best = [f32::INFINITY; LANES];
    for (j, ((y, e), &time)) in signal.iter().zip(error).zip(&plan.times).enumerate() {
        ahead.call(&ahead.reads.err, plan.used[j]);
        for l in 0..LANES {
            let residual = (y[l] - (intercept[l] + slope[l] * time)) / e[l];
            let change = residual - previous[l];
            let step = change.abs();
            let higher = step > best[l];
            best[l] = if higher { step } else { best[l] };
            hit[l] = if higher { j as u32 } else { hit[l] };
            let above = (rise[l] > SPIKE_SIGMA) & (change < -SPIKE_SIGMA);
            other[l] |= u32::from(above & (before[l] < 0.0) & (residual < 0.0));
            // Without an error (zero, NaN) a sample has no say: the pixel path leaves it out.
            other[l] |= u32::from(e[l] == 0.0) | u32::from(e[l].is_nan());
            (before[l], previous[l], rise[l]) = (previous[l], residual, change);
        }
        if j == 0 {
            best = [plan.crsigma; LANES];
        }
    }
    let mut alone = [0u16; LANES];
    for l in 0..LANES {
        alone[l] = if other[l] == 0 && disturbed[l] == 0 { hit[l] as u16 } else { 0 };
        disturbed[l] |= (other[l] | hit[l]) as u16;
    }
    alone
}

/// Slopes under the weights that suit each pixel's signal-to-noise ratio, and their read-noise errors.
#[inline(always)]
fn weigh(
    plan: &Plan,
    equal: &[Tile<f32>; 2],
    signal: &[Tile<f32>],
    error: &[Tile<f32>],
) -> (Tile<f32>, Tile<f32>) {
    let last = signal.len() - 1;
    let mut classes = [0u32; LANES];
    let mut present = 0;
    for l in 0..LANES {
        let snr = (signal[last][l] - signal[0][l]) / error[last][l];
        let snr = if error[last][l] > 0.0 { snr } else { 0.0 };
        classes[l] = line::class_of(snr) as u32;
        present |= 1 << classes[l];
    }
    let (mut slope, mut fit_error) = ([0.0f32; LANES], [0.0f32; LANES]);
    for class in 0..CLASSES {
        if present & (1 << class) == 0 {
            continue;
        }
        let [sy, sxy] = if class == 0 { *equal } else { sum_signal(plan, signal, class) };
        for l in 0..LANES {
            let (_, weighted) = plan.geometry[class].line(sy[l], sxy[l]);
            let mine = classes[l] == class as u32;
            slope[l] = if mine { weighted } else { slope[l] };
            fit_error[l] = if mine { plan.fit_error[class] } else { fit_error[l] };
        }
    }
    (slope, fit_error)
}

struct Slopes<'a> {
    slope: Tile<f32>,
    fit_error: Tile<f32>,
    to_dn: &'a Tile<f32>,
}

/// Rates and errors from the slopes.
#[inline(always)]
fn rates(
    plan: &Plan,
    slopes: &Slopes<'_>,
    signal: &[Tile<f32>],
    [rate, err]: [&mut Tile<f32>; 2],
    disturbed: &mut Tile<u16>,
) {
    let (start, end) = (&signal[0], &signal[signal.len() - 1]);
    let [dx, dark] = plan.span;
    let mut lost = [0u32; LANES];
    for l in 0..LANES {
        let (slope, fit, to_dn) = (slopes.slope[l], slopes.fit_error[l], slopes.to_dn[l]);
        let error = line::slope_error(plan.weights.gain, fit, fit, dx, end[l] - start[l], dark);
        let variance = error * error;
        let weight = (1.0 / f64::from(variance)) as f32;
        let sum = slope / variance;
        // A variance of zero, or none at all, leaves no weight: the pixel path knows what then.
        lost[l] =
            u32::from(variance == 0.0) | u32::from(weight == 0.0) | u32::from(!(weight + slope).is_finite());
        rate[l] = (sum / weight) * plan.counts / to_dn;
        err[l] = (1.0 / weight).sqrt() * plan.counts / to_dn;
    }
    for l in 0..LANES {
        disturbed[l] |= lost[l] as u16;
    }
}

impl Scratch {
    /// Rates, errors and flags of the block's undisturbed pixels.
    pub fn products(&self) -> (&[f32], &[f32], &[u16]) {
        let len = self.len;
        (&self.rate.as_flattened()[..len], &self.err.as_flattened()[..len], &self.dq.as_flattened()[..len])
    }

    /// Pixels of the block that the pixel path must answer.
    pub fn disturbed(&self) -> &[u16] {
        &self.disturbed.as_flattened()[..self.len]
    }

    /// Place of a pixel's first hit among the used reads, if that is known.
    #[inline]
    pub fn hit(&self, pixel: usize) -> Option<usize> {
        let place = self.hit.as_flattened()[pixel];
        (place != 0).then_some(place.into())
    }

    /// Signal and error of one pixel's used reads, accumulated DN.
    #[inline]
    pub fn samples(&self, pixel: usize) -> impl Iterator<Item = (f32, f32)> {
        let (t, l) = (pixel / LANES, pixel % LANES);
        let tile = t * self.used..(t + 1) * self.used;
        self.signal[tile.clone()].iter().zip(&self.error[tile]).map(move |(y, e)| (y[l], e[l]))
    }

    /// Flags of one pixel in all reads.
    #[inline]
    pub fn flags(&self, pixel: usize) -> impl Iterator<Item = u16> {
        let (t, l) = (pixel / LANES, pixel % LANES);
        self.flags[t * self.nread..(t + 1) * self.nread].iter().map(move |flags| flags[l])
    }

    /// The same, to change.
    #[inline]
    pub fn flags_mut(&mut self, pixel: usize) -> impl Iterator<Item = &mut u16> {
        let (t, l) = (pixel / LANES, pixel % LANES);
        self.flags[t * self.nread..(t + 1) * self.nread].iter_mut().map(move |flags| &mut flags[l])
    }

    /// Factor that made the samples of a pixel DN.
    #[inline]
    pub fn to_dn(&self, pixel: usize) -> f32 {
        self.to_dn.as_flattened()[pixel]
    }

    /// Clear flags of the undisturbed pixels.
    pub fn clear_flags(&mut self, flags: u16) {
        for (stored, disturbed) in self.flags.chunks_mut(self.nread).zip(&self.disturbed) {
            for stored in stored {
                for l in 0..LANES {
                    stored[l] &= if disturbed[l] == 0 { !flags } else { u16::MAX };
                }
            }
        }
    }

    /// Write the flags of all reads.
    pub fn store_flags(&self, planes: &mut [&mut [u16]], first: usize) {
        for (r, plane) in planes.iter_mut().enumerate() {
            let (whole, rest) = plane[first..first + self.len].as_chunks_mut();
            let mut tiles = self.flags[r..].iter().step_by(self.nread);
            for (stored, flags) in whole.iter_mut().zip(&mut tiles) {
                *stored = *flags;
            }
            if let Some(flags) = tiles.next() {
                rest.copy_from_slice(&flags[..rest.len()]);
            }
        }
    }
}
