//! Where the pixels of an image are on the sky, and where on it a place of the sky is: a grid of exact positions.
//!
//! Positions of every 32nd pixel or so, computed by whoever knows the full WCS, are projected to the plane that
//! touches the sky at their centre; between them there are bicubic Catmull-Rom curves (exact for distortions up to
//! the second order, and an error of h^3 beyond: 1e-6 pixels for those of HST). The way back is Newton's.

use super::Vector;
use crate::{Error, Result};

/// After a step shorter than this, pixels, the place is right to 1e-6: the error goes with the square of the step.
const CONVERGED: f64 = 0.05;
/// Steps after which there is no hope.
const STEPS: usize = 20;

/// Positions of an image on the sky.
#[derive(Debug, Clone)]
pub struct Grid {
    /// East, north and the outward normal of the tangent plane.
    axes: [Vector; 3],
    /// Places of the nodes in the plane, with a frame of extrapolated ones around.
    nodes: Vec<[f64; 2]>,
    /// Nodes in y and x, without the frame.
    count: [usize; 2],
    /// Pixels between nodes in y and x.
    step: [f64; 2],
    /// Pixels of the image in y and x.
    shape: [usize; 2],
}

/// A place and how it moves with x and y.
struct Place {
    at: [f64; 2],
    along_x: [f64; 2],
    along_y: [f64; 2],
}

impl Grid {
    /// From unit vectors to the nodes: `count` (y, x) of them, row by row, evenly from the centre of the first pixel
    /// of an image of `shape` (ny, nx) to that of the last.
    pub fn new(vectors: &[Vector], count: [usize; 2], shape: [usize; 2]) -> Result<Self> {
        if vectors.len() != count[0] * count[1] || count.iter().any(|&n| n < 3) {
            let got = vec![vectors.len()];
            return Err(Error::Shape {
                name: "nodes",
                got,
                expected: vec![count[0].max(3), count[1].max(3)],
            });
        }
        if shape.iter().any(|&n| n < 2) {
            return Err(Error::value("shape", format!("{shape:?}"), "two pixels or more each way"));
        }
        if let Some(bad) = vectors.iter().find(|v| v.norm().is_nan() || (v.norm() - 1.0).abs() > 1e-9) {
            return Err(Error::value("nodes", format!("{:?}", bad.0), "unit vectors"));
        }
        let normal = vectors.iter().fold(Vector([0.0; 3]), |sum, &v| sum + v).unit();
        // Any direction in the plane will do; the one across the shortest component is safe at the poles.
        let shortest = (0..3).min_by(|&a, &b| normal.0[a].abs().total_cmp(&normal.0[b].abs())).unwrap_or(0);
        let mut pole = Vector([0.0; 3]);
        pole.0[shortest] = 1.0;
        let east = pole.cross(normal).unit();
        let axes = [east, normal.cross(east), normal];
        let step = [0, 1].map(|axis| (shape[axis] - 1) as f64 / (count[axis] - 1) as f64);
        let inner: Option<Vec<[f64; 2]>> = vectors.iter().map(|&v| project(&axes, v)).collect();
        let Some(inner) = inner else {
            return Err(Error::value("nodes", "an image of a hemisphere or more", "a smaller one"));
        };
        Ok(Self { axes, nodes: framed(&inner, count), count, step, shape })
    }

    /// Pixels in y and x.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Direction, not of unit length, of the place (x, y) of the image.
    pub fn direction(&self, place: [f64; 2]) -> Vector {
        let [xi, eta] = self.value(place);
        self.axes[0] * xi + self.axes[1] * eta + self.axes[2]
    }

    /// The place (x, y) of a direction, looked for from `start`; beyond the image it is extrapolated. None on the
    /// other side of the sky, or if there is no such place.
    pub fn locate(&self, direction: Vector, start: [f64; 2]) -> Option<[f64; 2]> {
        let target = project(&self.axes, direction)?;
        let mut place = start;
        for _ in 0..STEPS {
            let Place { at, along_x, along_y } = self.evaluate(place);
            let miss = [target[0] - at[0], target[1] - at[1]];
            let area = along_x[0] * along_y[1] - along_x[1] * along_y[0];
            let dx = (miss[0] * along_y[1] - miss[1] * along_y[0]) / area;
            let dy = (miss[1] * along_x[0] - miss[0] * along_x[1]) / area;
            place = [place[0] + dx, place[1] + dy];
            if !(dx.is_finite() && dy.is_finite()) {
                return None;
            }
            if dx.abs().max(dy.abs()) < CONVERGED {
                return Some(place);
            }
        }
        None
    }

