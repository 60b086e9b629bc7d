//! The positive part of the Laplacian of the image sampled twice as finely (van Dokkum 2001, section 3.1).
//!
//! Every pixel is split into 2 x 2 that copy it; each of the four has two neighbours that are its own copies and
//! two of the pixel's neighbours, so that with the kernel (0 -1 0, -1 4 -1, 0 -1 0)
//!
//! ```text
//! l(E, S) = 4c - E - c - S - c,    L = (max(0, l(W,N)) + ... + max(0, l(E,S))) / 4
//! ```
//!
//! No finer image is made. The order of the sums is that of astroscrappy 1.3.0 (x86-64), on whose rounding
//! the last bit depends: its compiler orders them otherwise in the first and last rows and columns.

/// One of the four, from the right neighbour, the left, the next row and the one before.
#[inline(always)]
fn part(four: f32, right: f32, left: f32, next: f32, before: f32) -> f32 {
    let l = ((four - right) - left) - (next + before);
    if l > 0.0 { l } else { 0.0 }
}

/// The mean of the four, from their sums along the diagonals.
#[inline(always)]
fn mean(p00: f32, p01: f32, p10: f32, p11: f32) -> f32 {
    ((p00 + p11) + (p10 + p01)) * 0.25
}

/// L of a pixel that is not on the border of the image, from its neighbours.
#[inline(always)]
pub fn inside(c: f32, west: f32, east: f32, before: f32, next: f32) -> f32 {
    let four = 4.0 * c;
    mean(
        part(four, c, west, c, before),
        part(four, east, c, c, before),
        part(four, c, west, next, c),
        part(four, east, c, next, c),
    )
}

/// L of a row whose neighbours are all in the image: `west` is the row from one pixel earlier, `east` later.
#[inline(always)]
pub fn row(c: &[f32], west: &[f32], east: &[f32], before: &[f32], next: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (c, west, east, before, next) = (&c[..n], &west[..n], &east[..n], &before[..n], &next[..n]);
    for x in 0..n {
        out[x] = inside(c[x], west[x], east[x], before[x], next[x]);
    }
}

/// L of any pixel, in its border's order of sums; outside the image is 0.
pub fn anywhere(image: &[f32], [ny, nx]: [usize; 2], y: usize, x: usize) -> f32 {
    let fine = |j: usize, i: usize| image[(j / 2) * nx + i / 2];
    let (last_row, last_column) = (2 * ny - 1, 2 * nx - 1);
    let laplacian = |j: usize, i: usize| -> f32 {
        let four = 4.0 * fine(j, i);
        let left = if i > 0 { fine(j, i - 1) } else { 0.0 };
        let right = if i < last_column { fine(j, i + 1) } else { 0.0 };
        let l = if j == 0 {
            let [four, right, left] = [four, right, left].map(f64::from);
            (((four - right) - left) - f64::from(fine(1, i))) as f32
        } else if j == last_row {
            let before = fine(j - 1, i);
            if i == 0 || i == last_column {
                (four - if i == 0 { right } else { left }) - before
            } else {
                (four - before) - (left + right)
            }
        } else {
            let rows = fine(j + 1, i) + fine(j - 1, i);
            match i {
                0 => (four - right) - rows,
                _ if i == last_column => (four - left) - rows,
                _ => ((four - right) - left) - rows,
            }
        };
        if l > 0.0 { l } else { 0.0 }
    };
    let (j, i) = (2 * y, 2 * x);
    mean(laplacian(j, i), laplacian(j, i + 1), laplacian(j + 1, i), laplacian(j + 1, i + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_pixel_is_as_bright_as_it_is() {
        // 2c - 0 - 0 from each corner; its neighbours' parts are negative, or c short of 2 x 0.
        let mut image = [0.0f32; 25];
        image[12] = 10.0;
        assert_eq!(anywhere(&image, [5, 5], 2, 2), 20.0);
        assert_eq!(anywhere(&image, [5, 5], 2, 1), 0.0);
        assert_eq!(inside(10.0, 0.0, 0.0, 0.0, 0.0), 20.0);
    }

    #[test]
    fn a_slope_has_none() {
        let image: Vec<f32> = (0..35).map(|p| (p / 7) as f32 + 2.0 * (p % 7) as f32).collect();
        for y in 1..4 {
            for x in 1..6 {
                // (W, N) gives 2 + 1, (W, S) 2 - 1, and the corners uphill nothing.
                assert_eq!(anywhere(&image, [5, 7], y, x), 0.25 * (3.0 + 1.0));
                let at = |y: usize, x: usize| image[y * 7 + x];
                let same = inside(at(y, x), at(y, x - 1), at(y, x + 1), at(y - 1, x), at(y + 1, x));
                assert_eq!(same, anywhere(&image, [5, 7], y, x));
            }
        }
    }
}
