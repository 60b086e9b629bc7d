//! Where the answers go: images, the list of hits, flags; a band of rows at a time.

use super::block::{Block, Hit, Plan};
use super::load::Place;
use super::samples::SIZE;
use super::tile::LANES;
use super::{Params, Reads, Wanted};
use crate::dq::{DATAREJECT, DETECTORPROB, UNSTABLE};
use crate::simd::zeros;
use crate::view::Region;
use std::ops::Range;

/// Rows worked by one thread at a time.
pub(super) const BAND_ROWS: usize = 8;
/// With this many hits the pixel is called unstable.
const MAX_HITS: usize = 4;
/// Images of numbers that a fit may have.
const IMAGES: usize = 9;

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
    /// Signal at time 0, units of the signal.
    pub pedestal: Vec<f32>,
    /// Its uncertainty.
    pub pedestal_err: Vec<f32>,
    /// Its covariance with the rate.
    pub pedestal_cov: Vec<f32>,
    /// Differences left out by the search, in order of pixels and time.
    pub hits: Vec<Found>,
    /// Flags of the product.
    pub dq: Vec<u16>,
    /// Flags of all reads of the whole frame, hits (8192 onwards), spikes (4) and unstable pixels (32) added.
    pub read_dq: Vec<u16>,
    /// Pixels with many hits.
    pub unstable: usize,
}

/// A difference that the search left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Pixel of the region, in C order.
    pub pixel: u32,
    /// The hit fell after this read.
    pub after: u16,
    /// Signal that it added, units of the signal.
    pub size: f32,
}

/// What a band has beside its part of the images.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    hits: Vec<Found>,
    unstable: usize,
}

impl Fit {
    /// Room for what is wanted.
    pub(super) fn new([nread, ny, nx]: [usize; 3], region: &Region, wanted: &Wanted) -> Self {
        let size = region.y.len() * region.x.len();
        let when = |wanted: bool| if wanted { size } else { 0 };
        let pedestal = when(wanted.pedestal.is_some());
        Self {
            rate: zeros(size),
            err: zeros(when(wanted.err)),
            time: zeros(when(wanted.exposure)),
            samples: zeros(when(wanted.exposure)),
            var_poisson: zeros(when(wanted.variances)),
            var_rnoise: zeros(when(wanted.variances)),
            chi2: zeros(when(wanted.goodness)),
            dof: zeros(when(wanted.goodness)),
            pedestal: zeros(pedestal),
            pedestal_err: zeros(pedestal),
            pedestal_cov: zeros(pedestal),
            hits: Vec::new(),
            dq: zeros(when(wanted.flags)),
            read_dq: zeros(if wanted.flags { nread * ny * nx } else { 0 }),
            unstable: 0,
        }
    }

    /// Join what the bands have found.
    pub(super) fn gather(&mut self, side: Vec<Side>) {
        self.hits.reserve_exact(side.iter().map(|band| band.hits.len()).sum());
        for band in side {
            self.hits.extend(band.hits);
            self.unstable += band.unstable;
        }
    }
}

/// The rows of one thread: images of the region, then the flags of the frame.
pub(super) struct Band<'a> {
    y: Range<usize>,
    images: [&'a mut [f32]; IMAGES],
    samples: &'a mut [u16],
    dof: &'a mut [i16],
    dq: &'a mut [u16],
    read_dq: Vec<&'a mut [u16]>,
    side: &'a mut Side,
    /// Pixels of the region before this band.
    first: usize,
}

/// The next `size` items, or none of nothing.
fn take<'a, T>(rest: &mut &'a mut [T], size: usize) -> &'a mut [T] {
    let size = size.min(rest.len());
    let (front, back) = std::mem::take(rest).split_at_mut(size);
    *rest = back;
    front
}

