//! Which pixels of a band of rows are hit?
//!
//! 1. seeds: S' > sigclip and S' / F > objlim;
//! 2. their 8 neighbours with S' > sigclip;
//! 3. the 8 neighbours of those with S' > sigfrac sigclip.
//!
//! Since S is not negative, neither is its median, and S' <= S = L / (2 N): where the largest Laplacian of a block
//! stays below `2 sigclip N` with the least noise about it, no seed can be and nothing else is computed. That is
//! most of an image. Results are those of computing everything.

use super::convolution::ConvolutionSpace;
use super::fine_structure::FineSpace;
use super::frame::{COLS, Frame, ROWS};
use super::peak::{Above, Peak};
use super::significance::{LEAST_VARIANCE, Part, Space};
use super::{FineStructure, Params};
use crate::simd;
use std::ops::Range;

/// Pixels of a block.
const SIZE: usize = ROWS * COLS;
/// The outermost pixels keep what they are when others grow.
const BORDER: usize = 1;
/// How far a seed reaches by growing twice.
const REACH: usize = 2;

/// A block that had to be looked at.
struct Tile {
    /// S' of the part that is known.
    significance: [f32; SIZE],
    known: Part,
    /// How far a pixel has come: the steps above.
    step: [u8; SIZE],
}

/// Space for one thread.
pub struct Scratch {
    space: Space,
    fine: FineSpace,
    convolution: Option<ConvolutionSpace>,
    /// Tiles of the band.
    tiles: Vec<Tile>,
    /// Which of them is a block's, counted from 1, in the band and one row of blocks on either side.
    slots: Vec<u32>,
    /// The first row of blocks in `slots`.
    first: usize,
}

impl Scratch {
    /// Space for these parameters.
    pub fn new(params: &Params) -> Self {
        let convolution = match &params.fine_structure {
            FineStructure::Median => None,
            FineStructure::Convolve(kernel) => Some(ConvolutionSpace::new(kernel, params.separable)),
        };
        let (space, fine) = (Space::default(), FineSpace::new(params.separable));
        Self { space, fine, convolution, tiles: Vec::new(), slots: Vec::new(), first: 0 }
    }
}

/// What to do and where.
pub struct Band<'a> {
    /// The image.
    pub frame: Frame<'a>,
    /// Parameters.
    pub params: &'a Params,
    /// Blocks whose pixels may have changed their answer.
    pub dirty: &'a [bool],
    /// Rows of blocks.
    pub blocks: Range<usize>,
}

