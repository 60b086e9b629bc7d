//! Cosmic rays in a single image by their sharp edges: L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).
//!
//! Every round finds hit pixels and replaces them, until none is found:
//!
//! ```text
//! L  = positive Laplacian of the image sampled twice as finely          laplacian.rs
//! N  = noise of the median image                                        significance.rs
//! S' = L / (2 N) less its median
//! F  = fine structure: how much of it a star could be                   fine_structure.rs, convolution.rs
//! hit: S' > sigclip and S' / F > objlim; neighbours by lower limits     select.rs
//! value: from the good pixels about it                                  clean.rs
//! wings: on request, faint neighbours of hits, once all rounds are done wings.rs
//! ```
//!
//! Masks and images are those of astroscrappy 1.3.0 to the bit, with three exceptions where that reads memory it
//! does not own or has not set: images smaller than its filters, values that are not finite, and the cleaning by a
//! plain median. There is no full-frame intermediate: blocks of 8 x 32 pixels are looked at as far as they need be,
//! and after the first round only those where something has changed.

mod clean;
mod convolution;
mod fine_structure;
mod frame;
mod laplacian;
mod load;
mod networks;
mod order;
mod peak;
mod repair;
mod saturation;
mod select;
mod significance;
mod wings;

pub use clean::CleanType;
pub use convolution::Kernel;
pub use load::{LARGEST, Pixel};

use crate::par;
use crate::simd;
use crate::{Error, Result};
use frame::{COLS, Frame, Hit, Noise, ROWS};
use select::{Band, Scratch};

/// How the fine structure is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum FineStructure {
    /// By medians.
    Median,
    /// By convolution with a point spread function.
    Convolve(Kernel),
}

/// Limits and choices; see astroscrappy's manual for advice.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Limit of S'.
    pub sigclip: f32,
    /// Limit of neighbours, as a fraction of `sigclip`.
    pub sigfrac: f32,
    /// Limit of S' / F.
    pub objlim: f32,
    /// Electrons per unit of the input.
    pub gain: f32,
    /// Read noise, electrons.
    pub readnoise: f32,
    /// Saturation level, electrons.
    pub satlevel: f32,
    /// Rounds at most.
    pub iterations: usize,
    /// Separable medians, or true ones of smaller windows.
    pub separable: bool,
    /// How to fill.
    pub clean: CleanType,
    /// Fine structure.
    pub fine_structure: FineStructure,
    /// Limit of the wings of hits, sigma; None: as L.A.Cosmic, which does not look for them.
    pub wings: Option<f32>,
}

impl Params {
    /// Limit of S' for the neighbours of hits.
    pub fn growth_limit(&self) -> f32 {
        self.sigfrac * self.sigclip
    }

    /// How far a changed pixel changes the answer of others.
    fn reach(&self) -> [usize; 2] {
        let half = significance::half(self.separable);
        let grown = 2;
        match &self.fine_structure {
            FineStructure::Median => [2 * half + grown; 2],
            FineStructure::Convolve(kernel) => kernel.half.map(|k| k + 4 + half + grown),
        }
    }

    fn check(&self) -> Result<()> {
        let positive = |value: f32| value > 0.0 && value.is_finite();
        if !positive(self.gain) {
            return Err(Error::value("gain", self.gain, "a positive number"));
        }
        if !(self.readnoise >= 0.0 && self.readnoise.is_finite()) {
            return Err(Error::value("readnoise", self.readnoise, "0 or more"));
        }
        for (name, value) in [("sigclip", self.sigclip), ("sigfrac", self.sigfrac), ("objlim", self.objlim)] {
            if value.is_nan() {
                return Err(Error::value(name, value, "a number"));
            }
        }
        if self.wings.is_some_and(|limit| !positive(limit)) {
            return Err(Error::value("grow", self.wings.unwrap_or(0.0), "a positive number"));
        }
        if self.satlevel.is_nan() {
            return Err(Error::value("satlevel", self.satlevel, "a number, or infinity"));
        }
        Ok(())
    }
}

