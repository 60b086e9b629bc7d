//! D of a row of a block: the values of image j between its pixels, along a line.

use super::map::{Line, Map, line};
use super::{BLOCK, Sight};
use std::ops::Range;

/// D of up to [`BLOCK`] pixels of a row, NaN where there is none, for `work` (y, first x, D): for `lines` of the rows
/// of a block that the stride leaves.
#[inline(always)]
pub fn rows(
    i: Sight<'_>,
    j: Sight<'_>,
    map: &Map,
    [row, column]: [usize; 2],
    stride: usize,
    lines: Range<usize>,
    mut work: impl FnMut(usize, usize, &[f32; BLOCK]),
) {
    let [ny, nx] = i.grid.shape();
    let [height, width] = j.grid.shape();
    let corners = map.block(row, column);
    let reach = |axis: usize, n: usize| {
        let along = corners.map(|c| c[axis]);
        // NaN is never within.
        along.iter().all(|c| !c.is_nan())
            && along.iter().fold(f64::MAX, |a, &b| a.min(b)) <= (n - 1) as f64
            && along.iter().fold(f64::MIN, |a, &b| a.max(b)) >= 0.0
    };
    if !(reach(0, width) && reach(1, height)) {
        return;
    }
    let [y0, x0] = [(map.first[0] + row) * BLOCK, (map.first[1] + column) * BLOCK];
    let first = x0.next_multiple_of(stride);
    let end = (x0 + BLOCK).min(nx);
    if first >= end {
        return;
    }
    let mut found = [0.0; BLOCK];
    let chosen = (y0.next_multiple_of(stride)..(y0 + BLOCK).min(ny)).step_by(stride);
    for y in chosen.skip(lines.start).take(lines.len()) {
        let line = line(&corners, (y - y0) as f64, (first - x0) as f64, stride as f64);
        let pixels = &i.pixels[y * nx + first..y * nx + end];
        interpolate(j.pixels, [height, width], line, &mut found);
        match <&[f32; BLOCK]>::try_from(pixels) {
            Ok(pixels) if stride == 1 => {
                for k in 0..BLOCK {
                    found[k] = pixels[k] - found[k];
                }
            }
            _ => {
                let count = pixels.len().div_ceil(stride);
                for k in 0..count {
                    found[k] = pixels[k * stride] - found[k];
                }
                found[count..].fill(f32::NAN);
            }
        }
        work(y, first, &found);
    }
}

/// Values between the pixels of an image along a line; NaN where one of the four around is, or is missing.
#[inline(always)]
fn interpolate(pixels: &[f32], [ny, nx]: [usize; 2], line: Line, out: &mut [f32; BLOCK]) {
    // Counted from the corner of the line, places fit into 32 bits with room for the fraction.
    let base =
        [0, 1].map(|k| (line.start[k].min(line.start[k] + line.slope[k] * BLOCK as f64)).floor() - 1.0);
    let start = [0, 1].map(|k| (line.start[k] - base[k]) as f32);
    let slope = line.slope.map(|s| s as f32);
    let (mut column, mut row) = ([0_i32; BLOCK], [0_i32; BLOCK]);
    let (mut fx, mut fy) = ([0.0_f32; BLOCK], [0.0_f32; BLOCK]);
    for k in 0..BLOCK {
        let (x, y) = (start[0] + slope[0] * k as f32, start[1] + slope[1] * k as f32);
        (column[k], fx[k]) = split(x);
        (row[k], fy[k]) = split(y);
    }
    let [left, low] = base.map(|b| b as i64);
    let at = |k: usize| (left + i64::from(column[k]), low + i64::from(row[k]));
    let inside = |(x, y): (i64, i64)| (0..nx as i64 - 1).contains(&x) && (0..ny as i64 - 1).contains(&y);
    if !(inside(at(0)) && inside(at(BLOCK - 1))) {
        for k in 0..BLOCK {
            out[k] = f32::NAN;
            if inside(at(k)) {
                let (x, y) = at(k);
                out[k] = four(pixels, nx, y as usize * nx + x as usize, fx[k], fy[k]);
            }
        }
        return;
    }
    // All are inside, for the ends of a line are.
    let [lead, bottom] = [&column, &row].map(|n| n[0].min(n[BLOCK - 1]));
    let (mut along, mut rows) = (true, 0);
    for k in 0..BLOCK {
        (column[k], row[k]) = (column[k] - lead, row[k] - bottom);
        along &= column[k] == k as i32;
        rows = rows.max(row[k]);
    }
    let pixels = &pixels[(low + i64::from(bottom)) as usize * nx + (left + i64::from(lead)) as usize..];
    match (along, rows) {
        // Most images of a mosaic are turned by little: pixel after pixel of two or three rows, many at a time.
        (true, 0) => {
            let (a, b) = (&pixels[..=BLOCK], &pixels[nx..=nx + BLOCK]);
            for k in 0..BLOCK {
                out[k] = mean(a[k], a[k + 1], b[k], b[k + 1], fx[k], fy[k]);
            }
        }
        (true, 1) => {
            let [a, b, c] = [0, nx, 2 * nx].map(|start| &pixels[start..=start + BLOCK]);
            for k in 0..BLOCK {
                let up = row[k] == 1;
                let pick = |low: f32, high: f32| if up { high } else { low };
                let (p, q) = (pick(a[k], b[k]), pick(a[k + 1], b[k + 1]));
                let (r, s) = (pick(b[k], c[k]), pick(b[k + 1], c[k + 1]));
                out[k] = mean(p, q, r, s, fx[k], fy[k]);
            }
        }
        _ => {
            for k in 0..BLOCK {
                let step = row[k] as usize * nx + column[k] as usize;
                out[k] = four(pixels, nx, step, fx[k], fy[k]);
            }
        }
    }
}

/// Whole part and rest of a number from 0 to 2^22.
///
/// Added to 2^23, it loses its fraction and shows the whole part in its last bits: unlike a conversion, which must
/// look after what does not fit, this is done on many at a time.
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    const LARGE: f32 = 8_388_608.0;
    let rounded = x + LARGE;
    let rest = x - (rounded - LARGE);
    let down = if rest < 0.0 { 1.0 } else { 0.0 };
    let whole = (rounded - down).to_bits() as i32 - LARGE.to_bits() as i32;
    (whole, rest + down)
}

/// Mean of the four pixels from `first` on, in rows `nx` long.
#[inline(always)]
fn four(pixels: &[f32], nx: usize, first: usize, fx: f32, fy: f32) -> f32 {
    let (low, high) = (&pixels[first..first + 2], &pixels[first + nx..first + nx + 2]);
    mean(low[0], low[1], high[0], high[1], fx, fy)
}

/// Mean of four pixels for a place (fx, fy) between them.
#[inline(always)]
fn mean(a: f32, b: f32, c: f32, d: f32, fx: f32, fy: f32) -> f32 {
    let (low, high) = (a + fx * (b - a), c + fx * (d - c));
    low + fy * (high - low)
}
