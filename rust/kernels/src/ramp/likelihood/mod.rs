//! Generalised least squares on the differences between reads, with likelihood-ratio search for hits.
//!
//! The differences of a ramp share read noise, and photon noise where reads are averaged: their covariance is
//! tridiagonal ([`covariance`]). Given it, rate, error and chi square cost a handful of operations a difference
//! ([`system`]), and so does the answer to "how much better would the fit be without this difference?", which finds
//! hits ([`jumps`]). The covariance depends on the rate: the search takes it from the median ([`guess`]), the final
//! fit from the search. Arithmetic is float64. Rooms: [`samples`] which samples count, [`block`] the order of work.
//!
//! After Brandt 2024a,b (PASP 136, 045004 and 045005). Masks and rates are those of the peers fitramp and stcal's
//! LIKELY (`tests/golden/test_likelihood.py`) but for three faults of theirs: here hits in symmetric ramps without
//! signal are found, ramps that saturate early are not taken for hit, and neighbours that are left out together
//! leave rate and error right.

mod block;
mod covariance;
pub(crate) mod guess;
mod jumps;
mod samples;
mod system;
pub(crate) mod tile;

pub use covariance::Pattern;
pub use jumps::Thresholds;
pub use samples::Rule;

use crate::dq::{DATAREJECT, DETECTORPROB, UNSTABLE};
use crate::simd::zeros;
use crate::view::{Cube, Region};
use crate::{Error, Result, par};
use block::{Block, Hit, Plan};
use covariance::Covariance;
use samples::SIZE;
use std::ops::Range;

/// Rows worked by one thread at a time.
const BAND_ROWS: usize = 8;
/// With this many hits the pixel is called unstable.
const MAX_HITS: usize = 4;

/// A number for every pixel.
#[derive(Debug, Clone, Copy)]
pub enum Image<'a> {
    /// The same for all.
    Same(f64),
    /// One each, `(ny, nx)`.
    Each(&'a [f32]),
}

/// A background that was subtracted from the signal, whose noise remains.
#[derive(Debug, Clone, Copy)]
pub enum Removed<'a> {
    /// None.
    Nothing,
    /// The signal before.
    Untouched(Cube<'a, f32>),
    /// Its rate between each read and the one before, in the unit of the signal, and each pixel's response to it.
    Rates(&'a [f64], Option<&'a [f32]>),
}

/// Samples of one exposure.
#[derive(Debug, Clone, Copy)]
pub struct Reads<'a> {
    /// Signal.
    pub sci: Cube<'a, f32>,
    /// What was subtracted from it.
    pub removed: Removed<'a>,
    /// Flags; none: all samples are good.
    pub dq: Option<Cube<'a, u16>>,
    /// Differences to leave out, `(nread - 1, ny, nx)`.
    pub mask: Option<Cube<'a, bool>>,
    /// Samples to leave out, with the differences on both sides.
    pub excluded: &'a [bool],
    /// Factor that makes the signal of each read accumulate: its exposure time if it is a rate, else 1. A first
    /// sample with 0 is 0.
    pub scale: &'a [f64],
    /// When they were taken.
    pub pattern: Pattern<'a>,
    /// Electrons per unit of the signal.
    pub gain: Image<'a>,
    /// Noise of one read, electrons.
    pub read_noise: Image<'a>,
    /// Charge that has been subtracted but whose noise remains, electrons per second.
    pub dark: Image<'a>,
}

/// How to search, and what to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Thresholds of the search; none: no search.
    pub thresholds: Option<Thresholds>,
    /// How flags are read.
    pub rule: Rule,
    /// Report variances, chi square and the mask of hits.
    pub details: bool,
    /// Report the sizes of hits.
    pub sizes: bool,
    /// Report flags: of the product, and of every read with what was found.
    pub flags: bool,
}

