//! Undisturbed pixels, hundreds at once.
//!
//! A pixel without flags whose residuals show no step has one interval: all reads in use. Then only the two
//! sums over the signal differ from pixel to pixel, so the reads go outermost and pixels innermost, and the
//! sums of a block stay in the first-level cache. Pixels that turn out disturbed are left to
//! [`super::pixel`]; the operations and their order are the same, hence the bits are too.

use super::line::{self, CLASSES, Geometry, Weights};
use super::pixel::SPIKE_SIGMA;
use super::{Params, Reads, Solved, Times, ignored};
use crate::dq::{DATAREJECT, DETECTORPROB, HIGH_CURVATURE, SATPIXEL, SPIKE, UNSTABLE};
use crate::simd;

/// Pixels in a block.
pub(super) const SIZE: usize = 256;

/// What all blocks of an exposure share.
pub(super) struct Plan {
    /// Reads that enter the fit, in time order; empty where only the pixel path can answer.
    used: Vec<usize>,
    times: Vec<f32>,
    /// Factor from the stored signal to accumulated signal.
    factor: Vec<f32>,
    weights: Weights,
    geometry: [Geometry; CLASSES],
    fit_error: [f32; CLASSES],
    dark: f32,
    covered: f32,
    samp: i16,
    /// A step of residuals above this asks for a closer look.
    limit: f32,
    ignored: u16,
    /// Flags that change what is stored for a read, wherever they stand: the pixel path's business.
    disturbing: u16,
    rate: bool,
}

/// A block's sums and results.
pub(super) struct Scratch {
    signal: Vec<f32>,
    error: Vec<f32>,
    to_dn: [f32; SIZE],
    intercept: [f32; SIZE],
    slope: [f32; SIZE],
    sy: [f32; SIZE],
    sxy: [f32; SIZE],
    class: [u32; SIZE],
    fit_error: [f32; SIZE],
    rate: [f32; SIZE],
    err: [f32; SIZE],
    product_dq: [u16; SIZE],
    /// Nonzero where the pixel path must answer.
    disturbed: [u32; SIZE],
    previous: [f32; SIZE],
    /// Hits of an earlier fit stand in this block.
    stale: u16,
    len: usize,
    covered: f32,
    samp: i16,
}

impl Plan {
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let mut used: Vec<usize> = (1..nread).filter(|&r| !reads.excluded[r]).collect();
        let times = match reads.times {
            Times::PerRead(times) => times.to_vec(),
            Times::PerPixel(_) => Vec::new(),
        };
        if times.is_empty() || used.len() < 3 {
            used.clear();
        }
        let weights = Weights::new(params.gain, nread);
        let dark: Vec<f32> = times.iter().map(|time| time * weights.dark).collect();
        let mut geometry = [Geometry::default(); CLASSES];
        let (mut dark_span, mut covered) = (0.0, 0.0);
        if let (Some(&first), Some(&last)) = (used.first(), used.last()) {
            for (class, sums) in geometry.iter_mut().enumerate() {
                for (&r, &w) in used.iter().zip(weights.of(used.len(), class)) {
                    sums.add(times[r], w);
                }
                *sums = sums.close();
            }
            dark_span = dark[last] - dark[first];
            covered += times[first] - times[first - 1];
            covered += times[last] - times[first];
        }
        Self {
            factor: if params.rate { times.clone() } else { vec![1.0; times.len()] },
            samp: used.len() as i16 + 1,
            fit_error: geometry.map(|sums| sums.fit_error()),
            dark: dark_span,
            limit: params.crsigma.min(SPIKE_SIGMA),
            ignored: ignored(params),
            disturbing: match params.parity {
                true => SPIKE | DATAREJECT | HIGH_CURVATURE,
                false => SPIKE | DETECTORPROB | UNSTABLE,
            },
            rate: params.rate,
            used,
            times,
            weights,
            geometry,
            covered,
        }
    }

    /// Room for one block at a time.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            signal: vec![0.0; self.used.len() * SIZE],
            error: vec![0.0; self.used.len() * SIZE],
            to_dn: [1.0; SIZE],
            intercept: [0.0; SIZE],
            slope: [0.0; SIZE],
            sy: [0.0; SIZE],
            sxy: [0.0; SIZE],
            class: [0; SIZE],
            fit_error: [0.0; SIZE],
            rate: [0.0; SIZE],
            err: [0.0; SIZE],
            product_dq: [0; SIZE],
            disturbed: [0; SIZE],
            previous: [0.0; SIZE],
            stale: 0,
            len: 0,
            covered: self.covered,
            samp: self.samp,
        }
    }

    /// Fit the `len` pixels that start at flat pixel `first`.
    pub fn solve(&self, reads: &Reads<'_>, first: usize, len: usize, block: &mut Scratch) {
        block.len = len;
        if self.used.is_empty() {
            block.disturbed.fill(1);
            return;
        }
        simd::run(Solve { plan: self, reads, first, block });
    }
}