    /// How the place (x, y) of the image moves with a place in the tangent plane, there: a matrix by rows.
    pub fn inverse_slope(&self, place: [f64; 2]) -> [[f64; 2]; 2] {
        let Place { along_x, along_y, .. } = self.evaluate(place);
        let area = along_x[0] * along_y[1] - along_x[1] * along_y[0];
        [[along_y[1] / area, -along_y[0] / area], [-along_x[1] / area, along_x[0] / area]]
    }

    /// As [`Self::locate`] from a start that is right to a tenth of a pixel or so, with the slope of a place not far:
    /// a single step.
    pub fn refine(&self, direction: Vector, start: [f64; 2], slope: &[[f64; 2]; 2]) -> Option<[f64; 2]> {
        let target = project(&self.axes, direction)?;
        let at = self.value(start);
        let miss = [target[0] - at[0], target[1] - at[1]];
        let step = slope.map(|row| row[0] * miss[0] + row[1] * miss[1]);
        // What is left is the step times the change of the slope, some per cent.
        let near = step.iter().all(|s| s.abs() < CONVERGED);
        if near { Some([start[0] + step[0], start[1] + step[1]]) } else { self.locate(direction, start) }
    }

    /// The cell of a place and where in it: inside the image, even if the place is not.
    fn cell(&self, place: [f64; 2]) -> [(usize, f64); 2] {
        [0, 1].map(|axis| {
            let last = (self.count[axis] - 1) as f64;
            let at = (place[1 - axis] / self.step[axis]).clamp(0.0, last);
            let cell = (at as usize).min(self.count[axis] - 2);
            (cell, at - cell as f64)
        })
    }

    /// Place in the tangent plane.
    fn value(&self, place: [f64; 2]) -> [f64; 2] {
        let [ny, nx] = self.shape.map(|n| (n - 1) as f64);
        if !((0.0..=nx).contains(&place[0]) && (0.0..=ny).contains(&place[1])) {
            return self.evaluate(place).at;
        }
        let [(row, fy), (column, fx)] = self.cell(place);
        let ([wy, _], [wx, _]) = (weights(fy), weights(fx));
        let width = self.count[1] + 2;
        let mut sum = [0.0; 2];
        for k in 0..4 {
            let first = (row + k) * width + column;
            let nodes = &self.nodes[first..first + 4];
            for axis in 0..2 {
                let along = wx[0] * nodes[0][axis]
                    + wx[1] * nodes[1][axis]
                    + wx[2] * nodes[2][axis]
                    + wx[3] * nodes[3][axis];
                sum[axis] += wy[k] * along;
            }
        }
        sum
    }

    /// Catmull-Rom inside, straight on outside.
    fn evaluate(&self, place: [f64; 2]) -> Place {
        let [cell_y, cell_x] = self.cell(place);
        let ([wy, sy], [wx, sx]) = (weights(cell_y.1), weights(cell_x.1));
        let width = self.count[1] + 2;
        let (mut at, mut along_x, mut along_y) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        for row in 0..4 {
            let first = (cell_y.0 + row) * width + cell_x.0;
            let nodes = &self.nodes[first..first + 4];
            for axis in 0..2 {
                let sum = |w: &[f64; 4]| {
                    w[0] * nodes[0][axis]
                        + w[1] * nodes[1][axis]
                        + w[2] * nodes[2][axis]
                        + w[3] * nodes[3][axis]
                };
                let value = sum(&wx);
                at[axis] += wy[row] * value;
                along_x[axis] += wy[row] * sum(&sx);
                along_y[axis] += sy[row] * value;
            }
        }
        let beyond_x = place[0] - (cell_x.0 as f64 + cell_x.1) * self.step[1];
        let beyond_y = place[1] - (cell_y.0 as f64 + cell_y.1) * self.step[0];
        for axis in 0..2 {
            along_x[axis] /= self.step[1];
            along_y[axis] /= self.step[0];
            at[axis] += beyond_x * along_x[axis] + beyond_y * along_y[axis];
        }
        Place { at, along_x, along_y }
    }
}

/// Place of a direction in the tangent plane; None behind it.
fn project(axes: &[Vector; 3], direction: Vector) -> Option<[f64; 2]> {
    let depth = direction.dot(axes[2]);
    (depth > 1e-9).then(|| [direction.dot(axes[0]) / depth, direction.dot(axes[1]) / depth])
}

/// Weights of four nodes at `t` between the second and the third, and their derivatives.
fn weights(t: f64) -> [[f64; 4]; 2] {
    let (t2, t3) = (t * t, t * t * t);
    [
        [
            0.5 * (-t + 2.0 * t2 - t3),
            0.5 * (2.0 - 5.0 * t2 + 3.0 * t3),
            0.5 * (t + 4.0 * t2 - 3.0 * t3),
            0.5 * (t3 - t2),
        ],
        [
            0.5 * (-1.0 + 4.0 * t - 3.0 * t2),
            0.5 * (-10.0 * t + 9.0 * t2),
            0.5 * (1.0 + 8.0 * t - 9.0 * t2),
            0.5 * (3.0 * t2 - 2.0 * t),
        ],
    ]
}

