//! Is it sharper than a star? The fine structure F, by medians.
//!
//! ```text
//! f = median(I, small),   F = max((f - median(f, large)) / N, 0.01),   hit: S' / F > objlim
//! ```
//!
//! small and large are separable medians of 5 and 9 pixels, or true ones of 3 x 3 and 7 x 7. Both give back their
//! input where the window reaches over the border of the image: F is 0.01 there, and stars are not told from hits.

use super::frame::{COLS, Frame, ROWS, Window};
use super::networks::{medians, medians_along};
use super::saturation::middle;
use super::significance::Space;
use crate::simd;

/// The least fine structure.
pub const LEAST: f32 = 0.01;

/// Space for a block and its surroundings.
pub struct FineSpace {
    small: Window,
    along: Window,
    large: Window,
}

impl Default for FineSpace {
    fn default() -> Self {
        let window = || Window::new(ROWS + 12, COLS + 16);
        Self { small: window(), along: window(), large: window() }
    }
}

impl FineSpace {
    /// F of the pixels `candidates` of the block at `corner` that `measured` holds; its other pixels are undefined.
    pub fn measure(
        &mut self,
        frame: &Frame<'_>,
        measured: &Space,
        corner: [usize; 2],
        separable: bool,
        candidates: &[usize],
        out: &mut [f32; ROWS * COLS],
    ) {
        simd::run(Measure { space: self, frame, measured, corner, separable, candidates, out });
    }
}

struct Measure<'a, 'f> {
    space: &'a mut FineSpace,
    frame: &'a Frame<'f>,
    measured: &'a Space,
    corner: [usize; 2],
    separable: bool,
    candidates: &'a [usize],
    out: &'a mut [f32; ROWS * COLS],
}

impl simd::Loop for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            space: FineSpace { small, along, large },
            frame,
            measured,
            corner,
            separable,
            candidates,
            out,
        } = self;
        let at = |margin: usize| corner.map(|c| c as isize - margin as isize);
        let image = &measured.image;
        // Margins about the block: of f, and of N.
        let (margin, h) = if separable { (4, 3) } else { (3, 2) };
        let (rows, cols) = (ROWS + 2 * margin, COLS + 2 * margin);
        if separable {
            for y in 0..rows + 4 {
                medians_along::<5>(image.row(y), &mut along.row_mut(y)[..cols]);
            }
            for y in 0..rows {
                medians::<5>(along.rows(y, 0), &mut small.row_mut(y)[..cols]);
            }
            small.give_back(image, 2, 2, [rows, cols], at(margin), frame.shape);
            for y in 0..rows {
                medians_along::<9>(small.row(y), &mut along.row_mut(y)[..COLS]);
            }
            for y in 0..ROWS {
                medians::<9>(along.rows(y, 0), &mut large.row_mut(y)[..COLS]);
            }
        } else {
            // A whole number of vectors, which the windows have room for.
            let wide = cols.next_multiple_of(8);
            for y in 0..rows {
                let window: [&[f32]; 9] = std::array::from_fn(|k| &image.row(y + k / 3)[k % 3..]);
                medians::<9>(window, &mut small.row_mut(y)[..wide]);
            }
            small.give_back(image, 1, 1, [rows, cols], at(margin), frame.shape);
            for &c in candidates {
                let (y, x) = (c / COLS, c % COLS);
                let mut values = [0.0; 49];
                for j in 0..7 {
                    values[7 * j..7 * j + 7].copy_from_slice(&small.row(y + j)[x..x + 7]);
                }
                large.row_mut(y)[x] = middle(&mut values);
            }
        }
        large.give_back(small, margin, margin, [ROWS, COLS], at(0), frame.shape);
        for &c in candidates {
            let (y, x) = (c / COLS, c % COLS);
            let fine =
                (small.row(y + margin)[x + margin] - large.row(y)[x]) / measured.noise.row(y + h)[x + h];
            out[c] = if fine < LEAST { LEAST } else { fine };
        }
    }
}