impl Band<'_> {
    /// The hit pixels of the dirty blocks, each once, in order.
    pub fn select(&self, scratch: &mut Scratch) -> Vec<[usize; 2]> {
        let [_, across] = self.frame.blocks();
        scratch.first = self.blocks.start.saturating_sub(1);
        scratch.tiles.clear();
        scratch.slots.clear();
        scratch.slots.resize((self.blocks.end + 1 - scratch.first) * across, 0);
        let seeds = self.seeds(scratch);
        let near = self.grow(scratch, seeds, self.params.sigclip, 2);
        let mut all = self.grow(scratch, near, self.params.growth_limit(), 3);
        let rows = self.blocks.start * ROWS..self.blocks.end * ROWS;
        all.retain(|&[y, x]| rows.contains(&y) && self.dirty[y / ROWS * across + x / COLS]);
        all.sort_unstable();
        all
    }

    /// Seeds in or near the dirty blocks of the band and in the rows from where they could grow into it.
    fn seeds(&self, scratch: &mut Scratch) -> Vec<[usize; 2]> {
        let [down, across] = self.frame.blocks();
        let rows = (self.blocks.start * ROWS).saturating_sub(REACH)
            ..(self.blocks.end * ROWS + REACH).min(self.frame.shape[0]);
        let mut seeds = Vec::new();
        let mut candidates = Vec::new();
        let mut fine = [0.0; SIZE];
        for by in self.blocks.start.saturating_sub(1)..(self.blocks.end + 1).min(down) {
            let rows = rows.start.max(by * ROWS)..rows.end.min((by + 1) * ROWS);
            for bx in 0..across {
                if !self.is_near_dirty(by, bx) {
                    continue;
                }
                let Some(part) = self.may_hold_seeds(rows.clone(), by, bx) else { continue };
                let slot = self.tile(scratch, by, bx, part);
                let tile = &scratch.tiles[slot];
                candidates.clear();
                let lines = part.rows[0].max(rows.start - by * ROWS)..part.rows[1].min(rows.end - by * ROWS);
                for c in lines.flat_map(|y| y * COLS + part.cols[0]..y * COLS + part.cols[1]) {
                    if tile.significance[c] > self.params.sigclip && self.is_good(by, bx, c) {
                        candidates.push(c);
                    }
                }
                if candidates.is_empty() {
                    continue;
                }
                self.fine_structure(scratch, [by, bx], part, &candidates, &mut fine);
                let tile = &scratch.tiles[slot];
                candidates.retain(|&c| tile.significance[c] / fine[c] > self.params.objlim);
                seeds.extend(candidates.iter().map(|c| [by * ROWS + c / COLS, bx * COLS + c % COLS]));
            }
        }
        seeds
    }

    /// Whether a block is dirty or touches one that is.
    fn is_near_dirty(&self, by: usize, bx: usize) -> bool {
        let [down, across] = self.frame.blocks();
        (by.saturating_sub(1)..(by + 2).min(down))
            .any(|j| self.dirty[j * across..][bx.saturating_sub(1)..(bx + 2).min(across)].contains(&true))
    }

    /// The part of a block outside which there is certainly no seed in these rows, nor a neighbour of one.
    fn may_hold_seeds(&self, rows: Range<usize>, by: usize, bx: usize) -> Option<Part> {
        let Frame { image, shape: shape @ [ny, nx], floor, noise, .. } = self.frame;
        if self.params.sigclip < 0.0 {
            return Some(Part::WHOLE);
        }
        if ny < 3 || nx < 3 {
            return None;
        }
        let [down, across] = self.frame.blocks();
        let mut least = f32::INFINITY;
        for j in by.saturating_sub(1)..(by + 2).min(down) {
            for &low in &floor[j * across..][bx.saturating_sub(1)..(bx + 2).min(across)] {
                least = least.min(low);
            }
        }
        if let Some(sky) = noise.sky {
            let rows = rows.clone().map(|y| &sky[y * nx..][bx * COLS..((bx + 1) * COLS).min(nx)]);
            least += rows.flatten().fold(f32::INFINITY, |low, &value| low.min(value));
        }
        /// Far above what rounding can do.
        const MARGIN: f32 = 1.0 - 1e-5;
        let limit = MARGIN * 2.0 * self.params.sigclip * (MARGIN * least).max(LEAST_VARIANCE).sqrt();
        let peak = Peak { image, shape, rows, x0: bx * COLS };
        if simd::run(peak.clone()) <= limit {
            return None;
        }
        let mut part: Option<Part> = None;
        for (y, mut bits) in simd::run(Above { peak, limit }).into_iter().enumerate() {
            while bits != 0 {
                let x = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if self.is_good(by, bx, y * COLS + x) {
                    let near = Part::about(y, x, REACH);
                    part = Some(part.map_or(near, |part| part.union(near)));
                }
            }
        }
        part
    }

    fn is_good(&self, by: usize, bx: usize, c: usize) -> bool {
        let [ny, nx] = self.frame.shape;
        let (y, x) = (by * ROWS + c / COLS, bx * COLS + c % COLS);
        y < ny && x < nx && self.frame.bad[y * nx + x] == 0
    }

    fn fine_structure(
        &self,
        scratch: &mut Scratch,
        block: [usize; 2],
        part: Part,
        candidates: &[usize],
        out: &mut [f32; SIZE],
    ) {
        let corner = [block[0] * ROWS, block[1] * COLS];
        let separable = self.params.separable;
        match (&self.params.fine_structure, &mut scratch.convolution) {
            (FineStructure::Convolve(kernel), Some(space)) => {
                space.measure(&self.frame, kernel, corner, separable, candidates, out);
            }
            _ => scratch.fine.measure(&self.frame, &scratch.space, block, part, candidates, out),
        }
    }

    /// The tile of a block, with this part of it measured. If it was not, `scratch.space` has its surroundings.
    fn tile(&self, scratch: &mut Scratch, by: usize, bx: usize, part: Part) -> usize {
        let across = self.frame.blocks()[1];
        let slot = (by - scratch.first) * across + bx;
        let part = match scratch.slots[slot] {
            0 => {
                scratch.tiles.push(Tile { significance: [0.0; SIZE], known: part, step: [0; SIZE] });
                scratch.slots[slot] = scratch.tiles.len() as u32;
                part
            }
            known => part.union(scratch.tiles[known as usize - 1].known),
        };
        let index = scratch.slots[slot] as usize - 1;
        let tile = &mut scratch.tiles[index];
        tile.known = part;
        scratch.space.measure(&self.frame, [by, bx], part, self.params.separable, &mut tile.significance);
        index
    }

    /// Good pixels among `from` and their neighbours with S' above `limit`, each once.
    fn grow(&self, scratch: &mut Scratch, from: Vec<[usize; 2]>, limit: f32, step: u8) -> Vec<[usize; 2]> {
        let [ny, nx] = self.frame.shape;
        let across = self.frame.blocks()[1];
        let mut grown = Vec::with_capacity(2 * from.len());
        let rows = scratch.first * ROWS..((self.blocks.end + 1) * ROWS).min(ny);
        for &[y, x] in &from {
            for j in y.saturating_sub(1).max(rows.start)..(y + 2).min(rows.end) {
                for i in x.saturating_sub(1)..(x + 2).min(nx) {
                    let border = j < BORDER || i < BORDER || j + BORDER >= ny || i + BORDER >= nx;
                    if border && (j, i) != (y, x) {
                        continue;
                    }
                    if self.frame.bad[j * nx + i] != 0 {
                        continue;
                    }
                    let (by, bx) = (j / ROWS, i / COLS);
                    let (v, u) = (j % ROWS, i % COLS);
                    let mut index = scratch.slots[(by - scratch.first) * across + bx] as usize;
                    if index == 0 || !scratch.tiles[index - 1].known.holds(v, u) {
                        index = self.tile(scratch, by, bx, Part::about(v, u, REACH)) + 1;
                    }
                    let (c, tile) = (v * COLS + u, &mut scratch.tiles[index - 1]);
                    if tile.significance[c] > limit && tile.step[c] < step {
                        tile.step[c] = step;
                        grown.push([j, i]);
                    }
                }
            }
        }
        grown
    }
}
