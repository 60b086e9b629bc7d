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
use super::networks::{medians, medians_along, medians_square};
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

/// Rows and columns of a block, from and to; columns in whole vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Rows.
    pub rows: [usize; 2],
    /// Columns.
    pub cols: [usize; 2],
}

impl Part {
    /// All.
    pub const WHOLE: Self = Self { rows: [0, ROWS], cols: [0, COLS] };

    /// The part within `reach` of the pixel `(y, x)`.
    pub fn about(y: usize, x: usize, reach: usize) -> Self {
        let cols = [x.saturating_sub(reach) / 8 * 8, (x + reach + 1).next_multiple_of(8).min(COLS)];
        Self { rows: [y.saturating_sub(reach), (y + reach + 1).min(ROWS)], cols }
    }

    /// The smallest part that holds both.
    pub fn union(self, other: Self) -> Self {
        let join = |a: [usize; 2], b: [usize; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        Self { rows: join(self.rows, other.rows), cols: join(self.cols, other.cols) }
    }

    /// Whether the pixel is in it.
    pub fn holds(&self, y: usize, x: usize) -> bool {
        self.rows[0] <= y && y < self.rows[1] && self.cols[0] <= x && x < self.cols[1]
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.rows[1] - self.rows[0], self.cols[1] - self.cols[0]]
    }
}

/// Half width of the medians of noise and S.
pub fn half(separable: bool) -> usize {
    if separable { 3 } else { 2 }
}

impl Space {
    /// S' of a part of the block of row `by` and column `bx`, into its place in `out`.
    pub fn measure(
        &mut self,
        frame: &Frame<'_>,
        [by, bx]: [usize; 2],
        part: Part,
        separable: bool,
        out: &mut [f32; ROWS * COLS],
    ) {
        let corner = [by * ROWS + part.rows[0], bx * COLS + part.cols[0]];
        simd::run(Measure { space: self, frame, corner, part, separable, out });
    }
}

struct Measure<'a, 'f> {
    space: &'a mut Space,
    frame: &'a Frame<'f>,
    corner: [usize; 2],
    part: Part,
    separable: bool,
    out: &'a mut [f32; ROWS * COLS],
}

impl simd::Loop for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { space, frame, corner, part, separable, out } = self;
        let h = half(separable);
        let inner @ [high, across] = part.size();
        let at = |margin: usize| corner.map(|c| c as isize - margin as isize);
        let (rows, cols) = (high + 2 * h, across + 2 * h);
        let tall = high + 4 * h;
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
            separable7(&space.s, &mut space.along, &mut space.variance, inner);
        } else {
            true5(&space.s, &mut space.variance, inner);
        }
        space.variance.give_back(&space.s, h, h, inner, at(0), frame.shape);
        for y in 0..high {
            let (s, median) = (&space.s.row(y + h)[h..h + across], &space.variance.row(y)[..across]);
            let out = &mut out[(part.rows[0] + y) * COLS + part.cols[0]..][..across];
            for x in 0..across {
                out[x] = s[x] - median[x];
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
        medians_square(input.rows(y, 0), &mut out.row_mut(y)[..cols]);
    }
}
