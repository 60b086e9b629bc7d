//! The order of work: blocks of pixels, all clean ramps of a block side by side, the others one by one.

use super::lanes;
use super::ramp::{Answer, Pixel, Ramp, Sums, limit, read_weight};
use super::weights::{CLASSES, Factors, table};
use super::{Band, Groups, Params, SEGMENT_IMAGES};
use crate::ramp::likelihood::guess::Network;
use crate::ramp::likelihood::tile::{LANES, Tile};
use crate::simd;
use crate::stack::{Flags, Sample, blocks};
use std::ops::Range;

/// Most samples of a block: they stay in the nearest caches.
const SAMPLES: usize = 8192;
/// Ramps longer than this are fitted one by one: sorting side by side takes too many steps.
const LONGEST: usize = 128;

/// What all bands share.
pub(super) struct Work<'a, T, D> {
    groups: &'a Groups<'a, T, D>,
    plan: Plan<'a>,
}

/// What all pixels share.
pub(super) struct Plan<'a> {
    pub params: &'a Params,
    pub nints: usize,
    pub ngroups: usize,
    pub network: Network,
    pub table: Vec<[f64; CLASSES]>,
    /// Whether clean ramps are fitted side by side.
    side_by_side: bool,
    /// Whether the read noise of ramps that lost charge is wanted.
    charge_loss: bool,
}

/// Samples of a block of pixels, and what is known of them.
pub(super) struct Block {
    /// Room for pixels.
    pub size: usize,
    pub len: usize,
    /// Samples, and flags, of plane k from `k * size` on.
    pub samples: Vec<f32>,
    pub flags: Vec<u16>,
    /// Whether a ramp must be fitted by itself, `(nints, size)`; and whether all of a pixel's must.
    pub dirty: Vec<bool>,
    pub pixels: Vec<Pixel>,
    /// Gain, noise and dark current as columns, and rate.
    pub gain: Vec<f64>,
    pub noise: Vec<f64>,
    pub dark: Vec<f64>,
    pub rate: Vec<f64>,
    /// Sums over integrations.
    pub photons: Vec<f64>,
    pub weight: Vec<f64>,
    pub slope: Vec<f64>,
    /// Inverse variance from read noise, with lost charge.
    kept: Vec<f64>,
    /// Products of one integration: slope, var_poisson, var_rnoise, err.
    pub images: [Vec<f32>; 4],
    tallies: Vec<Tally>,
    pub sorted: Vec<Tile>,
    ramp: Ramp,
    factors: Factors,
    original: Vec<u16>,
}

/// What the integrations of a pixel say of the exposure.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    dq: u32,
    unusable: usize,
    saturated: usize,
    some_saturated: bool,
    charge_loss: bool,
}

impl Block {
    pub fn new(nints: usize, ngroups: usize) -> Self {
        let planes = nints * ngroups;
        let size = (SAMPLES / planes).clamp(LANES, 512).next_multiple_of(LANES);
        let column = || vec![0.0; size];
        let empty = Pixel { gain: 1.0, noise: 1.0, dark: 0.0, dq: 0, rate: 0.0 };
        Self {
            size,
            len: 0,
            samples: vec![0.0; planes * size],
            flags: vec![0; planes * size],
            dirty: vec![false; nints * size],
            pixels: vec![empty; size],
            gain: column(),
            noise: column(),
            dark: column(),
            rate: column(),
            photons: column(),
            weight: column(),
            slope: column(),
            kept: column(),
            images: [(); 4].map(|()| vec![0.0; size]),
            tallies: vec![Tally::default(); size],
            sorted: vec![[0.0; LANES]; ngroups.saturating_sub(1)],
            ramp: Ramp::default(),
            factors: Factors::new(ngroups),
            original: Vec::new(),
        }
    }
}

impl<'a, T: Sample, D: Flags> Work<'a, T, D> {
    pub fn new(groups: &'a Groups<'a, T, D>, params: &'a Params) -> Self {
        let [nints, ngroups, ..] = groups.data.shape();
        let side_by_side = (3..=LONGEST).contains(&ngroups) && !params.segments;
        let plan = Plan {
            params,
            nints,
            ngroups,
            network: Network::new(if side_by_side { ngroups - 1 } else { 0 }),
            table: if side_by_side { table(ngroups) } else { Vec::new() },
            side_by_side,
            charge_loss: groups.original.is_some() && params.bits.charge_loss != 0,
        };
        Self { groups, plan }
    }

