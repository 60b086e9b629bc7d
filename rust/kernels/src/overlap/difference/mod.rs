//! How much brighter one image is than another where they overlap, pixel by pixel and without resampling either.
//!
//! For a pixel of image i, with exact positions ([`Grid`]) every 16 pixels and straight lines between them (an error
//! below 0.01 pixels), D = B_i - B_j, B_j interpolated between its four nearest pixels, all of which must be good.
//! A source of uniform brightness has the same B in both whatever the area of the pixels, so D is the
//! difference of the skies. It is averaged in cells of 32 x 32 pixels after a clip at so many robust sigmas around a
//! plane (a constant would cut off the ends of a gradient and with them part of its slope); plane and sigma are
//! those of a sample of some ten thousand pixels, median absolute deviation after each of a few rounds. Over a cell,
//! the weights that every pixel of j gets add up to the same, so that interpolation takes nothing from the noise of
//! the mean: it is (s_i^2 + s_j^2 / a) / n, with a the number of pixels of j in one of i, at most 1.

mod limits;
mod map;
mod rows;

use super::grid::Grid;
use crate::{Error, Result, simd};
use limits::{Limits, Sample, missing};
use map::Map;
use rows::rows;

/// Pixels on a side between exact positions.
const BLOCK: usize = 16;
/// Blocks on a side of a cell.
const BLOCKS: usize = 2;
/// Pixels on a side of a cell.
pub const CELL: usize = BLOCK * BLOCKS;
/// An image and its place on the sky.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Surface brightness, NaN where it is not to be used.
    pixels: &'a [f32],
    grid: &'a Grid,
}

impl<'a> Sight<'a> {
    /// Pixels (ny, nx) of an image and the grid of its positions.
    pub fn new(pixels: &'a [f32], grid: &'a Grid) -> Result<Self> {
        let [ny, nx] = grid.shape();
        if pixels.len() != ny * nx {
            return Err(Error::Shape { name: "pixels", got: vec![pixels.len()], expected: vec![ny, nx] });
        }
        Ok(Self { pixels, grid })
    }
}

/// The mean of D in a cell of image i.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Pixels averaged.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their mean place (x, y) in image i.
    pub place_i: [f64; 2],
    /// That place in image j.
    pub place_j: [f64; 2],
}

/// The difference of two images.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Cells with pixels, row by row.
    pub cells: Vec<Cell>,
    /// Pixels left out by the clip.
    pub clipped: usize,
    /// Robust standard deviation of D about its plane; NaN without pixels.
    pub spread: f64,
    /// Pixels of image j in one of image i.
    pub ratio: f64,
}

/// D of images `i` and `j` at every `stride`-th pixel each way, clipped at `clip` sigmas.
pub fn difference(i: Sight<'_>, j: Sight<'_>, stride: usize, clip: f64) -> Result<Difference> {
    if stride == 0 {
        return Err(Error::value("stride", stride, "1 or more"));
    }
    if clip.is_nan() || clip <= 0.0 {
        return Err(Error::value("clip", clip, "a positive number"));
    }
    let Some(map) = Map::new(i.grid, j.grid) else {
        return Ok(Difference { cells: Vec::new(), clipped: 0, spread: f64::NAN, ratio: f64::NAN });
    };
    let limits = simd::run(Sample { i, j, map: &map, stride, clip });
    Ok(simd::run(Average { i, j, map: &map, stride, clip, limits }))
}

/// Sums over the pixels of a cell.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    residual: f64,
    x: f64,
    y: f64,
}

/// The means of the cells.
struct Average<'a> {
    i: Sight<'a>,
    j: Sight<'a>,
    map: &'a Map,
    stride: usize,
    clip: f64,
    limits: Limits,
}

