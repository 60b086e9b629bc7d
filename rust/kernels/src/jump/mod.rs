//! Jumps of charge by the differences of neighbouring groups (Anderson & Gordon 2011, PASP 123, 1237).
//!
//! A difference d is a jump if |d - m| > threshold * sigma, where m is the median of the pixel's differences and
//! sigma^2 = (|m| t + s^2 / N) / t^2 (charge in electrons, t the time of the difference, s^2 the variance of a
//! difference of two reads, N the reads in a group). Which rule applies depends on how many differences there are
//! ([`survey`]): with many integrations values are clipped ([`clip`]), with ten differences or more all that stick
//! out are flagged at once, with fewer one after the other ([`pixel`]). Neighbours of bright jumps, and the groups
//! after them, follow ([`spread`]). Pixels that hold no jump, nearly all, are passed side by side ([`lanes`]).
//!
//! Masks are those of stcal 1.20, whose arithmetic is followed: differences in float32, all else in float64, but for
//! the rounds after the first of the one-by-one rule (`tests/golden/test_jump_twopoint.py`).

mod clip;
mod lanes;
mod pixel;
mod spread;
mod survey;

use crate::ramp::likelihood::guess::Network;
use crate::ramp::likelihood::tile::{LANES, Tile};
use crate::ramp::ols::Bits;
use crate::simd::{self, zeros};
use crate::stack::{Flags, PerPixel, Sample, Stack, blocks, cut};
use crate::{Error, Result, par};
use pixel::Pixel;
use std::ops::Range;
use survey::Rule;

/// Rows worked by one thread at a time.
const BAND_ROWS: usize = 8;
/// Most samples of a block: they stay in the nearest caches.
const SAMPLES: usize = 8192;
/// With more differences than this, pixels are looked at one by one.
const LONGEST: usize = 128;

/// Samples of one exposure.
#[derive(Debug, Clone)]
pub struct Groups<'a, T, D> {
    /// Signal.
    pub data: Stack<'a, T>,
    /// Flags of the groups; none: all are good.
    pub dq: Option<Stack<'a, D>>,
    /// Electrons per unit of the signal.
    pub gain: PerPixel<'a>,
    /// Noise of a difference of two reads, electrons.
    pub read_noise: PerPixel<'a>,
    /// Time of every difference; one: of all.
    pub time: &'a [f64],
    /// Reads in a group, the mean of both, for every difference; one: for all.
    pub reads: &'a [f64],
}

/// What a jump is.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Thresholds where four differences or more are usable, three, and two.
    pub thresholds: [f64; 3],
    /// Flag the four neighbours of jumps between these two, in sigma.
    pub neighbours: Option<(f64, f64)>,
    /// Flag so many groups after jumps of so many electrons.
    pub after: Vec<(f64, usize)>,
    /// With so many differences all are flagged at once.
    pub single_pass: usize,
    /// With fewer groups than this no jump is looked for.
    pub fewest: usize,
    /// With so many groups (integrations) values are clipped.
    pub clip: usize,
    /// Clip the differences of all integrations, one by one, instead of all differences.
    pub across: bool,
    /// Take jumps back where groups are saturated or not to be used.
    pub clear: bool,
    /// Meaning of flags.
    pub bits: Bits,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<D> {
    /// Flags, `(nints, ngroups, ny, nx)`.
    pub dq: Vec<D>,
    /// Jumps before neighbours and groups after were added; none: there were too few groups.
    pub primary: Option<usize>,
    /// Jumps of the first and of the last row whose neighbours were flagged: places in `(nints, ngroups, nx)`.
    pub edges: [Vec<usize>; 2],
}

/// What all bands share.
struct Work<'a, T, D> {
    groups: &'a Groups<'a, T, D>,
    params: &'a Params,
    rule: Rule,
    shape: [usize; 4],
    /// Time and reads of every difference.
    time: Vec<f64>,
    reads: Vec<f64>,
    network: Option<Network>,
}

/// The rows of one thread: their pixels, planes of flags, the number of jumps and those that spread.
struct Band<'a, D> {
    pixels: Range<usize>,
    planes: Vec<&'a mut [D]>,
    primary: &'a mut usize,
    spreading: &'a mut Vec<spread::Place>,
}

