//! calwf3's CRCORR: straight lines between cosmic-ray hits.
//!
//! Each pixel's reads are split at its hits (and where the caller breaks them) into intervals. A line is fitted to every interval; a sample that
//! sticks out of the line is a *spike* (one read) or a *hit* (a step), the interval is split there, and the
//! search starts anew until nothing sticks out. The count rate is the weighted mean of the slopes,
//!
//! ```text
//! rate = sum_i (b_i / v_i) / sum_i (1 / v_i),     err = 1 / sqrt(sum_i (1 / v_i)),
//! ```
//!
//! with `b_i` the slope of interval i under weights that grow towards its ends with the signal-to-noise ratio
//! (Fixsen et al. 2000, PASP 112, 1350), and `v_i` its variance from read noise, dark current and photons.
//!
//! Arithmetic is IEEE float32 in the order of the reference program, without fused multiply-add: with
//! `parity` every bit agrees with calwf3 3.7.3 (`tests/golden/test_crcorr.py`). Rooms: [`line`] the fit,
//! [`pixel`] one pixel with all rules (the truth); fast, and many pixels at once: [`block`] those without a hit,
//! [`onehit`] those with one, both by the [`interval`] and the [`tile`].
//!
//! Without `parity` four faults of the reference program are mended, each marked where it is decided:
//! flags of an earlier fit are cleared first; samples flagged 1024 are left out of every fit and stay out of
//! the product's DQ; spikes are left out of lenient fits too; errors of two-point rates add in quadrature.

mod block;
mod interval;
mod line;
mod onehit;
mod pixel;
mod tile;

use crate::simd::zeros;
use crate::view::{Cube, Region};
use crate::{Error, Result, dq, par};
use onehit::Place;
use std::ops::Range;
use tile::LANES;

/// Rows worked by one thread at a time: small, since hits (slow pixels) cluster.
const BAND_ROWS: usize = 8;

/// What the fit needs to know besides the reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Rejection threshold for hits, in sigma.
    pub crsigma: f32,
    /// DQ bits that exclude a sample even in lenient mode (BADINPDQ).
    pub bad_dq: u16,
    /// Mean gain, electrons per DN.
    pub gain: f32,
    /// SCI and ERR are rates (per second) rather than accumulated counts.
    pub rate: bool,
    /// A pixel saturated in the first read is given its zeroth read.
    pub zeroth_rescue: bool,
    /// Exposure time of the zeroth read, seconds.
    pub zeroth_time: f32,
    /// Do as calwf3 does, faults included.
    pub parity: bool,
}

/// Exposure times of the reads, in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// One time per read.
    PerRead(&'a [f32]),
    /// A time for every pixel of every read.
    PerPixel(Cube<'a, f32>),
}

/// The reads of one exposure.
#[derive(Debug, Clone, Copy)]
pub struct Reads<'a> {
    /// Signal.
    pub sci: Cube<'a, f32>,
    /// Its uncertainty.
    pub err: Cube<'a, f32>,
    /// Data-quality bits.
    pub dq: Cube<'a, u16>,
    /// Exposure times.
    pub times: Times<'a>,
    /// Reads to leave out (`true`) of every fit.
    pub excluded: &'a [bool],
    /// Reads (`true`) that begin an interval: what fell in since the used read before, or since the zeroth, does
    /// not count.
    pub breaks: &'a [bool],
    /// Factor per pixel `(ny, nx)` that turns SCI and ERR into DN, undone in the result; none: they are DN.
    pub to_dn: Option<&'a [f32]>,
}

/// The product: images of the region's shape, and the DQ of every read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Count rate, or counts over `time` if the input was counts.
    pub rate: Vec<f32>,
    /// Its uncertainty.
    pub err: Vec<f32>,
    /// Data-quality bits.
    pub dq: Vec<u16>,
    /// Number of reads used.
    pub samp: Vec<i16>,
    /// Exposure time covered, seconds.
    pub time: Vec<f32>,
    /// DQ of all reads, whole frame, with hits (8192 onwards), spikes (4) and unstable pixels (32) added.
    pub read_dq: Vec<u16>,
    /// Pixels with too many hits.
    pub unstable: usize,
}

/// One pixel of the product.
#[derive(Debug, Clone, Copy, Default)]
struct Solved {
    rate: f32,
    err: f32,
    dq: u16,
    samp: i16,
    time: f32,
    unstable: bool,
}

/// Rows of the product images.
struct Rows<'a> {
    rate: &'a mut [f32],
    err: &'a mut [f32],
    dq: &'a mut [u16],
    samp: &'a mut [i16],
    time: &'a mut [f32],
}

impl<'a> Rows<'a> {
    /// Take the next `size` pixels out.
    fn take(&mut self, size: usize) -> Self {
        fn front<'a, T>(rest: &mut &'a mut [T], size: usize) -> &'a mut [T] {
            let (front, back) = std::mem::take(rest).split_at_mut(size);
            *rest = back;
            front
        }
        Self {
            rate: front(&mut self.rate, size),
            err: front(&mut self.err, size),
            dq: front(&mut self.dq, size),
            samp: front(&mut self.samp, size),
            time: front(&mut self.time, size),
        }
    }
}