struct Solve<'a, 'b> {
    plan: &'a Plan,
    reads: &'a Reads<'b>,
    first: usize,
    block: &'a mut Scratch,
}

impl simd::Loop for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, reads, first, block } = self;
        let len = block.len;
        collect_flags(plan, reads, first, block);
        collect_signal(plan, reads, first, block);
        let geometry = plan.geometry[0];
        for p in 0..len {
            (block.intercept[p], block.slope[p]) = geometry.line(block.sy[p], block.sxy[p]);
        }
        look_for_steps(plan, block);
        choose_weights(plan, block);
        for class in 0..CLASSES {
            if block.class[..len].contains(&(class as u32)) {
                weighted_slopes(plan, block, class);
            }
        }
        rates(plan, block);
    }
}

/// The OR of the reads' flags, and which pixels they disturb.
#[inline(always)]
fn collect_flags(plan: &Plan, reads: &Reads<'_>, first: usize, block: &mut Scratch) {
    let len = block.len;
    let (mut every, mut kept, mut fitted) = ([0u16; SIZE], [0u16; SIZE], [0u16; SIZE]);
    for r in 0..reads.dq.shape()[0] {
        let flags = &reads.dq.plane(r)[first..first + len];
        let keep = if reads.excluded[r] { 0 } else { u16::MAX };
        let fit = if r == 0 { 0 } else { keep };
        for p in 0..len {
            every[p] |= flags[p];
            kept[p] |= flags[p] & keep;
            fitted[p] |= flags[p] & fit;
        }
    }
    // Rescue by the zeroth read depends on the first, even if that one is excluded.
    let saturated = &reads.dq.plane(1)[first..first + len];
    let mut all = 0;
    for p in 0..len {
        let disturbing =
            (fitted[p] & !plan.ignored) | (every[p] & plan.disturbing) | (saturated[p] & SATPIXEL);
        block.disturbed[p] = u32::from(disturbing);
        block.product_dq[p] = kept[p] & !(plan.ignored | SATPIXEL);
        all |= every[p];
    }
    block.stale = all & DATAREJECT;
}

/// Accumulated signal and its errors, with the sums of the equal-weight line.
#[inline(always)]
fn collect_signal(plan: &Plan, reads: &Reads<'_>, first: usize, block: &mut Scratch) {
    let len = block.len;
    if let Some(to_dn) = reads.to_dn {
        block.to_dn[..len].copy_from_slice(&to_dn[first..first + len]);
    }
    let to_dn = &block.to_dn[..len];
    let (sy, sxy) = (&mut block.sy[..len], &mut block.sxy[..len]);
    let disturbed = &mut block.disturbed[..len];
    sy.fill(0.0);
    sxy.fill(0.0);
    let w = plan.weights.of(plan.used.len(), 0)[0];
    for (j, &r) in plan.used.iter().enumerate() {
        let (time, factor) = (plan.times[r], plan.factor[r]);
        let sci = &reads.sci.plane(r)[first..first + len];
        let err = &reads.err.plane(r)[first..first + len];
        let signal = &mut block.signal[j * SIZE..j * SIZE + len];
        let error = &mut block.error[j * SIZE..j * SIZE + len];
        for p in 0..len {
            let y = (sci[p] * to_dn[p]) * factor;
            let e = (err[p] * to_dn[p]) * factor;
            signal[p] = y;
            error[p] = e;
            // Without an error (zero, NaN) a sample has no say: the pixel path leaves it out.
            disturbed[p] |= u32::from(!(e.abs() > 0.0));
            sy[p] += y * w;
            sxy[p] += (time * y) * w;
        }
    }
}

