//! One image from its pixels to its mask: rounds of finding, noting and cleaning.

use super::frame::{COLS, Frame, Hit, Noise, ROWS};
use super::load::{self, Pixel};
use super::select::{Band, Scratch};
use super::{CleanType, Detection, Input, Params, clean, order, repair, saturation, wings};
use crate::{par, simd};
use std::ops::Range;

/// Rows of blocks to an item of work: a constant, so that the answer does not depend on the threads.
const BAND: usize = 8;
/// Hits for which a second thread is worth its start.
const WORTHWHILE: usize = 1 << 16;

/// Rows of blocks of every item of a search: large ones first, since edges are worked twice, small ones at the end, so
/// that no thread waits long for the last.
fn bands(down: usize) -> Vec<Range<usize>> {
    let mut bands = Vec::new();
    let mut first = 0;
    while first < down {
        let rows = ((down - first) / 12).clamp(2, 2 * BAND).min(down - first);
        bands.push(first..first + rows);
        first += rows;
    }
    bands
}

/// The state between rounds.
pub struct Session<'a> {
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
    /// Load an image and mark what is bad.
    pub fn open<P: Pixel>(input: &Input<'a, P>, params: &'a Params, threads: usize) -> Self {
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
    pub fn run<P: Pixel>(mut self, input: &Input<'_, P>) -> Detection {
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
        let bands = bands(down);
        let mut found: Vec<Vec<[usize; 2]>> = vec![Vec::new(); bands.len()];
        par::for_each(
            found.iter_mut().zip(bands),
            self.threads,
            || Scratch::new(self.params),
            |scratch, (found, blocks)| {
                *found = Band { frame, params: self.params, dirty, blocks }.select(scratch);
            },
        );
        found.concat()
    }

    /// Enter hits that are new, of those `found` in order.
    fn note(&mut self, found: &[[usize; 2]]) {
        let nx = self.shape[1];
        let is_first = self.hits.iter().all(Vec::is_empty);
        let threads = if found.len() < WORTHWHILE { 1 } else { self.threads };
        let (image, noise) = (&self.image, &self.noise);
        let mut fresh: Vec<Vec<[usize; 2]>> = vec![Vec::new(); self.shape[0].div_ceil(BAND * ROWS)];
        let parts = self.hits.chunks_mut(BAND * ROWS).zip(self.mask.chunks_mut(BAND * ROWS * nx));
        par::for_each(
            parts.zip(&mut fresh).enumerate(),
            threads,
            || (),
            |(), (band, ((hits, mask), fresh))| {
                let first = band * BAND * ROWS;
                let before = |row: usize| found.partition_point(|pixel| pixel[0] < row);
                let found = &found[before(first)..before(first + hits.len())];
                for [y, x] in found {
                    simd::prefetch(&image[y * nx + x]);
                    simd::prefetch(&mask[(y - first) * nx + x]);
                }
                fresh.extend(found.iter().filter(|[y, x]| !mask[(y - first) * nx + x]));
                for rows in fresh.chunk_by(|a, b| a[0] == b[0]) {
                    let row = &mut hits[rows[0][0] - first];
                    let is_new = row.is_empty();
                    row.reserve(rows.len());
                    for &[y, x] in rows {
                        mask[(y - first) * nx + x] = true;
                        let original = image[y * nx + x];
                        let variance = noise.at(y * nx + x, original);
                        row.push(Hit { x: x as u32, variance, original, stale: true });
                    }
                    if !is_new {
                        row.sort_unstable_by_key(|hit| hit.x);
                    }
                }
            },
        );
        if !is_first {
            self.mark_stale(&fresh.concat());
        }
    }

    /// Other hits change only if they have lost a neighbour; a plain median also with the hits it takes in.
    fn mark_stale(&mut self, fresh: &[[usize; 2]]) {
        if self.params.clean == CleanType::Median {
            self.hits.iter_mut().flatten().for_each(|hit| hit.stale = true);
        }
        let half = clean::HALF;
        for &[y, x] in fresh {
            for row in &mut self.hits[y.saturating_sub(half)..(y + half + 1).min(self.shape[0])] {
                let first = row.partition_point(|hit| (hit.x as usize) + half < x);
                let near = row[first..].iter_mut().take_while(|hit| hit.x as usize <= x + half);
                near.for_each(|hit| hit.stale = true);
            }
        }
    }

    /// Replace all hits, and note the blocks whose answer that may change.
    fn clean(&mut self, dirty: &mut [bool]) {
        let shape @ [ny, nx] = self.shape;
        let bands = ny.div_ceil(BAND * ROWS);
        let how = self.params.clean;
        let filled: Vec<Vec<Option<[f32; 2]>>> = par::map(bands, self.threads, |band| {
            let frame = self.frame();
            let rows = band * BAND * ROWS..((band + 1) * BAND * ROWS).min(ny);
            let hits = rows.flat_map(|y| frame.hits[y].iter().map(move |hit| (y, hit)));
            hits.filter(|(y, hit)| hit.stale && clean::is_inside(shape, *y, hit.x as usize))
                .map(|(y, hit)| clean::fill(&frame, &self.mask, how, y, hit.x as usize))
                .collect()
        });
        if self.level.is_none() && filled.iter().flatten().any(Option::is_none) {
            self.level = Some(self.levels());
        }
        let level = self.level.unwrap_or_default();
        let count = filled.iter().map(Vec::len).sum::<usize>();
        let threads = if count < WORTHWHILE { 1 } else { self.threads };
        let [down, across] = self.frame().blocks();
        let mut changed: Vec<Vec<[usize; 2]>> = vec![Vec::new(); bands];
        let planes = self.image.chunks_mut(BAND * ROWS * nx).zip(self.hits.chunks_mut(BAND * ROWS));
        let planes = planes.zip(self.floor.chunks_mut(BAND * across)).zip(filled).zip(&mut changed);
        par::for_each(
            planes.enumerate(),
            threads,
            || (),
            |(), (band, ((((image, hits), floor), filled), changed))| {
                let mut filled = filled.into_iter();
                for (row, hits) in hits.iter_mut().enumerate() {
                    let y = band * BAND * ROWS + row;
                    for hit in hits {
                        let x = hit.x as usize;
                        if !std::mem::take(&mut hit.stale) || !clean::is_inside(shape, y, x) {
                            continue;
                        }
                        let Some(value) = filled.next() else { return };
                        let [value, variance] = value.unwrap_or(level);
                        let pixel = &mut image[row * nx + x];
                        if pixel.to_bits() != value.to_bits() || hit.variance.to_bits() != variance.to_bits()
                        {
                            (*pixel, hit.variance) = (value, variance);
                            let floor = &mut floor[row / ROWS * across + x / COLS];
                            *floor = floor.min(variance);
                            changed.push([y, x]);
                        }
                    }
                }
            },
        );
        let [up, left] = self.params.reach();
        for [y, x] in changed.into_iter().flatten() {
            let columns = x.saturating_sub(left) / COLS..((x + left) / COLS + 1).min(across);
            for by in y.saturating_sub(up) / ROWS..((y + up) / ROWS + 1).min(down) {
                dirty[by * across..][columns.clone()].fill(true);
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