/// Rows of the frame that one thread works on, and those of the product that lie in them.
struct Band<'a> {
    y: Range<usize>,
    rows: Rows<'a>,
    read_dq: Vec<&'a mut [u16]>,
    unstable: &'a mut usize,
}

impl Band<'_> {
    fn put(&mut self, at: usize, solved: &Solved) {
        self.rows.rate[at] = solved.rate;
        self.rows.err[at] = solved.err;
        self.rows.dq[at] = solved.dq;
        self.rows.samp[at] = solved.samp;
        self.rows.time[at] = solved.time;
        *self.unstable += usize::from(solved.unstable);
    }
}

/// Fit the ramp of every pixel in `region`.
pub fn fit_crcorr(reads: &Reads<'_>, region: &Region, params: &Params, threads: usize) -> Result<Fit> {
    check(reads, params)?;
    let [nread, ny, nx] = reads.sci.shape();
    let size = region.y.len() * region.x.len();
    // Zeros cost nothing until a band writes over them: each thread touches what it fills.
    let mut fit = Fit {
        rate: zeros(size),
        err: zeros(size),
        dq: zeros(size),
        samp: zeros(size),
        time: zeros(size),
        read_dq: zeros(nread * ny * nx),
        unstable: 0,
    };
    let mut unstable = vec![0; ny.div_ceil(BAND_ROWS)];
    let bands = cut(&mut fit, region, [ny, nx], &mut unstable);
    let work = Work {
        blocks: block::Plan::new(reads, params),
        queues: onehit::Plan::new(reads, params),
        reads,
        region,
        params,
    };
    par::for_each(bands, threads, || work.scratch(), |scratch, band| work.fill(scratch, band));
    fit.unstable = unstable.into_iter().sum();
    Ok(fit)
}

/// Cut frame and product into bands.
fn cut<'a>(
    fit: &'a mut Fit,
    region: &Region,
    [ny, nx]: [usize; 2],
    unstable: &'a mut [usize],
) -> Vec<Band<'a>> {
    let Fit { rate, err, dq, samp, time, .. } = fit;
    let mut rows = Rows { rate, err, dq, samp, time };
    let mut planes: Vec<_> =
        fit.read_dq.chunks_mut(ny * nx).map(|plane| plane.chunks_mut(BAND_ROWS * nx)).collect();
    let bands = unstable.iter_mut().enumerate().map(|(band, unstable)| {
        let y = band * BAND_ROWS..ny.min((band + 1) * BAND_ROWS);
        let inside = y.end.min(region.y.end).saturating_sub(y.start.max(region.y.start));
        Band {
            y,
            rows: rows.take(inside * region.x.len()),
            read_dq: planes.iter_mut().filter_map(Iterator::next).collect(),
            unstable,
        }
    });
    bands.collect()
}

/// What all bands share.
struct Work<'a> {
    blocks: block::Plan,
    queues: onehit::Plan,
    reads: &'a Reads<'a>,
    region: &'a Region,
    params: &'a Params,
}

/// Room for one thread.
struct Scratch {
    block: block::Scratch,
    queues: onehit::Queues,
    pixel: pixel::Scratch,
}