/// Samples of a block of pixels.
struct Block {
    size: usize,
    len: usize,
    samples: Vec<f32>,
    flags: Vec<u16>,
    noise2: Vec<f64>,
    /// Whether a pixel must be looked at by itself.
    suspect: Vec<bool>,
    sorted: Vec<Tile>,
    pixel: Pixel,
}

/// Find the jumps of every pixel.
pub fn find_jumps<T: Sample, D: Flags>(
    groups: &Groups<'_, T, D>,
    params: &Params,
    threads: usize,
) -> Result<Found<D>> {
    check(groups)?;
    let shape @ [nints, ngroups, ny, nx] = groups.data.shape();
    let (plane, band) = (ny * nx, BAND_ROWS * nx);
    let rule = survey::choose(groups, params);
    let mut dq = zeros(nints * ngroups * plane);
    let Some(rule) = rule else {
        if let Some(flags) = &groups.dq {
            for (k, words) in dq.chunks_mut(plane).enumerate() {
                for run in blocks(0..plane, plane, |at| flags.rest(at)) {
                    words[run.clone()].copy_from_slice(flags.run(k, run));
                }
            }
        }
        return Ok(Found { dq, primary: None, edges: Default::default() });
    };
    let differences = ngroups - 1;
    let each = |values: &[f64]| (0..differences).map(|j| values[j % values.len()]).collect();
    let total = nints * differences;
    let side_by_side = (1..=LONGEST).contains(&total) && !matches!(rule, Rule::Clip);
    let work = Work {
        groups,
        params,
        rule,
        shape,
        time: each(groups.time),
        reads: each(groups.reads),
        network: side_by_side.then(|| Network::new(total)),
    };
    let count = ny.div_ceil(BAND_ROWS);
    let (mut primary, mut spreading) = (vec![0; count], vec![Vec::new(); count]);
    let places = primary.iter_mut().zip(&mut spreading).enumerate();
    let bands =
        cut(&mut dq, plane, band).into_iter().zip(places).map(|(planes, (k, (primary, spreading)))| Band {
            pixels: k * band..plane.min((k + 1) * band),
            planes,
            primary,
            spreading,
        });
    par::for_each(bands, threads, || Block::new(nints, ngroups), |block, band| work.fill(block, band));
    let spreading: Vec<_> = spreading.into_iter().flatten().collect();
    if matches!(work.rule, Rule::Clip) {
        clip::clear_whole_planes(&mut dq, plane, &params.bits);
    }
    let edges = spread::flag_neighbours(&mut dq, &spreading, shape, &params.bits);
    if !params.after.is_empty() {
        let bands = cut(&mut dq, plane, band).into_iter().enumerate();
        par::for_each(bands, threads, Pixel::default, |pixel, (k, planes)| {
            work.flag_after(pixel, k * band, planes);
        });
    }
    if params.clear {
        let bad = params.bits.do_not_use | params.bits.saturated;
        if groups.dq.is_some() {
            for word in &mut dq {
                if word.word() & bad != 0 {
                    *word = D::of(word.word() & !params.bits.jump);
                }
            }
        }
    }
    Ok(Found { dq, primary: Some(primary.into_iter().sum()), edges })
}

impl Block {
    fn new(nints: usize, ngroups: usize) -> Self {
        let planes = nints * ngroups;
        let size = (SAMPLES / planes).clamp(LANES, 512).next_multiple_of(LANES);
        Self {
            size,
            len: 0,
            samples: vec![0.0; planes * size],
            flags: vec![0; planes * size],
            noise2: vec![1.0; size],
            suspect: vec![false; size],
            sorted: vec![[0.0; LANES]; nints * (ngroups - 1)],
            pixel: Pixel::default(),
        }
    }
}