/// Mark pixels whose residuals jump.
#[inline(always)]
fn look_for_steps(plan: &Plan, block: &mut Scratch) {
    let len = block.len;
    let (intercept, slope) = (&block.intercept[..len], &block.slope[..len]);
    let previous = &mut block.previous[..len];
    let disturbed = &mut block.disturbed[..len];
    for (j, &r) in plan.used.iter().enumerate() {
        let time = plan.times[r];
        let signal = &block.signal[j * SIZE..j * SIZE + len];
        let error = &block.error[j * SIZE..j * SIZE + len];
        let limit = if j == 0 { f32::INFINITY } else { plan.limit };
        for p in 0..len {
            let residual = (signal[p] - (intercept[p] + slope[p] * time)) / error[p];
            disturbed[p] |= u32::from((residual - previous[p]).abs() > limit);
            previous[p] = residual;
        }
    }
}

/// The weighting class of every pixel, by its signal-to-noise ratio.
#[inline(always)]
fn choose_weights(plan: &Plan, block: &mut Scratch) {
    let len = block.len;
    let last = (plan.used.len() - 1) * SIZE;
    let (start, end) = (&block.signal[..len], &block.signal[last..last + len]);
    let error = &block.error[last..last + len];
    for p in 0..len {
        let snr = (end[p] - start[p]) / error[p];
        let snr = if error[p] > 0.0 { snr } else { 0.0 };
        block.class[p] = line::class_of(snr) as u32;
    }
}

/// Slopes of the pixels of one class.
#[inline(always)]
fn weighted_slopes(plan: &Plan, block: &mut Scratch, class: usize) {
    let len = block.len;
    let geometry = plan.geometry[class];
    let (sy, sxy) = (&mut block.sy[..len], &mut block.sxy[..len]);
    if class != 0 {
        let weights = plan.weights.of(plan.used.len(), class);
        sy.fill(0.0);
        sxy.fill(0.0);
        for (j, &r) in plan.used.iter().enumerate() {
            let (time, w) = (plan.times[r], weights[j]);
            let signal = &block.signal[j * SIZE..j * SIZE + len];
            for p in 0..len {
                sy[p] += signal[p] * w;
                sxy[p] += (time * signal[p]) * w;
            }
        }
    }
    for p in 0..len {
        let (_, slope) = geometry.line(sy[p], sxy[p]);
        let mine = block.class[p] == class as u32;
        block.slope[p] = if mine { slope } else { block.slope[p] };
        block.fit_error[p] = if mine { plan.fit_error[class] } else { block.fit_error[p] };
    }
}

/// Rates and errors from the slopes.
#[inline(always)]
fn rates(plan: &Plan, block: &mut Scratch) {
    let len = block.len;
    let last = (plan.used.len() - 1) * SIZE;
    let (start, end) = (&block.signal[..len], &block.signal[last..last + len]);
    let (Some(&r0), Some(&r1)) = (plan.used.first(), plan.used.last()) else { return };
    let dx = plan.times[r1] - plan.times[r0];
    let counts = if plan.rate { 1.0 } else { plan.covered };
    for p in 0..len {
        let dy = end[p] - start[p];
        let fit = block.fit_error[p];
        let error = line::slope_error(plan.weights.gain, fit, fit, dx, dy, plan.dark);
        let variance = error * error;
        let weight = (1.0 / f64::from(variance)) as f32;
        let sum = block.slope[p] / variance;
        // A variance of zero, or none at all, leaves no weight: the pixel path knows what then.
        block.disturbed[p] |= u32::from(variance == 0.0) | u32::from(!(weight > 0.0));
        block.disturbed[p] |= u32::from(!block.slope[p].is_finite());
        block.rate[p] = (sum / weight) * counts / block.to_dn[p];
        block.err[p] = (1.0 / weight).sqrt() * counts / block.to_dn[p];
    }
}

impl Scratch {
    /// The answer for one pixel of the block, unless the pixel path must give it.
    #[inline]
    pub fn solved(&self, lane: usize) -> Option<Solved> {
        (self.disturbed[lane] == 0).then(|| Solved {
            rate: self.rate[lane],
            err: self.err[lane],
            dq: self.product_dq[lane],
            samp: self.samp,
            time: self.covered,
            unstable: false,
        })
    }

    /// Clear the hits of an earlier fit from pixels of this block that show none now.
    pub fn clear_hits(&self, plan: &Plan, read_dq: &mut [&mut [u16]], first: usize) {
        if self.stale == 0 || plan.used.is_empty() {
            return;
        }
        for plane in read_dq {
            for (flags, &disturbed) in plane[first..first + self.len].iter_mut().zip(&self.disturbed) {
                if disturbed == 0 {
                    *flags &= !DATAREJECT;
                }
            }
        }
    }
}
