//! Borrowed arrays whose shape has been checked once, at the door.

use crate::{Error, Result};
use std::ops::Range;

/// A stack of reads, `(nread, ny, nx)` in C order, zeroth read first.
#[derive(Debug, Clone, Copy)]
pub struct Cube<'a, T> {
    data: &'a [T],
    shape: [usize; 3],
}

impl<'a, T> Cube<'a, T> {
    /// Wrap `data`, which must hold exactly `shape`.
    pub fn new(name: &'static str, data: &'a [T], shape: [usize; 3]) -> Result<Self> {
        if data.len() != shape.iter().product() {
            return Err(Error::Shape { name, got: vec![data.len()], expected: shape.to_vec() });
        }
        Ok(Self { data, shape })
    }

    /// `[nread, ny, nx]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All pixels of one read.
    pub fn plane(&self, read: usize) -> &'a [T] {
        let size = self.shape[1] * self.shape[2];
        &self.data[read * size..(read + 1) * size]
    }

    /// All pixels of all reads.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Refuse unless `other` is shaped like this cube.
    pub fn same_shape<U>(&self, name: &'static str, other: &Cube<'_, U>) -> Result<()> {
        if other.shape == self.shape {
            return Ok(());
        }
        Err(Error::Shape { name, got: other.shape.to_vec(), expected: self.shape.to_vec() })
    }
}

/// Where a kernel gets its pixels from, read by read, as the type it works with.
///
/// The array behind may hold another type and lie in memory as it likes: a run of a row is converted at a time, so
/// that nothing is copied whole.
pub trait Source<T>: Sync {
    /// `[nread, ny, nx]`.
    fn shape(&self) -> [usize; 3];

    /// Fill `into` with the pixels of `row` from column `start` on.
    fn run(&self, read: usize, row: usize, start: usize, into: &mut [T]);
}

impl<T, S: Copy + Into<T> + Sync> Source<T> for Cube<'_, S> {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn run(&self, read: usize, row: usize, start: usize, into: &mut [T]) {
        let first = row * self.shape[2] + start;
        convert(&self.plane(read)[first..first + into.len()], into);
    }
}

/// Convert a run of pixels that lie side by side.
pub fn convert<T, S: Copy + Into<T>>(from: &[S], into: &mut [T]) {
    for (place, &value) in into.iter_mut().zip(from) {
        *place = value.into();
    }
}

/// Refuse unless `source` has the shape expected.
pub fn expect_shape<T>(name: &'static str, source: &dyn Source<T>, expected: [usize; 3]) -> Result<()> {
    let got = source.shape();
    if got == expected {
        return Ok(());
    }
    Err(Error::Shape { name, got: got.to_vec(), expected: expected.to_vec() })
}

/// The rectangle of an image that a kernel works on: light-sensitive pixels, or a sky region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Rows.
    pub y: Range<usize>,
    /// Columns.
    pub x: Range<usize>,
}

impl Region {
    /// `[y0, y1) x [x0, x1)`, not empty and inside an image of `ny x nx`.
    pub fn new(y: Range<usize>, x: Range<usize>, [ny, nx]: [usize; 2]) -> Result<Self> {
        if y.start >= y.end || y.end > ny || x.start >= x.end || x.end > nx {
            return Err(Error::value(
                "region",
                format!("[{}:{}, {}:{}] of a {ny} x {nx} image", y.start, y.end, x.start, x.end),
                "a rectangle inside the image that is not empty",
            ));
        }
        Ok(Self { y, x })
    }

    /// The whole image.
    pub fn whole([ny, nx]: [usize; 2]) -> Self {
        Self { y: 0..ny, x: 0..nx }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.y.len(), self.x.len()]
    }
}
