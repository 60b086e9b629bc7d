//! Is it sharper than a star? The fine structure F, by a convolution with the point spread function.
//!
//! ```text
//! f = ((I / N^2) * P) / ((1 / N^2) * P),   F = max((f - median(f)) / N, 0.01)
//! ```
//!
//! a matched filter weighted by the noise, with 0 outside the image; the median is a separable one of 9 pixels or
//! a true one of 7 x 7. The sums run over the kernel's rows, then its columns, from its end to its start.

use super::fine_structure::LEAST;
use super::frame::{COLS, Frame, ROWS, Window};
use super::networks::{medians, medians_along};
use super::saturation::middle;
use super::significance::{NoiseWindows, half, noise_of};
use crate::simd;

/// A kernel with an odd number of rows and columns, used as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Weights, row by row.
    pub weights: Vec<f32>,
    /// Half its rows and columns, rounded down.
    pub half: [usize; 2],
}

/// Space for a block and its surroundings.
pub struct ConvolutionSpace {
    image: Window,
    noise: Window,
    variance: Window,
    along: Window,
    sky: Window,
    weighted: Window,
    weight: Window,
    sums: [Window; 2],
}

/// Half width of the median of f.
fn margin(separable: bool) -> usize {
    if separable { 4 } else { 3 }
}

impl ConvolutionSpace {
    /// Space for this kernel.
    pub fn new(kernel: &Kernel, separable: bool) -> Self {
        let around = |k: usize| 2 * (k + margin(separable) + half(separable));
        let window = || {
            Window::new(
                ROWS + around(kernel.half[0]),
                (COLS + around(kernel.half[1]) + 8).next_multiple_of(8),
            )
        };
        Self {
            image: window(),
            noise: window(),
            variance: window(),
            along: window(),
            sky: window(),
            weighted: window(),
            weight: window(),
            sums: [window(), window()],
        }
    }

    /// F of the pixels `candidates` of the block at `corner`; its other pixels are undefined.
    pub fn measure(
        &mut self,
        frame: &Frame<'_>,
        kernel: &Kernel,
        corner: [usize; 2],
        separable: bool,
        candidates: &[usize],
        out: &mut [f32; ROWS * COLS],
    ) {
        simd::run(Measure { space: self, frame, kernel, corner, separable, candidates, out });
    }
}

struct Measure<'a, 'f> {
    space: &'a mut ConvolutionSpace,
    frame: &'a Frame<'f>,
    kernel: &'a Kernel,
    corner: [usize; 2],
    separable: bool,
    candidates: &'a [usize],
    out: &'a mut [f32; ROWS * COLS],
}

impl simd::Loop for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { space, frame, kernel, corner, separable, candidates, out } = self;
        let [ny, nx] = frame.shape;
        let at = |m: [usize; 2]| [corner[0] as isize - m[0] as isize, corner[1] as isize - m[1] as isize];
        let (h, m) = (half(separable), margin(separable));
        // Margins: of the medians' input, of the convolution's, of the noise's.
        let outer = kernel.half.map(|k| k + m);
        let [rows, cols] = [ROWS + 2 * outer[0], COLS + 2 * outer[1]];
        space.image.copy(frame.image, frame.shape, rows + 2 * h, at(outer.map(|o| o + h)));
        let windows =
            NoiseWindows { variance: &mut space.variance, along: &mut space.along, sky: &mut space.sky };
        noise_of(frame, &space.image, windows, &mut space.noise, separable, [rows, cols], at(outer));
        let [y0, x0] = at(outer);
        for w in 0..rows {
            let (noise, image) = (&space.noise.row(w)[..cols], &space.image.row(w + h)[h..h + cols]);
            let y = y0 + w as isize;
            let (weighted, weight) = (space.weighted.row_mut(w), space.weight.row_mut(w));
            for i in 0..cols {
                let x = x0 + i as isize;
                let inside = y >= 0 && x >= 0 && y < ny as isize && x < nx as isize;
                weighted[i] = if inside { image[i] / noise[i] / noise[i] } else { 0.0 };
                weight[i] = if inside { 1.0 / noise[i] / noise[i] } else { 0.0 };
            }
        }
        let [rows, cols] = [ROWS + 2 * m, COLS + 2 * m];
        let [sums, norms] = &mut space.sums;
        convolve(&space.weighted, kernel, sums, [rows, cols]);
        convolve(&space.weight, kernel, norms, [rows, cols]);
        for y in 0..rows {
            let (sums, norms) = (&mut sums.row_mut(y)[..cols], &norms.row(y)[..cols]);
            for x in 0..cols {
                sums[x] /= norms[x];
            }
        }
        let (f, large) = (&*sums, &mut space.weight);
        if separable {
            for y in 0..rows {
                medians_along::<9>(f.row(y), &mut space.along.row_mut(y)[..COLS]);
            }
            for y in 0..ROWS {
                medians::<9>(space.along.rows(y, 0), &mut large.row_mut(y)[..COLS]);
            }
        } else {
            for &c in candidates {
                let (y, x) = (c / COLS, c % COLS);
                let mut values = [0.0; 49];
                for j in 0..7 {
                    values[7 * j..7 * j + 7].copy_from_slice(&f.row(y + j)[x..x + 7]);
                }
                large.row_mut(y)[x] = middle(&mut values);
            }
        }
        large.give_back(f, m, m, [ROWS, COLS], at([0, 0]), frame.shape);
        for &c in candidates {
            let (y, x) = (c / COLS, c % COLS);
            let noise = space.noise.row(y + outer[0])[x + outer[1]];
            let fine = (f.row(y + m)[x + m] - large.row(y)[x]) / noise;
            out[c] = if fine < LEAST { LEAST } else { fine };
        }
    }
}

/// Convolution of `input`, which has half a kernel more on every side.
#[inline(always)]
fn convolve(input: &Window, kernel: &Kernel, out: &mut Window, [rows, cols]: [usize; 2]) {
    let across = 2 * kernel.half[1] + 1;
    for y in 0..rows {
        let out = &mut out.row_mut(y)[..cols];
        out.fill(0.0);
        for (k, &weight) in kernel.weights.iter().rev().enumerate() {
            let (j, i) = (k / across, k % across);
            let input = &input.row(y + j)[i..i + cols];
            for x in 0..cols {
                out[x] += input[x] * weight;
            }
        }
    }
}