/// Cut the answers into bands.
pub(super) fn cut<'a>(
    fit: &'a mut Fit,
    region: &Region,
    [_, ny, nx]: [usize; 3],
    side: &'a mut [Side],
) -> Vec<Band<'a>> {
    let Fit { rate, err, time, var_poisson, var_rnoise, chi2, pedestal, pedestal_err, pedestal_cov, .. } =
        fit;
    let images = [rate, err, time, var_poisson, var_rnoise, chi2, pedestal, pedestal_err, pedestal_cov];
    let mut images = images.map(Vec::as_mut_slice);
    let (mut samples, mut dof, mut dq) = (&mut fit.samples[..], &mut fit.dof[..], &mut fit.dq[..]);
    let mut first = 0;
    let mut frame: Vec<_> = fit.read_dq.chunks_mut(ny * nx).collect();
    let bands = side.iter_mut().enumerate().map(|(band, side)| {
        let y = band * BAND_ROWS..ny.min((band + 1) * BAND_ROWS);
        let rows = y.end.min(region.y.end).saturating_sub(y.start.max(region.y.start));
        let inside = rows * region.x.len();
        first += inside;
        Band {
            images: images.each_mut().map(|rest| take(rest, inside)),
            samples: take(&mut samples, inside),
            dof: take(&mut dof, inside),
            dq: take(&mut dq, inside),
            read_dq: frame.iter_mut().map(|rest| take(rest, y.len() * nx)).collect(),
            side,
            first: first - inside,
            y,
        }
    });
    bands.collect()
}

/// What all bands share.
pub(super) struct Work<'a> {
    pub plan: Plan,
    pub reads: &'a Reads<'a>,
    pub region: &'a Region,
    pub params: &'a Params,
}

impl Work<'_> {
    pub fn fill(&self, block: &mut Block, mut band: Band<'_>) {
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
                block.solve(&self.plan, self.reads, self.params, Place { row: y, start, len });
                self.store(block, &mut band, done, row + start, len);
                done += len;
            }
        }
    }

    /// Pass on the flags of pixels that are not fitted.
    fn copy_flags(&self, band: &mut Band<'_>, pixels: Range<usize>) {
        let Some(dq) = &self.reads.dq else { return };
        let nx = self.reads.sci.shape()[2];
        let (row, start) = (band.y.start + pixels.start / nx, pixels.start % nx);
        for (r, stored) in band.read_dq.iter_mut().enumerate() {
            dq.run(r, row, start, &mut stored[pixels.clone()]);
        }
    }

    /// Write the answers of a block to the pixels from `at` on, its flags from `frame` on.
    fn store(&self, block: &mut Block, band: &mut Band<'_>, at: usize, frame: usize, len: usize) {
        let pixels = at..at + len;
        let wanted = &self.params.wanted;
        let [rate, err, time, var_poisson, var_rnoise, chi2, pedestal, pedestal_err, pedestal_cov] =
            &mut band.images;
        // Tile by tile, so that the stores of an image follow one another.
        for (t, from) in block.results.iter().take(len.div_ceil(LANES)).enumerate() {
            let run = at + t * LANES..at + len.min((t + 1) * LANES);
            let store = |image: &mut [f32], tile: &[f64; LANES]| {
                for (place, &value) in image[run.clone()].iter_mut().zip(tile) {
                    *place = value as f32;
                }
            };
            store(rate, &from.rate);
            if wanted.err {
                store(err, &from.err);
            }
            if wanted.variances {
                store(var_poisson, &from.var_poisson);
                store(var_rnoise, &from.var_rnoise);
            }
            if wanted.goodness {
                store(chi2, &from.chi2);
                for (place, &left) in band.dof[run.clone()].iter_mut().zip(&block.left[t]) {
                    *place = left as i16 - 1;
                }
            }
            if wanted.exposure {
                store(time, &from.time);
                for (place, &samples) in band.samples[run.clone()].iter_mut().zip(&from.samples) {
                    *place = samples as u16;
                }
            }
            if wanted.pedestal.is_some() {
                store(pedestal, &from.pedestal[0]);
                store(pedestal_err, &from.pedestal[1]);
                store(pedestal_cov, &from.pedestal[2]);
            }
        }
        block.hits.sort_unstable_by_key(|hit| (hit.pixel, hit.after));
        if wanted.hits {
            let first = band.first + at;
            band.side.hits.extend(block.hits.iter().map(|hit| Found {
                pixel: (first + hit.pixel) as u32,
                after: hit.after as u16,
                size: block.in_data_units(hit) as f32,
            }));
        }
        if wanted.flags {
            self.mark(block, &mut band.side.unstable);
            band.dq[pixels].copy_from_slice(&block.samples.product[..len]);
            for (stored, flags) in band.read_dq.iter_mut().zip(&block.samples.flags) {
                stored[frame..frame + len].copy_from_slice(&flags[..len]);
            }
        }
    }

    /// Mark hits, spikes and unstable pixels in the flags.
    fn mark(&self, block: &mut Block, unstable: &mut usize) {
        let hits = std::mem::take(&mut block.hits);
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