/// The answers: images of the region's shape. What was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fit {
    /// Count rate, units of the signal per second; NaN without a usable difference.
    pub rate: Vec<f32>,
    /// Its uncertainty.
    pub err: Vec<f32>,
    /// Seconds between the samples used.
    pub time: Vec<f32>,
    /// Samples used.
    pub samples: Vec<u16>,
    /// Variance of the rate from photons (and dark current).
    pub var_poisson: Vec<f32>,
    /// Variance of the rate from read noise.
    pub var_rnoise: Vec<f32>,
    /// Chi square.
    pub chi2: Vec<f32>,
    /// Differences used, less one.
    pub dof: Vec<i16>,
    /// Differences left out by the search, `(nread - 1, ny, nx)`.
    pub jumps: Vec<bool>,
    /// Signal that the hits have added, likewise.
    pub sizes: Vec<f32>,
    /// Flags of the product.
    pub dq: Vec<u16>,
    /// Flags of all reads of the whole frame, hits (8192 onwards), spikes (4) and unstable pixels (32) added.
    pub read_dq: Vec<u16>,
    /// Pixels with many hits.
    pub unstable: usize,
}

/// The rows of one thread: images and cubes of the region, then the flags of the frame.
struct Band<'a> {
    y: Range<usize>,
    images: [&'a mut [f32]; 6],
    samples: &'a mut [u16],
    dof: &'a mut [i16],
    dq: &'a mut [u16],
    jumps: Vec<&'a mut [bool]>,
    sizes: Vec<&'a mut [f32]>,
    read_dq: Vec<&'a mut [u16]>,
    unstable: &'a mut usize,
}

/// The next `size` items, or none of nothing.
fn take<'a, T>(rest: &mut &'a mut [T], size: usize) -> &'a mut [T] {
    let size = size.min(rest.len());
    let (front, back) = std::mem::take(rest).split_at_mut(size);
    *rest = back;
    front
}

/// Fit the ramp of every pixel in `region`.
pub fn fit_gls(reads: &Reads<'_>, region: &Region, params: &Params, threads: usize) -> Result<Fit> {
    check(reads, params)?;
    let plan = Plan::new(Covariance::new(&reads.pattern)?);
    let [nread, ny, nx] = reads.sci.shape();
    let size = region.y.len() * region.x.len();
    let when = |wanted: bool, len: usize| if wanted { len } else { 0 };
    let mut fit = Fit {
        rate: zeros(size),
        err: zeros(size),
        time: zeros(size),
        samples: zeros(size),
        var_poisson: zeros(when(params.details, size)),
        var_rnoise: zeros(when(params.details, size)),
        chi2: zeros(when(params.details, size)),
        dof: zeros(when(params.details, size)),
        jumps: zeros(when(params.details, (nread - 1) * size)),
        sizes: zeros(when(params.sizes, (nread - 1) * size)),
        dq: zeros(when(params.flags, size)),
        read_dq: zeros(when(params.flags, nread * ny * nx)),
        unstable: 0,
    };
    let mut unstable = vec![0; ny.div_ceil(BAND_ROWS)];
    let bands = cut(&mut fit, region, [ny, nx], &mut unstable);
    let work = Work { plan, reads, region, params };
    par::for_each(
        bands,
        threads,
        || Block::new(nread, !matches!(reads.removed, Removed::Nothing)),
        |block, band| work.fill(block, band),
    );
    fit.unstable = unstable.into_iter().sum();
    Ok(fit)
}