/// Nodes with a frame of one more on every side, where a parabola through the three next to it goes.
fn framed(inner: &[[f64; 2]], [ny, nx]: [usize; 2]) -> Vec<[f64; 2]> {
    let beyond = |a: [f64; 2], b: [f64; 2], c: [f64; 2]| [0, 1].map(|k| 3.0 * (a[k] - b[k]) + c[k]);
    let row = |nodes: &[[f64; 2]]| {
        let mut row = vec![beyond(nodes[0], nodes[1], nodes[2])];
        row.extend_from_slice(nodes);
        row.push(beyond(nodes[nx - 1], nodes[nx - 2], nodes[nx - 3]));
        row
    };
    let rows: Vec<Vec<[f64; 2]>> = inner.chunks_exact(nx).map(row).collect();
    let outer = |a: usize, b: usize, c: usize| -> Vec<[f64; 2]> {
        (0..nx + 2).map(|x| beyond(rows[a][x], rows[b][x], rows[c][x])).collect()
    };
    let mut all = outer(0, 1, 2);
    all.extend(rows.iter().flatten());
    all.extend(outer(ny - 1, ny - 2, ny - 3));
    all
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A grid on a distorted image of 0.13" pixels, as tilted as asked, and the exact direction of a place on it.
    pub(crate) fn distorted(
        shape: [usize; 2],
        turn: f64,
        shift: [f64; 2],
    ) -> (Grid, impl Fn([f64; 2]) -> Vector) {
        let centre = [1, 0].map(|axis| (shape[axis] - 1) as f64 / 2.0);
        let direction = move |[x, y]: [f64; 2]| {
            let (u, v) = (x - centre[0], y - centre[1]);
            // Second order, and third and fourth as large as those of WFC3/IR.
            let p = u + 2.4e-5 * u * v + 5e-8 * v * v + 6e-11 * u * u * v - 1.4e-12 * u * v * v * v;
            let q = v + 3.0e-5 * v * v + 7.0e-6 * u * u - 1.7e-10 * v * v * v + 8e-13 * v * v * v * v;
            let (cos, sin) = (turn.cos(), turn.sin());
            let pixel = (0.13_f64 / 3600.0).to_radians();
            let [xi, eta] = [(cos * p - sin * q + shift[0]) * pixel, (sin * p + cos * q + shift[1]) * pixel];
            Vector([0.3 + xi, 0.5 - 0.2 * xi + eta, 0.8 - eta]).unit()
        };
        let count = shape.map(|n| (n - 1).div_ceil(32).max(2) + 1);
        let step = [0, 1].map(|axis| (shape[axis] - 1) as f64 / (count[axis] - 1) as f64);
        let node = |k: usize| direction([(k % count[1]) as f64 * step[1], (k / count[1]) as f64 * step[0]]);
        let vectors: Vec<Vector> = (0..count[0] * count[1]).map(node).collect();
        (Grid::new(&vectors, count, shape).unwrap(), direction)
    }

    #[test]
    fn there_and_back_within_a_thousandth_of_a_pixel() {
        let (grid, direction) = distorted([500, 700], 0.4, [30.0, -20.0]);
        for place in [[0.0, 0.0], [699.0, 499.0], [350.3, 249.1], [5.5, 480.2], [-0.4, 12.0], [699.4, 499.4]]
        {
            let found = grid.locate(direction(place), [350.0, 250.0]).unwrap();
            assert!((0..2).all(|k| (found[k] - place[k]).abs() < 1e-3), "{place:?}: {found:?}");
            let back = grid.locate(grid.direction(place), [0.0, 0.0]).unwrap();
            assert!((0..2).all(|k| (back[k] - place[k]).abs() < 1e-4), "{place:?}: {back:?}");
        }
        assert!(grid.locate(Vector([-0.3, -0.5, -0.8]), [0.0, 0.0]).is_none());
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        let up = Vector([0.0, 0.0, 1.0]);
        assert!(Grid::new(&[up; 9], [3, 4], [50, 50]).is_err());
        assert!(Grid::new(&[up; 4], [2, 2], [50, 50]).is_err());
        assert!(Grid::new(&[up; 9], [3, 3], [1, 50]).is_err());
        assert!(Grid::new(&[Vector([f64::NAN; 3]); 9], [3, 3], [50, 50]).is_err());
    }
}
