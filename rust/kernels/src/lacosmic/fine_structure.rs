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
use super::significance::{Part, Space};
use crate::simd;

/// The least fine structure.
pub const LEAST: f32 = 0.01;

/// Space for a block and its surroundings.
pub struct FineSpace {
    small: Window,
    along: Window,
    large: Window,
    separable: bool,
}

impl FineSpace {
    /// Space for medians of this kind.
    pub fn new(separable: bool) -> Self {
        let window = || Window::new(ROWS + 12, COLS + 16);
        Self { small: window(), along: window(), large: window(), separable }
    }

    /// F of the pixels `candidates` of the block, in the part of it that `measured` holds; others are undefined.
    pub fn measure(
        &mut self,
        frame: &Frame<'_>,
        measured: &Space,
        [by, bx]: [usize; 2],
        part: Part,
        candidates: &[usize],
        out: &mut [f32; ROWS * COLS],
    ) {
        let corner = [by * ROWS + part.rows[0], bx * COLS + part.cols[0]];
        simd::run(Measure { space: self, frame, measured, corner, part, candidates, out });
    }
}

struct Measure<'a, 'f> {
    space: &'a mut FineSpace,
    frame: &'a Frame<'f>,
    measured: &'a Space,
    corner: [usize; 2],
    part: Part,
    candidates: &'a [usize],
    out: &'a mut [f32; ROWS * COLS],
}

impl simd::Loop for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { space, frame, measured, corner, part, candidates, out } = self;
        let FineSpace { small, along, large, separable } = space;
        let inner @ [high, across] = part.size();
        // Row and column in the part.
        let place = |c: usize| (c / COLS - part.rows[0], c % COLS - part.cols[0]);
        let at = |margin: usize| corner.map(|c| c as isize - margin as isize);
        let image = &measured.image;
        // Margins about the block: of f, and of N.
        let (margin, h) = if *separable { (4, 3) } else { (3, 2) };
        let (rows, cols) = (high + 2 * margin, across + 2 * margin);
        if *separable {
            for y in 0..rows + 4 {
                medians_along::<5>(image.row(y), &mut along.row_mut(y)[..cols]);
            }
            for y in 0..rows {
                medians::<5>(along.rows(y, 0), &mut small.row_mut(y)[..cols]);
            }
            small.give_back(image, 2, 2, [rows, cols], at(margin), frame.shape);
            for y in 0..rows {
                medians_along::<9>(small.row(y), &mut along.row_mut(y)[..across]);
            }
            for y in 0..high {
                medians::<9>(along.rows(y, 0), &mut large.row_mut(y)[..across]);
            }
        } else {
            // A whole number of vectors, which the windows have room for.
            let wide = cols.next_multiple_of(8);
            for y in 0..rows {
                let mut window = [image.row(y); 9];
                for (k, row) in window.iter_mut().enumerate() {
                    *row = &image.row(y + k / 3)[k % 3..];
                }
                medians::<9>(window, &mut small.row_mut(y)[..wide]);
            }
            small.give_back(image, 1, 1, [rows, cols], at(margin), frame.shape);
            for &c in candidates {
                let (y, x) = place(c);
                let mut values = [0.0; 49];
                for j in 0..7 {
                    values[7 * j..7 * j + 7].copy_from_slice(&small.row(y + j)[x..x + 7]);
                }
                large.row_mut(y)[x] = middle(&mut values);
            }
        }
        large.give_back(small, margin, margin, inner, at(0), frame.shape);
        for &c in candidates {
            let (y, x) = place(c);
            let fine =
                (small.row(y + margin)[x + margin] - large.row(y)[x]) / measured.noise.row(y + h)[x + h];
            out[c] = if fine < LEAST { LEAST } else { fine };
        }
    }
}