/// An image and what is known of it.
#[derive(Clone, Copy)]
pub struct Input<'a, P> {
    /// Pixels with their sky, row by row.
    pub pixels: &'a [P],
    /// Whether their bytes are in the other order.
    pub swapped: bool,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// True where a pixel is bad.
    pub mask: Option<&'a [bool]>,
    /// Sky, electrons.
    pub sky: Option<&'a [f32]>,
    /// Variance, in squares of the pixels' unit.
    pub variance: Option<&'a [f32]>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// True where a pixel is hit.
    pub mask: Vec<bool>,
    /// The image with those replaced, in its own unit.
    pub clean: Vec<f32>,
    /// Pixels selected in each round; those of earlier rounds may be among them.
    pub counts: Vec<usize>,
}

/// Rows of blocks to an item of work: a constant, so that the answer does not depend on the threads.
const BAND: usize = 8;

/// Find and replace the hit pixels of an image.
pub fn detect<P: Pixel>(input: &Input<'_, P>, params: &Params, threads: usize) -> Result<Detection> {
    params.check()?;
    let shape = input.shape;
    let size = shape[0] * shape[1];
    let expect = |name, got: Option<usize>| match got {
        Some(got) if got != size => {
            Err(Error::Shape { name, got: vec![got], expected: vec![shape[0], shape[1]] })
        }
        _ => Ok(()),
    };
    expect("data", Some(input.pixels.len()))?;
    expect("mask", input.mask.map(<[bool]>::len))?;
    expect("background", input.sky.map(<[f32]>::len))?;
    expect("variance", input.variance.map(<[f32]>::len))?;
    if size == 0 {
        return Err(Error::value("data", "empty", "at least one pixel"));
    }
    Ok(Session::open(input, params, threads).run(input))
}

/// The state between rounds.
struct Session<'a> {
    params: &'a Params,
    threads: usize,
    shape: [usize; 2],
    image: Vec<f32>,
    bad: Vec<u8>,
    mask: Vec<bool>,
    hits: Vec<Vec<Hit>>,
    noise: Noise<'a>,
    floor: Vec<f32>,
    /// Pixels that hold no measurement.
    repaired: Vec<usize>,
    /// Value and variance for pixels without a good neighbour, once needed.
    level: Option<[f32; 2]>,
}

impl<'a> Session<'a> {
    fn open<P: Pixel>(input: &Input<'a, P>, params: &'a Params, threads: usize) -> Self {
        let shape @ [ny, nx] = input.shape;
        let Params { gain, satlevel, .. } = *params;
        let load::Loaded { mut image, smallest, special } =
            load::load(input.pixels, input.swapped, nx, [gain, satlevel], threads);
        let mut bad = simd::zeros::<u8>(image.len());
        let repaired = repair::repair(&mut image, shape, &special, threads);
        saturation::mark_stars(&mut bad, &image, shape, &special, satlevel, params.separable);
        if let Some(mask) = input.mask {
            saturation::mark_masked(&mut bad, mask, shape);
        }
        repaired.iter().for_each(|&p| bad[p] = 1);
        if let Some(sky) = input.sky {
            image.iter_mut().zip(sky).for_each(|(pixel, sky)| *pixel -= sky);
        }
        let read = params.readnoise * params.readnoise;
        let noise = Noise { read, given: input.variance, gain2: gain * gain, sky: input.sky };
        let hits = vec![Vec::new(); ny];
        let mask = vec![false; image.len()];
        let mut session = Self {
            params,
            threads,
            shape,
            image,
            bad,
            mask,
            hits,
            noise,
            floor: smallest,
            repaired,
            level: None,
        };
        if input.sky.is_some() || input.variance.is_some() || !session.repaired.is_empty() {
            session.floor = session.least_variances();
        } else {
            session.floor.iter_mut().for_each(|floor| *floor += read);
        }
        session
    }