/// Cut the answers into bands.
fn cut<'a>(
    fit: &'a mut Fit,
    region: &Region,
    [ny, nx]: [usize; 2],
    unstable: &'a mut [usize],
) -> Vec<Band<'a>> {
    let size = region.y.len() * region.x.len();
    let Fit { rate, err, time, var_poisson, var_rnoise, chi2, .. } = fit;
    let mut images = [rate, err, time, var_poisson, var_rnoise, chi2].map(Vec::as_mut_slice);
    let (mut samples, mut dof, mut dq) = (&mut fit.samples[..], &mut fit.dof[..], &mut fit.dq[..]);
    let mut jumps: Vec<_> = fit.jumps.chunks_mut(size).collect();
    let mut sizes: Vec<_> = fit.sizes.chunks_mut(size).collect();
    let mut frame: Vec<_> = fit.read_dq.chunks_mut(ny * nx).collect();
    let bands = unstable.iter_mut().enumerate().map(|(band, unstable)| {
        let y = band * BAND_ROWS..ny.min((band + 1) * BAND_ROWS);
        let rows = y.end.min(region.y.end).saturating_sub(y.start.max(region.y.start));
        let inside = rows * region.x.len();
        Band {
            images: images.each_mut().map(|rest| take(rest, inside)),
            samples: take(&mut samples, inside),
            dof: take(&mut dof, inside),
            dq: take(&mut dq, inside),
            jumps: jumps.iter_mut().map(|rest| take(rest, inside)).collect(),
            sizes: sizes.iter_mut().map(|rest| take(rest, inside)).collect(),
            read_dq: frame.iter_mut().map(|rest| take(rest, y.len() * nx)).collect(),
            unstable,
            y,
        }
    });
    bands.collect()
}

/// What all bands share.
struct Work<'a> {
    plan: Plan,
    reads: &'a Reads<'a>,
    region: &'a Region,
    params: &'a Params,
}

impl Work<'_> {
    fn fill(&self, block: &mut Block, mut band: Band<'_>) {
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
            for start in x.clone().step_by(SIZE) {
                let len = SIZE.min(x.end - start);
                block.solve(&self.plan, self.reads, self.params, y * nx + start, len);
                self.store(block, &mut band, done, row + start, len);
                done += len;
            }
        }
    }

    /// Pass on the flags of pixels that are not fitted.
    fn copy_flags(&self, band: &mut Band<'_>, pixels: Range<usize>) {
        let Some(dq) = &self.reads.dq else { return };
        let first = band.y.start * self.reads.sci.shape()[2];
        for (r, stored) in band.read_dq.iter_mut().enumerate() {
            let flags = &dq.plane(r)[first + pixels.start..first + pixels.end];
            stored[pixels.clone()].copy_from_slice(flags);
        }
    }

    /// Write the answers of a block to the pixels from `at` on, its flags from `frame` on.
    fn store(&self, block: &mut Block, band: &mut Band<'_>, at: usize, frame: usize, len: usize) {
        let pixels = at..at + len;
        let [rate, err, time, var_poisson, var_rnoise, chi2] = &mut band.images;
        let lanes = |p: usize| (&block.results[p / tile::LANES], p % tile::LANES);
        for (p, at) in pixels.clone().enumerate() {
            let (of, l) = lanes(p);
            rate[at] = of.rate[l] as f32;
            err[at] = of.err[l] as f32;
            time[at] = of.time[l] as f32;
            band.samples[at] = of.samples[l] as u16;
        }
        if self.params.details {
            for (p, at) in pixels.clone().enumerate() {
                let (of, l) = lanes(p);
                var_poisson[at] = of.var_poisson[l] as f32;
                var_rnoise[at] = of.var_rnoise[l] as f32;
                chi2[at] = of.chi2[l] as f32;
                band.dof[at] = Block::at(&block.left, p) as i16 - 1;
            }
            for hit in &block.hits {
                band.jumps[hit.after][at + hit.pixel] = true;
            }
        }
        if self.params.sizes {
            for hit in &block.hits {
                band.sizes[hit.after][at + hit.pixel] = block.in_data_units(hit) as f32;
            }
        }
        if self.params.flags {
            self.mark(block, band.unstable);
            band.dq[pixels].copy_from_slice(&block.samples.product[..len]);
            for (stored, flags) in band.read_dq.iter_mut().zip(&block.samples.flags) {
                stored[frame..frame + len].copy_from_slice(&flags[..len]);
            }
        }
    }

    /// Mark hits, spikes and unstable pixels in the flags.
    fn mark(&self, block: &mut Block, unstable: &mut usize) {
        let mut hits = std::mem::take(&mut block.hits);
        hits.sort_unstable_by_key(|hit| (hit.pixel, hit.after));
        for ramp in hits.chunk_by(|a, b| a.pixel == b.pixel) {
            let pixel = ramp[0].pixel;
            let found = self.name(block, ramp);
            if found.len() >= MAX_HITS {
                *unstable += 1;
                block.samples.product[pixel] |= UNSTABLE;
                block.samples.flags.iter_mut().for_each(|flags| flags[pixel] |= UNSTABLE);
                continue;
            }
            for (read, spike) in found {
                let reads = if spike { read..read + 1 } else { read..block.samples.flags.len() };
                let mark = if spike { DETECTORPROB } else { DATAREJECT };
                block.samples.flags[reads].iter_mut().for_each(|flags| flags[pixel] |= mark);
            }
        }
        block.hits = hits;
    }

    /// The reads that were hit; two neighbouring differences whose charges cancel are one read that sticks out.
    fn name(&self, block: &Block, ramp: &[Hit]) -> Vec<(usize, bool)> {
        let mut found = Vec::with_capacity(ramp.len());
        let mut k = 0;
        while k < ramp.len() {
            let Hit { pixel, after, .. } = ramp[k];
            let neighbours = ramp.get(k + 1).is_some_and(|next| next.after == after + 1);
            let spike = neighbours && block.cancel(&self.plan, pixel, after);
            found.push((after + 1, spike));
            k += 1 + usize::from(spike);
        }
        found
    }
}