    /// Blocks of pixels that lie together in all stacks.
    fn blocks(&self, first: usize, len: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
        let Groups { data, dq, .. } = self.groups;
        blocks(first..first + len, size, |at| {
            data.rest(at).min(dq.as_ref().map_or(usize::MAX, |dq| dq.rest(at)))
        })
    }

    /// Most segments, and hits, of a ramp among pixels.
    pub fn count(&self, block: &mut Block, first: usize, len: usize) -> [usize; 2] {
        let Plan { params, nints, ngroups, .. } = self.plan;
        let mut most = [0; 2];
        for pixels in self.blocks(first, len, block.size) {
            self.load(block, &pixels);
            for p in 0..block.len {
                for integration in 0..nints {
                    let hits = (1..ngroups).filter(|k| {
                        block.flags[(integration * ngroups + k) * block.size + p] & params.bits.jump != 0
                    });
                    most[1] = most[1].max(hits.count());
                    self.gather(block, integration, p, pixels.start + p);
                    most[0] = most[0].max(block.ramp.count(params));
                }
            }
        }
        most
    }

    pub fn fill(&self, block: &mut Block, mut band: Band<'_>) {
        for pixels in self.blocks(band.first, band.len, block.size) {
            let at = pixels.start - band.first;
            self.load(block, &pixels);
            self.find_rates(block, pixels.start);
            for integration in 0..self.plan.nints {
                self.fit(block, &mut band, integration, at);
            }
            self.finish(block, &mut band, at);
        }
    }

    /// Samples and flags of a block.
    fn load(&self, block: &mut Block, pixels: &Range<usize>) {
        let Groups { data, dq, pixel_dq, gain, read_noise, dark, .. } = self.groups;
        let Plan { params, nints, ngroups, side_by_side, .. } = self.plan;
        let (size, len) = (block.size, pixels.len());
        block.len = len;
        for integration in 0..nints {
            let dirty = &mut block.dirty[integration * size..][..len];
            dirty.fill(!side_by_side);
            for plane in integration * ngroups..(integration + 1) * ngroups {
                let samples = &mut block.samples[plane * size..][..len];
                for ((place, sample), dirty) in
                    samples.iter_mut().zip(data.run(plane, pixels.clone())).zip(&mut *dirty)
                {
                    *place = sample.value();
                    *dirty |= *place * 0.0 != 0.0;
                }
                let Some(dq) = dq else { continue };
                let flags = &mut block.flags[plane * size..][..len];
                for ((place, word), dirty) in
                    flags.iter_mut().zip(dq.run(plane, pixels.clone())).zip(&mut *dirty)
                {
                    *place = word.word();
                    *dirty |= *place != 0;
                }
            }
        }
        let invalid = u32::from(params.bits.do_not_use | params.bits.saturated);
        for (p, pixel) in pixels.clone().enumerate() {
            let [gain, noise, dark] = [gain, read_noise, dark].map(|image| f64::from(image.at(pixel)));
            let has_gain = gain > 0.0;
            let lost = if has_gain { 0 } else { u32::from(params.bits.do_not_use) | params.bits.no_gain };
            let dq = pixel_dq.map_or(0, |dq| dq[pixel]) | lost;
            block.pixels[p] = Pixel { gain, noise, dark, dq, rate: 0.0 };
            block.tallies[p] = Tally { dq, ..Tally::default() };
            let noisy = noise > 0.0 && read_weight(params, &block.pixels[p]) * RISKY > 1.0;
            let plain = has_gain && noisy && dark >= 0.0 && dq & invalid == 0;
            let plain = plain && (gain + noise + dark) * 0.0 == 0.0;
            // The others go along with harmless numbers.
            (block.gain[p], block.noise[p], block.dark[p]) =
                if plain { (gain, noise, dark) } else { (1.0, 1.0, 0.0) };
            if !plain {
                block.dirty.iter_mut().skip(p).step_by(size).for_each(|dirty| *dirty = true);
            }
        }
    }

