//! How significant is the Laplacian of every pixel of a block?
//!
//! ```text
//! N = sqrt(max(median(v) + sky, 1e-5)),   S = L / (2 N),   S' = S - median(S)
//! ```
//!
//! with separable medians of 7 x 7 pixels or true ones of 5 x 5. Both medians give back their input where the
//! window reaches over the border of the image, so S' is 0 there.

use super::frame::{COLS, Frame, ROWS, Window, variances};
use super::laplacian;
use super::networks::{medians, medians_along};
use crate::simd;

/// Columns of every window: a block with 8 more on either side.
pub const STRIDE: usize = COLS + 16;
/// Rows of the largest window.
const TALL: usize = ROWS + 12;
/// The least variance there is, electrons squared.
pub const LEAST_VARIANCE: f32 = 1e-5;

/// Space for a block and its surroundings, and what is known of them after [`Space::measure`].
pub struct Space {
    /// The image from `2 half` rows and columns before the block.
    pub image: Window,
    /// N from `half` rows and columns before the block.
    pub noise: Window,
    variance: Window,
    along: Window,
    s: Window,
}

impl Default for Space {
    fn default() -> Self {
        let window = || Window::new(TALL, STRIDE);
        Self { image: window(), noise: window(), variance: window(), along: window(), s: window() }
    }
}

/// Half width of the medians of noise and S.
pub fn half(separable: bool) -> usize {
    if separable { 3 } else { 2 }
}

impl Space {
    /// S' of the block of row `by` and column `bx` into `out`, row by row.
    pub fn measure(
        &mut self,
        frame: &Frame<'_>,
        [by, bx]: [usize; 2],
        separable: bool,
        out: &mut [f32; ROWS * COLS],
    ) {
        simd::run(Measure { space: self, frame, corner: [by * ROWS, bx * COLS], separable, out });
    }
}

struct Measure<'a, 'f> {
    space: &'a mut Space,
    frame: &'a Frame<'f>,
    corner: [usize; 2],
    separable: bool,
    out: &'a mut [f32; ROWS * COLS],
}

impl simd::Loop for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { space, frame, corner, separable, out } = self;
        let h = half(separable);
        let at = |margin: usize| corner.map(|c| c as isize - margin as isize);
        let (rows, cols) = (ROWS + 2 * h, COLS + 2 * h);
        let tall = ROWS + 4 * h;
        space.image.copy(frame.image, frame.shape, tall, at(2 * h));
        let windows =
            NoiseWindows { variance: &mut space.variance, along: &mut space.along, sky: &mut space.s };
        noise_of(frame, &space.image, windows, &mut space.noise, separable, [rows, cols], at(h));
        // Whole vectors; what is computed beyond `cols` is not used.
        let wide = cols.next_multiple_of(8);
        for y in 0..rows {
            let [before, c, next] = space.image.rows::<3>(y + h - 1, h - 1);
            laplacian::row(&c[1..], c, &c[2..], &before[1..], &next[1..], &mut space.s.row_mut(y)[..wide]);
        }
        borders(frame, &mut space.s, [rows, cols], at(h));
        for y in 0..rows {
            let (s, noise) = (&mut space.s.row_mut(y)[..wide], &space.noise.row(y)[..wide]);
            for x in 0..wide {
                s[x] /= 2.0 * noise[x];
            }
        }
        // The variance is done with: its window takes the median of S.
        if separable {
            separable7(&space.s, &mut space.along, &mut space.variance, [ROWS, COLS]);
        } else {
            true5(&space.s, &mut space.variance, [ROWS, COLS]);
        }
        space.variance.give_back(&space.s, h, h, [ROWS, COLS], at(0), frame.shape);
        for y in 0..ROWS {
            let (s, median) = (&space.s.row(y + h)[h..h + COLS], &space.variance.row(y)[..COLS]);
            for x in 0..COLS {
                out[y * COLS + x] = s[x] - median[x];
            }
        }
    }
}

/// Space for [`noise_of`].
pub struct NoiseWindows<'a> {
    /// Takes the variance, `half` rows and columns more on every side.
    pub variance: &'a mut Window,
    /// Takes its medians along rows.
    pub along: &'a mut Window,
    /// Takes the sky.
    pub sky: &'a mut Window,
}

