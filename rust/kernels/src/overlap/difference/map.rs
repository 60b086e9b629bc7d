//! Where the pixels of one image lie in another: exact every 16 pixels, straight in between.

use super::{BLOCK, BLOCKS, CELL};
use crate::overlap::grid::Grid;

/// Blocks between exact slopes.
const REFRESH: usize = 8;

/// Places in image j of the corners of blocks of image i.
pub struct Map {
    /// First block in y and x.
    pub first: [usize; 2],
    /// Blocks in y and x.
    pub count: [usize; 2],
    /// Corners, one more than blocks each way; NaN where there is no such place.
    corners: Vec<[f64; 2]>,
}

impl Map {
    /// For the blocks of `i` that may meet `j`; None if none does.
    pub fn new(i: &Grid, j: &Grid) -> Option<Self> {
        let (first, last) = window(i, j)?;
        // Whole cells, so that those of all pairs of an image are the same.
        let first = first.map(|place| place / CELL * BLOCKS);
        let count = [0, 1].map(|axis| last[axis] / BLOCK + 1 - first[axis]);
        let [ny, nx] = j.shape();
        let middle = [(nx - 1) as f64 / 2.0, (ny - 1) as f64 / 2.0];
        let mut corners: Vec<[f64; 2]> = Vec::with_capacity((count[0] + 1) * (count[1] + 1));
        let mut slope = None;
        for row in 0..=count[0] {
            for column in 0..=count[1] {
                let place = [(first[1] + column) * BLOCK, (first[0] + row) * BLOCK].map(|n| n as f64);
                // Straight on from the two corners before, the next is not far.
                let at = corners.len();
                let back = if column > 1 { 1 } else { count[1] + 1 };
                let [near, far] = [back, 2 * back].map(|n| at.checked_sub(n).map(|k| corners[k]));
                let known = |c: &[f64; 2]| !c[0].is_nan();
                let direction = i.direction(place);
                let found = match (near.filter(known), far.filter(known), &slope) {
                    (Some(near), Some(far), Some(slope)) if column % REFRESH != 0 => {
                        let start = [2.0 * near[0] - far[0], 2.0 * near[1] - far[1]];
                        j.refine(direction, start, slope)
                    }
                    (near, ..) => j.locate(direction, near.unwrap_or(middle)),
                };
                if column % REFRESH == 0 {
                    slope = found.map(|at| j.inverse_slope(at));
                }
                corners.push(found.unwrap_or([f64::NAN; 2]));
            }
        }
        Some(Self { first, count, corners })
    }

    /// The corners of a block: (0, 0), (x, 0), (0, y), (x, y).
    pub fn block(&self, row: usize, column: usize) -> [[f64; 2]; 4] {
        let at = row * (self.count[1] + 1) + column;
        let above = at + self.count[1] + 1;
        [self.corners[at], self.corners[at + 1], self.corners[above], self.corners[above + 1]]
    }

    /// Pixels of j in one of i, the mean over all blocks.
    pub fn ratio(&self) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for row in 0..self.count[0] {
            for column in 0..self.count[1] {
                let [a, b, c, d] = self.block(row, column);
                let area = 0.5 * ((d[0] - a[0]) * (c[1] - b[1]) - (d[1] - a[1]) * (c[0] - b[0])).abs();
                if area.is_finite() {
                    (sum, count) = (sum + area, count + 1);
                }
            }
        }
        sum / count as f64 / (BLOCK * BLOCK) as f64
    }
}

/// The pixels of `i`, first and last in y and x, between which the outline of `j` lies.
fn window(i: &Grid, j: &Grid) -> Option<([usize; 2], [usize; 2])> {
    const POINTS: usize = 16;
    let ([ny, nx], shape) = (j.shape().map(|n| (n - 1) as f64), i.shape());
    let middle = [(shape[1] - 1) as f64 / 2.0, (shape[0] - 1) as f64 / 2.0];
    let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
    for k in 0..4 * POINTS {
        let t = (k % POINTS) as f64 / POINTS as f64;
        let place = match k / POINTS {
            0 => [t * nx, 0.0],
            1 => [nx, t * ny],
            2 => [(1.0 - t) * nx, ny],
            _ => [0.0, (1.0 - t) * ny],
        };
        // Where i has no place for j's edge they are far apart there: all of i is looked at.
        let found = i.locate(j.direction(place), middle);
        for axis in 0..2 {
            low[axis] = low[axis].min(found.map_or(0.0, |at| at[1 - axis]));
            high[axis] = high[axis].max(found.map_or((shape[axis] - 1) as f64, |at| at[1 - axis]));
        }
    }
    // A bent outline may reach a little further between its points.
    const MARGIN: f64 = 2.0;
    let inside = |axis: usize| {
        let last = (shape[axis] - 1) as f64;
        let (from, to) = ((low[axis] - MARGIN).max(0.0), (high[axis] + MARGIN).min(last));
        (from <= to).then_some((from as usize, to as usize))
    };
    let (y, x) = (inside(0)?, inside(1)?);
    Some(([y.0, x.0], [y.1, x.1]))
}

/// Where the pixels of a row of a block lie in image j.
#[derive(Clone, Copy)]
pub struct Line {
    /// Its first pixel.
    pub start: [f64; 2],
    /// From one pixel to the next.
    pub slope: [f64; 2],
}

/// The line of pixels of a block at `y` from `x` on, every `stride`-th.
#[inline(always)]
pub fn line(corners: &[[f64; 2]; 4], y: f64, x: f64, stride: f64) -> Line {
    let [a, b, c, d] = corners;
    let t = y / BLOCK as f64;
    let [left, right] = [(a, c), (b, d)].map(|(low, high)| [0, 1].map(|k| low[k] + t * (high[k] - low[k])));
    let slope = [0, 1].map(|k| (right[k] - left[k]) / BLOCK as f64);
    Line { start: [0, 1].map(|k| left[k] + x * slope[k]), slope: slope.map(|s| s * stride) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlap::grid::tests::distorted;

    #[test]
    fn places_are_exact_to_a_hundredth_of_a_pixel() {
        let (i, _) = distorted([1014, 900], 0.0, [0.0; 2]);
        let (j, _) = distorted([1014, 900], 0.7, [80.0, -60.0]);
        let map = Map::new(&i, &j).unwrap();
        let mut worst: f64 = 0.0;
        for row in 0..map.count[0] {
            for column in 0..map.count[1] {
                for (y, x) in [(0, 0), (8, 8), (3, 13), (15, 1)] {
                    let line = line(&map.block(row, column), y as f64, x as f64, 1.0);
                    let place = [(map.first[1] + column) * BLOCK + x, (map.first[0] + row) * BLOCK + y];
                    if place[0] < 900 && place[1] < 1014 {
                        let exact = j.locate(i.direction(place.map(|n| n as f64)), line.start).unwrap();
                        worst = (0..2).map(|k| (exact[k] - line.start[k]).abs()).fold(worst, f64::max);
                    }
                }
            }
        }
        assert!(worst < 0.01, "{worst}");
    }
}