    fn frame(&self) -> Frame<'_> {
        let Self { image, shape, bad, hits, noise, floor, .. } = self;
        Frame { image, shape: *shape, bad, hits, noise: *noise, floor }
    }

    /// The least variance of every block.
    fn least_variances(&self) -> Vec<f32> {
        let [down, across] = self.frame().blocks();
        let [ny, nx] = self.shape;
        let rows = par::map(down, self.threads, |by| {
            let mut least = vec![f32::INFINITY; across];
            for y in by * ROWS..((by + 1) * ROWS).min(ny) {
                for x in 0..nx {
                    let variance = self.noise.at(y * nx + x, self.image[y * nx + x]);
                    least[x / COLS] = least[x / COLS].min(variance);
                }
            }
            least
        });
        rows.concat()
    }

    /// All rounds, then back to the input's unit.
    fn run<P: Pixel>(mut self, input: &Input<'_, P>) -> Detection {
        let [down, across] = self.frame().blocks();
        let mut dirty = vec![true; down * across];
        // Selected pixels of every block when it was last looked at.
        let mut selected = vec![0u32; down * across];
        let mut counts = Vec::new();
        for _ in 0..self.params.iterations {
            let found = self.find(&dirty);
            selected.iter_mut().zip(&dirty).filter(|(_, dirty)| **dirty).for_each(|(count, _)| *count = 0);
            for &[y, x] in &found {
                selected[y / ROWS * across + x / COLS] += 1;
            }
            let count = selected.iter().map(|&n| n as usize).sum();
            counts.push(count);
            if count == 0 {
                break;
            }
            self.note(&found);
            dirty.fill(false);
            self.clean(&mut dirty);
        }
        if let Some(limit) = self.params.wings {
            counts.push(self.grow_wings(limit));
            self.clean(&mut dirty);
        }
        self.close(input, counts)
    }

    /// Enter the wings of all hits; how many.
    fn grow_wings(&mut self, limit: f32) -> usize {
        let hits = self.hits.iter().enumerate();
        let mut from: Vec<[usize; 2]> =
            hits.flat_map(|(y, row)| row.iter().map(move |hit| [y, hit.x as usize])).collect();
        let mut count = 0;
        for _ in 0..wings::ROUNDS {
            from = wings::wings(&self.frame(), &self.mask, &from, limit, self.threads);
            count += from.len();
            self.note(&from);
        }
        count
    }

    /// Hit pixels of the dirty blocks.
    fn find(&self, dirty: &[bool]) -> Vec<[usize; 2]> {
        let frame = self.frame();
        let [down, _] = frame.blocks();
        let mut found: Vec<Vec<[usize; 2]>> = vec![Vec::new(); down.div_ceil(BAND)];
        par::for_each(
            found.iter_mut().enumerate(),
            self.threads,
            || Scratch::new(self.params),
            |scratch, (index, found)| {
                let blocks = index * BAND..((index + 1) * BAND).min(down);
                *found = Band { frame, params: self.params, dirty, blocks }.select(scratch);
            },
        );
        found.concat()
    }

    /// Enter hits that are new, of those `found` in order.
    fn note(&mut self, found: &[[usize; 2]]) {
        let nx = self.shape[1];
        let is_first = self.hits.iter().all(Vec::is_empty);
        let fresh: Vec<[usize; 2]> = found.iter().copied().filter(|[y, x]| !self.mask[y * nx + x]).collect();
        for rows in fresh.chunk_by(|a, b| a[0] == b[0]) {
            let row = &mut self.hits[rows[0][0]];
            for &[y, x] in rows {
                let p = y * nx + x;
                self.mask[p] = true;
                let original = self.image[p];
                row.push(Hit { x: x as u32, variance: self.noise.at(p, original), original, stale: true });
            }
            row.sort_unstable_by_key(|hit| hit.x);
        }
        if is_first {
            return;
        }
        // Others change only if they have lost a neighbour; a plain median also with the hits it takes in.
        if self.params.clean == CleanType::Median {
            self.hits.iter_mut().flatten().for_each(|hit| hit.stale = true);
        }
        let half = clean::HALF;
        for [y, x] in fresh {
            for row in &mut self.hits[y.saturating_sub(half)..(y + half + 1).min(self.shape[0])] {
                let first = row.partition_point(|hit| (hit.x as usize) + half < x);
                let near = row[first..].iter_mut().take_while(|hit| hit.x as usize <= x + half);
                near.for_each(|hit| hit.stale = true);
            }
        }
    }

    /// Replace all hits, and note the blocks whose answer that may change.
    fn clean(&mut self, dirty: &mut [bool]) {
        let [ny, nx] = self.shape;
        let bands = ny.div_ceil(BAND * ROWS);
        let how = self.params.clean;
        let filled: Vec<Vec<Option<[f32; 2]>>> = par::map(bands, self.threads, |band| {
            let frame = self.frame();
            let rows = band * BAND * ROWS..((band + 1) * BAND * ROWS).min(ny);
            let hits = rows.flat_map(|y| frame.hits[y].iter().map(move |hit| (y, hit)));
            hits.filter(|(y, hit)| hit.stale && clean::is_inside([ny, nx], *y, hit.x as usize))
                .map(|(y, hit)| clean::fill(&frame, &self.mask, how, y, hit.x as usize))
                .collect()
        });
        if self.level.is_none() && filled.iter().flatten().any(Option::is_none) {
            self.level = Some(self.levels());
        }
        let level = self.level.unwrap_or_default();
        let [down, across] = self.frame().blocks();
        let [up, left] = self.params.reach();
        let mut filled = filled.into_iter().flatten();
        for y in 0..ny {
            for hit in &mut self.hits[y] {
                let x = hit.x as usize;
                if !std::mem::take(&mut hit.stale) || !clean::is_inside([ny, nx], y, x) {
                    continue;
                }
                let Some(value) = filled.next() else { return };
                let [value, variance] = value.unwrap_or(level);
                let pixel = &mut self.image[y * nx + x];
                if pixel.to_bits() == value.to_bits() && hit.variance.to_bits() == variance.to_bits() {
                    continue;
                }
                (*pixel, hit.variance) = (value, variance);
                let floor = &mut self.floor[y / ROWS * across + x / COLS];
                *floor = floor.min(variance);
                let columns = x.saturating_sub(left) / COLS..((x + left) / COLS + 1).min(across);
                for by in y.saturating_sub(up) / ROWS..((y + up) / ROWS + 1).min(down) {
                    dirty[by * across..][columns.clone()].fill(true);
                }
            }
        }
    }

    /// Lower medians of the image and its variance as they came, without bad pixels.
    fn levels(&self) -> [f32; 2] {
        let nx = self.shape[1];
        let of = |plane: &[f32], hits: Vec<f32>| {
            order::lower_median_of(plane, &self.bad, &self.mask, hits, self.threads).unwrap_or(0.0)
        };
        let level = of(&self.image, self.hits.iter().flatten().map(|hit| hit.original).collect());
        if self.noise.given.is_none() {
            // The variance rises with the value: its median is that of the median.
            return [level, self.noise.at(0, level)];
        }
        let variances: Vec<f32> = (0..self.image.len()).map(|p| self.noise.at(p, self.image[p])).collect();
        let hits = self.hits.iter().enumerate();
        let hits =
            hits.flat_map(|(y, row)| row.iter().map(move |hit| (y * nx + hit.x as usize, hit.original)));
        [level, of(&variances, hits.map(|(p, original)| self.noise.at(p, original)).collect())]
    }

    /// The image in its own unit, with what was no measurement as it came.
    fn close<P: Pixel>(mut self, input: &Input<'_, P>, counts: Vec<usize>) -> Detection {
        let gain = self.params.gain;
        const ITEM: usize = 1 << 18;
        let sky = self.noise.sky;
        par::for_each(
            self.image.chunks_mut(ITEM).enumerate(),
            self.threads,
            || (),
            |(), (item, part)| {
                simd::run(Close { part, sky: sky.map(|sky| &sky[item * ITEM..]), gain });
            },
        );
        for &p in &self.repaired {
            let pixel = if input.swapped { input.pixels[p].swapped() } else { input.pixels[p] };
            self.image[p] = pixel.electrons(1.0);
        }
        Detection { mask: self.mask, clean: self.image, counts }
    }
}

struct Close<'a> {
    part: &'a mut [f32],
    sky: Option<&'a [f32]>,
    gain: f32,
}

impl simd::Loop for Close<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { part, sky, gain } = self;
        match sky {
            Some(sky) => part.iter_mut().zip(sky).for_each(|(pixel, sky)| *pixel = (*pixel + sky) / gain),
            None if gain == 1.0 => {}
            None => part.iter_mut().for_each(|pixel| *pixel /= gain),
        }
    }
}