/// N of `rows` x `cols` pixels from `corner` on, of which `image` holds `half` more on every side.
#[inline(always)]
pub fn noise_of(
    frame: &Frame<'_>,
    image: &Window,
    NoiseWindows { variance, along, sky }: NoiseWindows<'_>,
    noise: &mut Window,
    separable: bool,
    [rows, cols]: [usize; 2],
    corner: [isize; 2],
) {
    let h = half(separable);
    variances(frame, image, rows + 2 * h, corner.map(|c| c - h as isize), variance);
    let wide = cols.next_multiple_of(8);
    if separable {
        separable7(variance, along, noise, [rows, wide]);
    } else {
        true5(variance, noise, [rows, wide]);
    }
    noise.give_back(variance, h, h, [rows, cols], corner, frame.shape);
    if let Some(plane) = frame.noise.sky {
        sky.copy(plane, frame.shape, rows, corner);
        for y in 0..rows {
            let (noise, sky) = (&mut noise.row_mut(y)[..wide], &sky.row(y)[..wide]);
            for x in 0..wide {
                noise[x] += sky[x];
            }
        }
    }
    for y in 0..rows {
        let noise = &mut noise.row_mut(y)[..wide];
        for x in 0..wide {
            noise[x] = if noise[x] < LEAST_VARIANCE { LEAST_VARIANCE } else { noise[x] }.sqrt();
        }
    }
}

/// Laplacians of the pixels on the border of the image.
#[inline(always)]
fn borders(frame: &Frame<'_>, l: &mut Window, [rows, cols]: [usize; 2], [y0, x0]: [isize; 2]) {
    let [ny, nx] = frame.shape;
    let last = [ny as isize - 1, nx as isize - 1];
    if y0 > 0 && x0 > 0 && y0 + (rows as isize) <= last[0] && x0 + (cols as isize) <= last[1] {
        return;
    }
    for w in 0..rows {
        for i in 0..cols {
            let (y, x) = (y0 + w as isize, x0 + i as isize);
            let outside = y < 0 || x < 0 || y > last[0] || x > last[1];
            if outside {
                l.row_mut(w)[i] = 0.0;
            } else if y == 0 || x == 0 || y == last[0] || x == last[1] {
                l.row_mut(w)[i] = laplacian::anywhere(frame.image, frame.shape, y as usize, x as usize);
            }
        }
    }
}

/// Median of 7 along rows, then of 7 along columns.
#[inline(always)]
fn separable7(input: &Window, along: &mut Window, out: &mut Window, [rows, cols]: [usize; 2]) {
    for y in 0..rows + 6 {
        medians_along::<7>(input.row(y), &mut along.row_mut(y)[..cols]);
    }
    for y in 0..rows {
        medians::<7>(along.rows(y, 0), &mut out.row_mut(y)[..cols]);
    }
}

/// Median of 5 x 5.
#[inline(always)]
fn true5(input: &Window, out: &mut Window, [rows, cols]: [usize; 2]) {
    for y in 0..rows {
        let window: [&[f32]; 25] = std::array::from_fn(|k| &input.row(y + k / 5)[k % 5..]);
        medians::<25>(window, &mut out.row_mut(y)[..cols]);
    }
}

/// The largest Laplacian of `rows` in columns `x0 ..` of a block; pixels on the border of the image do not count.
pub struct Peak<'a> {
    /// Image in electrons.
    pub image: &'a [f32],
    /// Its rows and columns.
    pub shape: [usize; 2],
    /// Rows to look at.
    pub rows: std::ops::Range<usize>,
    /// First column of the first block.
    pub x0: usize,
}

impl simd::Loop for Peak<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let Self { image, shape: [ny, nx], rows, x0 } = self;
        let rows = rows.start.max(1)..rows.end.min(ny - 1);
        let mut peak = [0.0f32; 8];
        let (low, high) = (x0.max(1), (x0 + COLS).min(nx - 1));
        for y in rows {
            let row = |y: usize, from: usize| &image[y * nx + from..];
            if high - low == COLS {
                let fixed = |y: usize, from: usize| -> &[f32; COLS] {
                    row(y, from).first_chunk().unwrap_or(&[0.0; COLS])
                };
                let (c, west, east) = (fixed(y, low), fixed(y, low - 1), fixed(y, low + 1));
                let (before, next) = (fixed(y - 1, low), fixed(y + 1, low));
                for x in 0..COLS {
                    let l = laplacian::inside(c[x], west[x], east[x], before[x], next[x]);
                    peak[x % 8] = if l > peak[x % 8] { l } else { peak[x % 8] };
                }
            } else {
                for x in low..high {
                    let (c, west, east) = (row(y, x)[0], row(y, x - 1)[0], row(y, x + 1)[0]);
                    let l = laplacian::inside(c, west, east, row(y - 1, x)[0], row(y + 1, x)[0]);
                    peak[0] = if l > peak[0] { l } else { peak[0] };
                }
            }
        }
        peak.into_iter().fold(0.0, |a, b| if b > a { b } else { a })
    }
}