fn check(reads: &Reads<'_>, params: &Params) -> Result<()> {
    let [nread, ny, nx] = reads.sci.shape();
    if let Some(dq) = &reads.dq {
        reads.sci.same_shape("dq", dq)?;
    }
    match reads.removed {
        Removed::Nothing => {}
        Removed::Untouched(untouched) => reads.sci.same_shape("untouched", &untouched)?,
        Removed::Rates(rates, response) => {
            if rates.len() + 1 != nread {
                return Err(Error::Shape {
                    name: "removed",
                    got: vec![rates.len()],
                    expected: vec![nread - 1],
                });
            }
            if let Some(response) = response
                && response.len() != ny * nx
            {
                return Err(Error::Shape {
                    name: "response",
                    got: vec![response.len()],
                    expected: vec![ny, nx],
                });
            }
        }
    }
    if params.flags && reads.dq.is_none() {
        return Err(Error::value("dq", "missing", "flags, where flags are asked for"));
    }
    if let Some(mask) = &reads.mask
        && mask.shape() != [nread.saturating_sub(1), ny, nx]
    {
        let expected = vec![nread.saturating_sub(1), ny, nx];
        return Err(Error::Shape { name: "mask", got: mask.shape().to_vec(), expected });
    }
    for (name, got) in [
        ("excluded", reads.excluded.len()),
        ("scale", reads.scale.len()),
        ("times", reads.pattern.mean.len()),
    ] {
        if got != nread {
            return Err(Error::Shape { name, got: vec![got], expected: vec![nread] });
        }
    }
    for (name, image) in [("gain", reads.gain), ("read_noise", reads.read_noise), ("dark", reads.dark)] {
        match image {
            Image::Each(values) if values.len() != ny * nx => {
                return Err(Error::Shape { name, got: vec![values.len()], expected: vec![ny, nx] });
            }
            Image::Same(value) if !(value >= 0.0 && value.is_finite()) => {
                return Err(Error::value(name, value, "a finite number, 0 or more"));
            }
            _ => {}
        }
    }
    if let Some(Thresholds { one, two, fewest }) = params.thresholds {
        if fewest < 2 {
            return Err(Error::value("fewest", fewest, "2 or more: which of two is wrong could not be told"));
        }
        if one > 0.0 && two > 0.0 {
            return Ok(());
        }
        return Err(Error::value("thresholds", format!("{one}, {two}"), "positive numbers"));
    }
    Ok(())
}