impl Work<'_> {
    fn scratch(&self) -> Scratch {
        Scratch {
            block: self.blocks.scratch(),
            queues: self.queues.queues(),
            pixel: pixel::Scratch::new(self.reads, self.params),
        }
    }

    /// Fill one band: blocks of pixels at once, of those that were hit as many as there are, others one by one.
    fn fill(&self, scratch: &mut Scratch, mut band: Band<'_>) {
        let nx = self.reads.sci.shape()[2];
        let Region { y: inside, x } = self.region;
        let mut done = 0;
        for y in band.y.clone() {
            let row = (y - band.y.start) * nx;
            if !inside.contains(&y) {
                self.copy_flags(&mut band, row..row + nx);
                continue;
            }
            self.copy_flags(&mut band, row..row + x.start);
            self.copy_flags(&mut band, row + x.end..row + nx);
            for start in x.clone().step_by(block::SIZE) {
                let len = block::SIZE.min(x.end - start);
                let first = Place { frame: y * nx + start, row: done };
                self.blocks.solve(self.reads, self.params, first.frame, len, &mut scratch.block);
                self.store(&scratch.block, &mut band.rows, done);
                self.solve_disturbed(scratch, &mut band, first);
                scratch.block.store_flags(&mut band.read_dq, row + start);
                self.queue_up(scratch, &mut band, first);
                done += len;
            }
        }
        while let Some(queue) = scratch.queues.next() {
            self.solve_queue(scratch, &mut band, queue);
        }
    }

    /// Pass on the flags of pixels that are not fitted.
    fn copy_flags(&self, band: &mut Band<'_>, pixels: Range<usize>) {
        let first = band.y.start * self.reads.sci.shape()[2];
        for (r, stored) in band.read_dq.iter_mut().enumerate() {
            let flags = &self.reads.dq.plane(r)[first + pixels.start..first + pixels.end];
            stored[pixels.clone()].copy_from_slice(flags);
        }
    }

    /// Write the products of a block to the pixels from `at` on.
    fn store(&self, block: &block::Scratch, rows: &mut Rows<'_>, at: usize) {
        let (rate, err, dq) = block.products();
        let pixels = at..at + rate.len();
        rows.rate[pixels.clone()].copy_from_slice(rate);
        rows.err[pixels.clone()].copy_from_slice(err);
        rows.dq[pixels.clone()].copy_from_slice(dq);
        rows.samp[pixels.clone()].fill(self.blocks.samp);
        rows.time[pixels].fill(self.blocks.covered);
    }

    /// Solve the pixels of a block that neither it nor the queues can, and mark the hits of the latter.
    fn solve_disturbed(&self, Scratch { block, pixel, .. }: &mut Scratch, band: &mut Band<'_>, first: Place) {
        let mut from = 0;
        while let Some(p) = block.next_disturbed(from) {
            pixel.load(self.reads, self.params, first.frame + p, (&block.ramps, p), None);
            let solved = pixel.solve(self.params);
            pixel.store_flags(block.ramps.flags_mut(p));
            band.put(first.row + p, &solved);
            from = p + 1;
        }
        from = 0;
        while let Some((p, hit)) = block.next_struck(from) {
            block.mark(&self.blocks, p, hit);
            from = p + 1;
        }
    }

    /// Queue up the pixels of a block that were hit, once its flags are stored: what a queue finds goes on top.
    fn queue_up(&self, scratch: &mut Scratch, band: &mut Band<'_>, first: Place) {
        let mut from = 0;
        while let Some((p, hit)) = scratch.block.next_struck(from) {
            let place = Place { frame: first.frame + p, row: first.row + p };
            if let Some(full) = scratch.queues.push(&scratch.block.ramps, p, hit, place) {
                self.solve_queue(scratch, band, full);
            }
            from = p + 1;
        }
    }

    /// Solve the pixels of a queue.
    fn solve_queue(&self, Scratch { queues, pixel, .. }: &mut Scratch, band: &mut Band<'_>, queue: usize) {
        let found = queues.solve(&self.queues, queue);
        for (l, &Place { frame, row }) in found.places[..found.len].iter().enumerate() {
            if found.disturbed[l] == 0 {
                // The product's flags are there already.
                band.rows.rate[row] = found.rate[l];
                band.rows.err[row] = found.err[l];
                band.rows.samp[row] = self.queues.samp;
                band.rows.time[row] = found.time;
                continue;
            }
            let (at, hit) = (queue * LANES + l, Some(queue + 1));
            pixel.load(self.reads, self.params, frame, (queues.ramps(), at), hit);
            let solved = pixel.solve(self.params);
            pixel.store_flags(queues.ramps().flags_mut(at));
            band.put(row, &solved);
            let first = band.y.start * self.reads.sci.shape()[2];
            for (stored, flags) in band.read_dq.iter_mut().zip(queues.ramps().flags(at)) {
                stored[frame - first] = flags;
            }
        }
    }
}

fn check(reads: &Reads<'_>, params: &Params) -> Result<()> {
    let shape = reads.sci.shape();
    reads.sci.same_shape("err", &reads.err)?;
    reads.sci.same_shape("dq", &reads.dq)?;
    let per_read = |name, got: usize| match got == shape[0] {
        true => Ok(()),
        false => Err(Error::Shape { name, got: vec![got], expected: vec![shape[0]] }),
    };
    match reads.times {
        Times::PerRead(times) => per_read("times", times.len())?,
        Times::PerPixel(times) => reads.sci.same_shape("times", &times)?,
    }
    per_read("excluded", reads.excluded.len())?;
    per_read("breaks", reads.breaks.len())?;
    if let Some(to_dn) = reads.to_dn
        && to_dn.len() != shape[1] * shape[2]
    {
        return Err(Error::Shape { name: "to_dn", got: vec![to_dn.len()], expected: shape[1..].to_vec() });
    }
    if shape[0] < 2 {
        return Err(Error::value("nread", shape[0], "at least 2 (the zeroth read and one more)"));
    }
    if reads.excluded[1..].iter().all(|&out| out) {
        return Err(Error::value("excluded", "every read after the zeroth", "at least one read left to fit"));
    }
    let positive = |name, value: f32| match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::value(name, value, "a positive number")),
    };
    positive("crsigma", params.crsigma)?;
    positive("gain", params.gain)
}

/// DQ bits that the fit does not look at: the zeroth-read signal, and by default hits of an earlier fit.
fn ignored(params: &Params) -> u16 {
    if params.parity { dq::ZEROSIG } else { dq::ZEROSIG | dq::DATAREJECT }
}