    /// Bring one ramp together and look at its flags.
    fn gather(&self, block: &mut Block, integration: usize, p: usize, pixel: usize) {
        let Plan { params, ngroups, .. } = self.plan;
        let (ramp, size) = (&mut block.ramp, block.size);
        let places = (0..ngroups).map(|k| (integration * ngroups + k) * size + p);
        ramp.samples.clear();
        ramp.samples.extend(places.clone().map(|place| f64::from(block.samples[place])));
        ramp.flags.clear();
        ramp.flags.extend(places.map(|place| block.flags[place]));
        let plane = self.groups.data.pixels();
        ramp.prepare(params, self.groups.zeroframe.map(|frames| frames[integration * plane + pixel]));
    }

    /// Median rates, averaged over integrations.
    fn find_rates(&self, block: &mut Block, first: usize) {
        let Plan { params, nints, .. } = self.plan;
        block.rate.fill(0.0);
        for integration in 0..nints {
            if self.plan.side_by_side {
                simd::run(lanes::Medians { plan: &self.plan, block, integration });
            }
            for p in 0..block.len {
                if block.dirty[integration * block.size + p] {
                    self.gather(block, integration, p, first + p);
                    block.rate[p] += block.ramp.median_rate(params);
                }
            }
        }
        for (rate, pixel) in block.rate.iter_mut().zip(&mut block.pixels) {
            *rate /= nints as f64;
            pixel.rate = *rate;
        }
        for sum in [&mut block.photons, &mut block.weight, &mut block.slope, &mut block.kept] {
            sum.fill(0.0);
        }
    }

    /// Fit one integration of a block, whose products begin at `at` of the band.
    fn fit(&self, block: &mut Block, band: &mut Band<'_>, integration: usize, at: usize) {
        let Plan { params, nints, .. } = self.plan;
        let (size, len) = (block.size, block.len);
        if self.plan.side_by_side {
            simd::run(lanes::Slopes { plan: &self.plan, block, integration });
        }
        if let Some(dq) = band.integrations.dq.get_mut(integration) {
            for (place, pixel) in dq[at..at + len].iter_mut().zip(&block.pixels) {
                *place = pixel.dq;
            }
        }
        for p in 0..len {
            if !block.dirty[integration * size + p] {
                if self.plan.charge_loss {
                    let weight = super::ramp::weight_of(self.plan.ngroups, 1.0);
                    block.kept[p] += weight * read_weight(params, &block.pixels[p]);
                }
                continue;
            }
            let pixel = band.first + at + p;
            if params.segments {
                self.store_hits(block, band, integration, p, at + p);
            }
            self.gather(block, integration, p, pixel);
            let most = band.images.first().map_or(0, |planes| planes.len() / nints);
            let images = &mut band.images;
            let Block { ramp, factors, pixels, .. } = &mut *block;
            let mut answer = ramp.fit(params, &pixels[p], factors, |s, known: [f64; SEGMENT_IMAGES]| {
                if s < most {
                    for (planes, value) in images.iter_mut().zip(known) {
                        planes[integration * most + s][at + p] = value as f32;
                    }
                }
            });
            if block.ramp.suppressed {
                band.suppressed.push(integration * self.groups.data.pixels() + pixel);
            }
            if self.plan.charge_loss {
                self.recover_charge_loss(block, &mut answer, integration, p, pixel);
            }
            if let Some(pedestal) = band.pedestal.get_mut(integration) {
                pedestal[at + p] = answer.pedestal as f32;
            }
            if let Some(dq) = band.integrations.dq.get_mut(integration) {
                dq[at + p] = answer.dq;
            }
            self.take_note(block, p, &answer);
        }
        for (image, planes) in block.images.iter().zip(&mut band.integrations.images) {
            if let Some(plane) = planes.get_mut(integration) {
                plane[at..at + len].copy_from_slice(&image[..len]);
            }
        }
    }

    /// Put the answer for an integration among those of the block.
    fn take_note(&self, block: &mut Block, p: usize, answer: &Answer) {
        let bits = &self.plan.params.bits;
        let Sums { photons, weight, slope, .. } = answer.sums;
        block.photons[p] += photons;
        block.weight[p] += weight;
        block.slope[p] += slope;
        let tally = &mut block.tallies[p];
        tally.dq |= answer.dq & u32::from(bits.jump | bits.persistence);
        tally.unusable += usize::from(answer.unusable);
        tally.saturated += usize::from(answer.all_saturated);
        tally.some_saturated |= answer.some_saturated;
        let none = !self.plan.params.parity && answer.slope.is_nan();
        let values = [answer.slope, answer.var_poisson, answer.var_rnoise, answer.err];
        for (image, value) in block.images.iter_mut().zip(values) {
            image[p] = if none { f32::NAN } else { value as f32 };
        }
    }