impl simd::Loop for Average<'_> {
    type Output = Difference;
    #[inline(always)]
    fn run(self) -> Difference {
        let Self { i, j, map, stride, clip, limits: Limits { plane, reach, spread } } = self;
        let mut sums = vec![Sums::default(); map.count[0].div_ceil(BLOCKS) * map.count[1].div_ceil(BLOCKS)];
        let width = map.count[1].div_ceil(BLOCKS);
        let mut clipped = 0;
        for row in 0..map.count[0] {
            for column in 0..map.count[1] {
                // A lane a pixel: sums that need no order are done on many at a time.
                let (mut count, mut residual, mut above, mut outside) =
                    ([0.0_f32; BLOCK], [0.0_f32; BLOCK], [0.0_f32; BLOCK], [0.0_f32; BLOCK]);
                let [y0, mut x0] = [(map.first[0] + row) * BLOCK, 0];
                rows(i, j, map, [row, column], stride, 0..BLOCK, |y, first, values| {
                    let level = (plane[0] + plane[1] * first as f64 + plane[2] * y as f64) as f32;
                    let (slope, height) = ((plane[1] * stride as f64) as f32, (y - y0) as f32);
                    for k in 0..BLOCK {
                        let r = values[k] - (level + slope * k as f32);
                        // NaN is neither near nor far.
                        let near = r.abs() <= reach as f32;
                        count[k] += if near { 1.0 } else { 0.0 };
                        residual[k] += if near { r } else { 0.0 };
                        above[k] += if near { height } else { 0.0 };
                        outside[k] += if r.abs() > reach as f32 { 1.0 } else { 0.0 };
                    }
                    x0 = first;
                });
                let cell = &mut sums[row / BLOCKS * width + column / BLOCKS];
                for k in 0..BLOCK {
                    let n = f64::from(count[k]);
                    cell.count += n;
                    cell.residual += f64::from(residual[k]);
                    cell.x += n * (x0 + k * stride) as f64;
                    cell.y += n * y0 as f64 + f64::from(above[k]);
                    clipped += outside[k] as usize;
                }
            }
        }
        let place_j = |[x, y]: [f64; 2]| {
            let direction = i.grid.direction([x, y]);
            let [row, column] = [y, x].map(|at| at as usize / BLOCK);
            let near = map.block(row - map.first[0], column - map.first[1])[0];
            j.grid.locate(direction, near).unwrap_or(near)
        };
        // The plane was that of a sample; what is left of its error shows in the mean of all.
        let all = sums.iter().fold([0.0; 2], |[n, r], cell| [n + cell.count, r + cell.residual]);
        let short = if all[0] > 0.0 { missing(clip) * all[1] / all[0] } else { 0.0 };
        let cells = sums.iter().filter(|cell| cell.count > 0.0).map(|cell| {
            let place_i = [cell.x / cell.count, cell.y / cell.count];
            let mean =
                plane[0] + plane[1] * place_i[0] + plane[2] * place_i[1] + short + cell.residual / cell.count;
            Cell { count: cell.count as usize, mean, place_i, place_j: place_j(place_i) }
        });
        Difference { cells: cells.collect(), clipped, spread, ratio: map.ratio() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::tests::distorted;
    use super::*;

    /// A number between -0.5 and 0.5 that looks random.
    fn noise(k: usize) -> f64 {
        let mixed = (k as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 40) as f64 / (1 << 24) as f64 - 0.5
    }

    const SHAPES: [[usize; 2]; 2] = [[150, 210], [180, 160]];

    /// A smooth sky on two images, each with a level of its own, noise, bad pixels and hits.
    fn images(turn: f64, shift: [f64; 2], rough: f64, hit: f32) -> [(Vec<f32>, Grid); 2] {
        [(0.0, [0.0; 2], 3.0, 0), (turn, shift, 1.0, 1)].map(|(turn, shift, level, which)| {
            let shape = SHAPES[which];
            let (grid, direction) = distorted(shape, turn, shift);
            let mut pixels: Vec<f32> = (0..shape[0] * shape[1])
                .map(|p| {
                    let sky = direction([(p % shape[1]) as f64, (p / shape[1]) as f64]);
                    let bright = level + 2e4 * (sky.0[0] - 0.3) + rough * noise(p + 99_991 * which);
                    bright as f32
                })
                .collect();
            for k in 0..pixels.len() / 40 {
                pixels[(k * 7919 + which) % (shape[0] * shape[1])] = if k % 3 == 0 { f32::NAN } else { hit };
            }
            (pixels, grid)
        })
    }

    /// D of every pixel by the book: positions by Newton for each, four neighbours, none bad.
    fn plain([(a, i), (b, j)]: &[(Vec<f32>, Grid); 2], stride: usize) -> Vec<([usize; 2], f64)> {
        let ([ny, nx], [height, width]) = (i.shape(), j.shape());
        let mut found = Vec::new();
        for y in (0..ny).step_by(stride) {
            for x in (0..nx).step_by(stride) {
                let Some([u, v]) = j.locate(i.direction([x as f64, y as f64]), [80.0, 80.0]) else {
                    continue;
                };
                if !(u >= 0.0 && v >= 0.0 && u < (width - 1) as f64 && v < (height - 1) as f64) {
                    continue;
                }
                let (column, row, fx, fy) = (u as usize, v as usize, u.fract(), v.fract());
                let at = |dy: usize, dx: usize| f64::from(b[(row + dy) * width + column + dx]);
                let value = (1.0 - fy) * ((1.0 - fx) * at(0, 0) + fx * at(0, 1))
                    + fy * ((1.0 - fx) * at(1, 0) + fx * at(1, 1));
                let d = f64::from(a[y * nx + x]) - value;
                if !d.is_nan() {
                    found.push(([x, y], d));
                }
            }
        }
        found
    }

    #[test]
    fn cells_are_means_of_the_plain_differences() {
        for (turn, shift, stride) in [
            (0.0, [20.0, -30.0], 1),
            (0.02, [-41.3, 20.7], 1),
            (2.0, [10.0, 15.0], 1),
            (-1.3, [60.0, 60.0], 3),
            (0.7, [-70.0, 40.0], 2),
        ] {
            let both = images(turn, shift, 0.3, 5.0);
            let [i, j] = both.each_ref().map(|(pixels, grid)| Sight::new(pixels, grid).unwrap());
            let found = difference(i, j, stride, 1e9).unwrap();
            let truth = plain(&both, stride);
            let count: usize = found.cells.iter().map(|cell| cell.count).sum();
            assert_eq!(found.clipped, 0);
            // Positions differ by a thousandth of a pixel: one at the edge may be in or out.
            assert!(count.abs_diff(truth.len()) <= 3 && count > 500, "{count} {}", truth.len());
            for cell in &found.cells {
                let block = cell.place_i.map(|at| at as usize / CELL);
                let mine: Vec<_> = truth.iter().filter(|(at, _)| at.map(|n| n / CELL) == block).collect();
                if mine.len() != cell.count {
                    continue;
                }
                let sum = mine
                    .iter()
                    .fold([0.0; 3], |[d, x, y], (at, value)| [d + value, x + at[0] as f64, y + at[1] as f64]);
                let mean = sum.map(|sum| sum / mine.len() as f64);
                assert!((cell.mean - mean[0]).abs() < 0.01, "{cell:?} {mean:?}");
                assert!((0..2).all(|k| (cell.place_i[k] - mean[k + 1]).abs() < 1e-6), "{cell:?} {mean:?}");
            }
        }
    }

    #[test]
    fn outliers_are_clipped_and_the_level_is_left() {
        let both = images(0.02, [25.0, 10.0], 0.3, 500.0);
        let [i, j] = both.each_ref().map(|(pixels, grid)| Sight::new(pixels, grid).unwrap());
        let found = difference(i, j, 1, 3.0).unwrap();
        let count: f64 = found.cells.iter().map(|cell| cell.count as f64).sum();
        let mean = found.cells.iter().map(|cell| cell.count as f64 * cell.mean).sum::<f64>() / count;
        assert!((mean - 2.0).abs() < 0.004, "{mean}");
        // Hits in either image, seen in four pixels if they are in j: how many is told by the plain differences.
        let far = plain(&both, 1).iter().filter(|(_, d)| (d - 2.0).abs() > 0.45).count();
        assert!(far > 500 && found.clipped.abs_diff(far) < far / 50, "{} {far}", found.clipped);
        assert!((found.ratio - 1.0).abs() < 0.01);
        // Noise uniform over 0.3 in i, smoothed by interpolation in j.
        assert!((0.07..0.16).contains(&found.spread), "{}", found.spread);
    }

    #[test]
    fn a_slope_survives_the_clip() {
        let mut both = images(0.0, [15.0, 8.0], 0.1, 500.0);
        let nx = SHAPES[0][1];
        both[0].0.iter_mut().enumerate().for_each(|(p, value)| *value += 0.02 * (p % nx) as f32);
        let [i, j] = both.each_ref().map(|(pixels, grid)| Sight::new(pixels, grid).unwrap());
        let found = difference(i, j, 1, 3.0).unwrap();
        for cell in found.cells.iter().filter(|cell| cell.count > 400) {
            assert!((cell.mean - 2.0 - 0.02 * cell.place_i[0]).abs() < 0.02, "{cell:?}");
        }
    }

    #[test]
    fn images_apart_or_without_pixels_have_no_cells() {
        let both = images(0.0, [2000.0, 0.0], 0.1, 500.0);
        let [i, j] = both.each_ref().map(|(pixels, grid)| Sight::new(pixels, grid).unwrap());
        assert!(difference(i, j, 1, 3.0).unwrap().cells.is_empty());
        let nothing = vec![f32::NAN; both[0].0.len()];
        let blind = Sight::new(&nothing, &both[0].1).unwrap();
        let found = difference(blind, i, 1, 3.0).unwrap();
        assert!(found.cells.is_empty() && found.spread.is_nan());
        assert!(difference(i, j, 0, 3.0).is_err() && difference(i, j, 1, 0.0).is_err());
        assert!(Sight::new(&nothing[1..], &both[0].1).is_err());
    }
}
