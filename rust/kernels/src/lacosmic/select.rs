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
use super::significance::{LEAST_VARIANCE, Peak, Space};
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
    /// S'.
    significance: [f32; SIZE],
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
        let (space, fine) = (Space::default(), FineSpace::default());
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
    /// The hit pixels of the dirty blocks, each once, in no particular order.
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
                if !self.is_near_dirty(by, bx) || !self.may_hold_seed(rows.clone(), by, bx) {
                    continue;
                }
                let slot = self.tile(scratch, by, bx);
                let tile = &scratch.tiles[slot];
                candidates.clear();
                candidates.extend((rows.start - by * ROWS) * COLS..(rows.end - by * ROWS) * COLS);
                candidates.retain(|&c| tile.significance[c] > self.params.sigclip && self.is_good(by, bx, c));
                if candidates.is_empty() {
                    continue;
                }
                self.fine_structure(scratch, [by, bx], &candidates, &mut fine);
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

    /// False only where there is no seed for certain.
    fn may_hold_seed(&self, rows: Range<usize>, by: usize, bx: usize) -> bool {
        let Frame { image, shape, floor, noise, .. } = self.frame;
        if self.params.sigclip < 0.0 {
            return true;
        }
        let [down, across] = self.frame.blocks();
        let mut least = f32::INFINITY;
        for j in by.saturating_sub(1)..(by + 2).min(down) {
            for &low in &floor[j * across..][bx.saturating_sub(1)..(bx + 2).min(across)] {
                least = least.min(low);
            }
        }
        if let Some(sky) = noise.sky {
            let mut low = f32::INFINITY;
            for y in rows.clone() {
                let row = &sky[y * shape[1]..][bx * COLS..((bx + 1) * COLS).min(shape[1])];
                low = row.iter().fold(low, |a, &b| a.min(b));
            }
            least += low;
        }
        /// Far above what rounding can do.
        const MARGIN: f32 = 1.0 - 1e-5;
        let limit = MARGIN * 2.0 * self.params.sigclip * (MARGIN * least).max(LEAST_VARIANCE).sqrt();
        shape[0] > 2 && shape[1] > 2 && simd::run(Peak { image, shape, rows, x0: bx * COLS }) > limit
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
        candidates: &[usize],
        out: &mut [f32; SIZE],
    ) {
        let corner = [block[0] * ROWS, block[1] * COLS];
        let separable = self.params.separable;
        match (&self.params.fine_structure, &mut scratch.convolution) {
            (FineStructure::Convolve(kernel), Some(space)) => {
                space.measure(&self.frame, kernel, corner, separable, candidates, out);
            }
            _ => scratch.fine.measure(&self.frame, &scratch.space, corner, separable, candidates, out),
        }
    }

    /// The tile of a block, measured if it is not yet. `scratch.space` then holds its surroundings.
    fn tile(&self, scratch: &mut Scratch, by: usize, bx: usize) -> usize {
        let across = self.frame.blocks()[1];
        let slot = (by - scratch.first) * across + bx;
        if scratch.slots[slot] == 0 {
            scratch.tiles.push(Tile { significance: [0.0; SIZE], step: [0; SIZE] });
            scratch.slots[slot] = scratch.tiles.len() as u32;
            let last = scratch.tiles.len() - 1;
            let out = &mut scratch.tiles[last].significance;
            scratch.space.measure(&self.frame, [by, bx], self.params.separable, out);
        }
        scratch.slots[slot] as usize - 1
    }

    /// Good pixels among `from` and their neighbours with S' above `limit`, each once.
    fn grow(&self, scratch: &mut Scratch, from: Vec<[usize; 2]>, limit: f32, step: u8) -> Vec<[usize; 2]> {
        let [ny, nx] = self.frame.shape;
        let mut grown = Vec::with_capacity(2 * from.len());
        let rows = scratch.first * ROWS..((self.blocks.end + 1) * ROWS).min(ny);
        for &[y, x] in &from {
            for j in y.saturating_sub(1).max(rows.start)..(y + 2).min(rows.end) {
                for i in x.saturating_sub(1)..(x + 2).min(nx) {
                    let border = j < BORDER || i < BORDER || j + BORDER >= ny || i + BORDER >= nx;
                    if border && (j, i) != (y, x) {
                        continue;
                    }
                    let slot = self.tile(scratch, j / ROWS, i / COLS);
                    let c = j % ROWS * COLS + i % COLS;
                    let tile = &mut scratch.tiles[slot];
                    let joins = tile.significance[c] > limit && self.frame.bad[j * nx + i] == 0;
                    if joins && tile.step[c] < step {
                        tile.step[c] = step;
                        grown.push([j, i]);
                    }
                }
            }
        }
        grown
    }
}