    /// The differences that hold a hit.
    fn store_hits(&self, block: &Block, band: &mut Band<'_>, integration: usize, p: usize, at: usize) {
        let Plan { params, nints, ngroups, .. } = self.plan;
        let most = band.hits.len() / nints;
        let sample = |k: usize| {
            let place = (integration * ngroups + k) * block.size + p;
            let saturated = block.flags[place] & params.bits.saturated != 0;
            (if saturated { f64::NAN } else { f64::from(block.samples[place]) }, block.flags[place])
        };
        let hits = (1..ngroups).filter(|&k| sample(k).1 & params.bits.jump != 0);
        for (hit, k) in hits.take(most).enumerate() {
            band.hits[integration * most + hit][at] = (sample(k).0 - sample(k - 1).0) as f32;
        }
    }

    /// Read noise as if groups that lost charge were good ones.
    fn recover_charge_loss(
        &self,
        block: &mut Block,
        answer: &mut Answer,
        integration: usize,
        p: usize,
        pixel: usize,
    ) {
        let Plan { params, ngroups, .. } = self.plan;
        let Some(original) = &self.groups.original else { return };
        if !answer.charge_loss {
            if answer.var_rnoise > 0.0 {
                block.kept[p] += 1.0 / answer.var_rnoise;
            }
            return;
        }
        block.tallies[p].charge_loss = true;
        block.original.clear();
        let planes = integration * ngroups..(integration + 1) * ngroups;
        block.original.extend(planes.map(|plane| original.run(plane, pixel..pixel + 1)[0].word()));
        let weight = block.ramp.weight_without_charge_loss(params, &block.pixels[p], &mut block.original);
        let read = weight * read_weight(params, &block.pixels[p]);
        let read = if read > 0.0 { read } else { 0.0 };
        block.kept[p] += read;
        answer.var_rnoise = 1.0 / read;
        if params.parity {
            limit(&mut answer.var_rnoise);
        }
    }

    /// Combine the integrations of a block.
    fn finish(&self, block: &Block, band: &mut Band<'_>, at: usize) {
        let Plan { params, nints, .. } = self.plan;
        let [dnu, sat] = [params.bits.do_not_use, params.bits.saturated].map(u32::from);
        let [slopes, photons, reads, errs] = band.exposure.images.each_mut().map(|planes| &mut planes[0]);
        for p in 0..block.len {
            let (pixel, tally) = (&block.pixels[p], &block.tallies[p]);
            let mut dq = tally.dq;
            if tally.unusable == nints {
                dq |= dnu;
            }
            if tally.saturated == nints {
                dq |= sat;
            }
            let read = read_weight(params, pixel);
            // Nothing stays nothing, and what is not a number stays so.
            let invert = |sum: f64| if sum > 0.0 { 1.0 / sum } else { sum };
            let (mut var_poisson, mut var_rnoise) =
                (invert(block.photons[p]), invert(block.weight[p] * read));
            if params.parity {
                limit(&mut var_poisson);
                limit(&mut var_rnoise);
            }
            let err = (var_poisson + var_rnoise).sqrt();
            let slope = if params.parity {
                block.slope[p] * read * var_rnoise
            } else {
                block.slope[p] / block.weight[p]
            };
            let mut values = [slope, var_poisson, var_rnoise, err];
            if dq & (dnu | sat) != 0 {
                values = [f64::NAN, 0.0, 0.0, 0.0];
            }
            if tally.charge_loss && block.kept[p] > 0.0 {
                values[2] = 1.0 / block.kept[p];
                if params.parity {
                    limit(&mut values[2]);
                }
            }
            if !params.parity && values[0].is_nan() {
                values = [f64::NAN; 4];
            }
            if tally.some_saturated {
                dq |= sat;
            }
            (slopes[at + p], photons[at + p]) = (values[0] as f32, values[1] as f32);
            (reads[at + p], errs[at + p]) = (values[2] as f32, values[3] as f32);
            band.exposure.dq[0][at + p] = dq;
        }
    }
}

/// Pixels whose read-noise variance comes near the peer's limit are fitted by themselves.
const RISKY: f64 = 1e6;
