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
    // All are inside, for the ends of a line are; and rows, and columns less their number, only rise or only fall.
    let bottom = row[0].min(row[BLOCK - 1]);
    let rows = row[0].max(row[BLOCK - 1]) - bottom;
    let [lead, trail] = [column[0], column[BLOCK - 1] - (BLOCK as i32 - 1)];
    let (lead, trail) = (lead.min(trail), lead.max(trail));
    let first = (low + i64::from(bottom)) * nx as i64 + left + i64::from(lead);
    let near = |line: usize| {
        let start = usize::try_from(first).ok()? + line * nx;
        pixels.get(start..start + BLOCK + 2)
    };
    // Most images of a mosaic are turned and stretched by little: the pixels are those of two rows, or first of the
    // lower and then of the upper two, and follow each other but for one left out or taken twice. Then they are
    // picked from three rows many at a time.
    if trail - lead <= 1
        && rows <= 1
        && let [Some(a), Some(b), Some(c)] = [near(0), near(1), near(2)]
    {
        for k in 0..BLOCK {
            let (up, right) = (row[k] != bottom, column[k] - k as i32 != lead);
            let pick = |yes: bool, other: f32, one: f32| if yes { one } else { other };
            let [p, q, r] = [k, k + 1, k + 2].map(|x| pick(up, a[x], b[x]));
            let [s, t, u] = [k, k + 1, k + 2].map(|x| pick(up, b[x], c[x]));
            let (p, q, s, t) = (pick(right, p, q), pick(right, q, r), pick(right, s, t), pick(right, t, u));
            out[k] = mean(p, q, s, t, fx[k], fy[k]);
        }
        return;
    }
    let lead = column[0].min(column[BLOCK - 1]);
    let pixels = &pixels[(low + i64::from(bottom)) as usize * nx + (left + i64::from(lead)) as usize..];
    for k in 0..BLOCK {
        let step = (row[k] - bottom) as usize * nx + (column[k] - lead) as usize;
        out[k] = four(pixels, nx, step, fx[k], fy[k]);
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
