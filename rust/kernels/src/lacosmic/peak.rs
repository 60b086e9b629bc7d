//! Where could a seed be? Laplacians alone tell for most of an image.

use super::frame::{COLS, ROWS};
use super::laplacian;
use crate::simd;
use std::ops::Range;

/// Pixels of some rows of a block; those on the border of the image do not count.
#[derive(Clone)]
pub struct Peak<'a> {
    /// Image in electrons.
    pub image: &'a [f32],
    /// Its rows and columns.
    pub shape: [usize; 2],
    /// Rows to look at, of one block.
    pub rows: Range<usize>,
    /// First column of the block.
    pub x0: usize,
}

/// Pixels computed together.
const LANES: usize = 16;

impl Peak<'_> {
    /// Laplacians of `LANES` pixels from `(y, x)` on, 0 for those that do not count.
    #[inline(always)]
    fn lanes(&self, y: usize, x: usize) -> [f32; LANES] {
        let (image, [_, nx]) = (self.image, self.shape);
        let p = y * nx + x;
        let mut out = [0.0; LANES];
        if x > 0 && x + LANES < nx {
            let fixed = |from: usize| image[from..].first_chunk::<LANES>();
            let rows = (fixed(p), fixed(p - 1), fixed(p + 1), fixed(p - nx), fixed(p + nx));
            if let (Some(c), Some(west), Some(east), Some(before), Some(next)) = rows {
                for l in 0..LANES {
                    out[l] = laplacian::inside(c[l], west[l], east[l], before[l], next[l]);
                }
            }
            return out;
        }
        for i in x.max(1)..(x + LANES).min(nx - 1) {
            let p = y * nx + i;
            let [c, west, east] = [image[p], image[p - 1], image[p + 1]];
            out[i - x] = laplacian::inside(c, west, east, image[p - nx], image[p + nx]);
        }
        out
    }

    fn inner_rows(&self) -> Range<usize> {
        self.rows.start.max(1)..self.rows.end.min(self.shape[0] - 1)
    }
}

/// The largest Laplacian.
impl simd::Loop for Peak<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut peak = [0.0f32; LANES];
        for y in self.inner_rows() {
            for x in (self.x0..self.x0 + COLS).step_by(LANES) {
                let here = self.lanes(y, x);
                for l in 0..LANES {
                    peak[l] = if here[l] > peak[l] { here[l] } else { peak[l] };
                }
            }
        }
        peak.into_iter().fold(0.0, f32::max)
    }
}

/// Which pixels of a block have a Laplacian above `limit`: a bit for every column of its rows.
pub struct Above<'a> {
    /// Where to look.
    pub peak: Peak<'a>,
    /// Limit.
    pub limit: f32,
}

impl simd::Loop for Above<'_> {
    type Output = [u32; ROWS];

    #[inline(always)]
    fn run(self) -> [u32; ROWS] {
        let mut bits = [0; ROWS];
        for y in self.peak.inner_rows() {
            for x in (0..COLS).step_by(LANES) {
                let here = self.peak.lanes(y, self.peak.x0 + x);
                let mut row = 0u32;
                for l in 0..LANES {
                    row |= u32::from(here[l] > self.limit) << l;
                }
                bits[y % ROWS] |= row << x;
            }
        }
        bits
    }
}