impl<T: Sample, D: Flags> Work<'_, T, D> {
    fn fill(&self, block: &mut Block, mut band: Band<'_, D>) {
        let Groups { data, dq, .. } = self.groups;
        let rest = |at| data.rest(at).min(dq.as_ref().map_or(usize::MAX, |dq| dq.rest(at)));
        for pixels in blocks(band.pixels.clone(), block.size, rest) {
            self.load(block, &pixels);
            if let Some(network) = &self.network {
                let work = lanes::Shared {
                    params: self.params,
                    rule: self.rule,
                    network,
                    time: &self.time,
                    reads: &self.reads,
                    nints: self.shape[0],
                };
                simd::run(lanes::Screen { work: &work, block });
            }
            for p in 0..block.len {
                if block.suspect[p] {
                    self.search(block, &mut band, p, pixels.start + p);
                }
            }
        }
    }

    /// Charge and flags of a block. Pixels with flags, or numbers that are not finite, are suspect.
    fn load(&self, block: &mut Block, pixels: &Range<usize>) {
        let Groups { data, dq, gain, read_noise, .. } = self.groups;
        let (size, len) = (block.size, pixels.len());
        block.len = len;
        let suspect = &mut block.suspect[..len];
        suspect.fill(self.network.is_none());
        for plane in 0..self.shape[0] * self.shape[1] {
            let places = block.samples[plane * size..][..len].iter_mut().zip(&mut *suspect);
            let samples = data.run(plane, pixels.clone());
            match gain {
                PerPixel::Same(gain) => {
                    for ((place, suspect), sample) in places.zip(samples) {
                        *place = sample.value() * gain;
                        *suspect |= *place * 0.0 != 0.0;
                    }
                }
                PerPixel::Each(gain) => {
                    for (((place, suspect), sample), gain) in places.zip(samples).zip(&gain[pixels.clone()]) {
                        *place = sample.value() * gain;
                        *suspect |= *place * 0.0 != 0.0;
                    }
                }
            }
            let Some(dq) = dq else { continue };
            let places = block.flags[plane * size..][..len].iter_mut().zip(&mut *suspect);
            for ((place, suspect), word) in places.zip(dq.run(plane, pixels.clone())) {
                *place = word.word();
                *suspect |= *place != 0;
            }
        }
        for (p, pixel) in pixels.clone().enumerate() {
            let noise = read_noise.at(pixel);
            block.noise2[p] = f64::from(noise * noise);
        }
    }

    /// Look at one pixel by itself.
    fn search(&self, block: &mut Block, band: &mut Band<'_, D>, p: usize, at: usize) {
        let (size, jump) = (block.size, self.params.bits.jump);
        let planes = self.shape[0] * self.shape[1];
        let place = at - band.pixels.start;
        let pixel = &mut block.pixel;
        pixel.noise2 = block.noise2[p];
        pixel.flags.clear();
        pixel.flags.extend((0..planes).map(|plane| block.flags[plane * size + p]));
        pixel.charge.clear();
        pixel.charge.extend((0..planes).map(|plane| block.samples[plane * size + p]));
        self.find_differences(pixel);
        self.flag_primary(pixel);
        for (plane, &word) in band.planes.iter_mut().zip(&pixel.flags) {
            if word != 0 {
                plane[place] = D::of(word);
            }
        }
        let primary = pixel.flags.iter().filter(|&&word| word & jump != 0).count();
        *band.primary += primary;
        if primary > 0
            && let Some(limits) = self.params.neighbours
        {
            self.find_spreading(pixel, limits, |plane| {
                band.spreading.push(spread::Place { plane, pixel: at })
            });
        }
    }
}

fn check<T, D>(groups: &Groups<'_, T, D>) -> Result<()> {
    let [nints, ngroups, ny, nx] = groups.data.shape();
    if nints * ngroups * ny * nx == 0 {
        let got = groups.data.shape().to_vec();
        return Err(Error::Shape { name: "data", got, expected: vec![1, 1, 1, 1] });
    }
    if let Some(dq) = &groups.dq {
        groups.data.same_shape("dq", dq)?;
    }
    groups.gain.check("gain", [ny, nx])?;
    groups.read_noise.check("read_noise", [ny, nx])?;
    for (name, values) in [("time", groups.time), ("reads", groups.reads)] {
        if values.len() != 1 && values.len() + 1 != ngroups {
            return Err(Error::Shape { name, got: vec![values.len()], expected: vec![ngroups - 1] });
        }
        if !values.iter().all(|value| *value > 0.0 && value.is_finite()) {
            return Err(Error::value(name, format!("{values:?}"), "positive numbers"));
        }
    }
    Ok(())
}
