//! Integrations of groups of pixels, borrowed wherever they lie: planes may be apart, or rows, not pixels of a row.

use crate::{Error, Result};
use std::ops::Range;

/// A stored number that a sample may be.
pub trait Sample: Copy + Sync {
    /// As the kernels read it; exact.
    fn value(self) -> f32;
}

impl Sample for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

impl Sample for u16 {
    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }
}

/// A stored word of flags.
pub trait Flags: Copy + Sync + Send + Default {
    /// As the kernels read it.
    fn word(self) -> u16;
    /// Back again; what does not fit is lost.
    fn of(word: u16) -> Self;
}

impl Flags for u8 {
    #[inline(always)]
    fn word(self) -> u16 {
        u16::from(self)
    }

    #[inline(always)]
    fn of(word: u16) -> Self {
        word as Self
    }
}

impl Flags for u16 {
    #[inline(always)]
    fn word(self) -> u16 {
        self
    }

    #[inline(always)]
    fn of(word: u16) -> Self {
        word
    }
}

/// `(nints, ngroups, ny, nx)`: lines of pixels that lie together, as long as a plane or as a row.
#[derive(Debug, Clone)]
pub struct Stack<'a, T> {
    lines: Vec<&'a [T]>,
    shape: [usize; 4],
    width: usize,
}

impl<'a, T> Stack<'a, T> {
    /// Wrap `lines`, in order: every plane of `shape` in one, or every row.
    pub fn new(name: &'static str, lines: Vec<&'a [T]>, shape: [usize; 4]) -> Result<Self> {
        let [nints, ngroups, ny, nx] = shape;
        let planes = nints * ngroups;
        let width = if lines.len() == planes { ny * nx } else { nx };
        let fits = lines.len() == planes || lines.len() == planes * ny;
        if !fits || lines.iter().any(|line| line.len() != width) {
            let got = vec![lines.len(), lines.first().map_or(0, |line| line.len())];
            return Err(Error::Shape { name, got, expected: shape.to_vec() });
        }
        Ok(Self { lines, shape, width })
    }

    /// Wrap `data`, which holds exactly `shape`.
    pub fn whole(name: &'static str, data: &'a [T], shape: [usize; 4]) -> Result<Self> {
        let [nints, ngroups, ny, nx] = shape;
        if data.len() != shape.iter().product() || ny * nx == 0 {
            return Err(Error::Shape { name, got: vec![data.len()], expected: shape.to_vec() });
        }
        let lines: Vec<_> = data.chunks(ny * nx).collect();
        debug_assert_eq!(lines.len(), nints * ngroups);
        Self::new(name, lines, shape)
    }

    /// `[nints, ngroups, ny, nx]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Pixels of a plane.
    pub fn pixels(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// How many pixels from flat pixel `first` on lie together.
    pub fn rest(&self, first: usize) -> usize {
        self.width - first % self.width
    }

    /// Pixels of a plane (`integration * ngroups + group`), which must lie together.
    pub fn run(&self, plane: usize, pixels: Range<usize>) -> &'a [T] {
        let per_plane = self.lines.len() / (self.shape[0] * self.shape[1]);
        let (line, at) = (pixels.start / self.width, pixels.start % self.width);
        &self.lines[plane * per_plane + line][at..at + pixels.len()]
    }

    /// Refuse unless `other` is shaped like this stack.
    pub fn same_shape<U>(&self, name: &'static str, other: &Stack<'_, U>) -> Result<()> {
        if other.shape == self.shape {
            return Ok(());
        }
        Err(Error::Shape { name, got: other.shape.to_vec(), expected: self.shape.to_vec() })
    }
}

/// A number for every pixel.
#[derive(Debug, Clone, Copy)]
pub enum PerPixel<'a> {
    /// The same for all.
    Same(f32),
    /// One each, `(ny, nx)`.
    Each(&'a [f32]),
}

impl PerPixel<'_> {
    /// The number of a pixel.
    #[inline(always)]
    pub fn at(&self, pixel: usize) -> f32 {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values[pixel],
        }
    }

    /// Refuse an image of another size.
    pub fn check(&self, name: &'static str, [ny, nx]: [usize; 2]) -> Result<()> {
        match self {
            Self::Each(values) if values.len() != ny * nx => {
                Err(Error::Shape { name, got: vec![values.len()], expected: vec![ny, nx] })
            }
            _ => Ok(()),
        }
    }
}

/// Cut planes into bands: for every band, its part of every plane.
pub fn cut<T>(data: &mut [T], plane: usize, band: usize) -> Vec<Vec<&mut [T]>> {
    let mut bands: Vec<Vec<&mut [T]>> = (0..plane.div_ceil(band)).map(|_| Vec::new()).collect();
    for image in data.chunks_mut(plane) {
        for (part, place) in image.chunks_mut(band).zip(&mut bands) {
            place.push(part);
        }
    }
    bands
}

/// Blocks of up to `size` pixels, each so short that `rest` says its pixels lie together.
pub fn blocks(
    pixels: Range<usize>,
    size: usize,
    rest: impl Fn(usize) -> usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut at = pixels.start;
    std::iter::from_fn(move || {
        let run = size.min(pixels.end - at).min(rest(at));
        at += run;
        (run > 0).then_some(at - run..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_planes_read_alike() -> Result<()> {
        let data: Vec<u16> = (0..24).collect();
        let shape = [1, 2, 3, 4];
        let planes = Stack::whole("data", &data, shape)?;
        let rows = Stack::new("data", data.chunks(4).collect(), shape)?;
        assert_eq!((planes.rest(5), rows.rest(5)), (7, 3));
        for stack in [planes, rows] {
            assert_eq!(stack.run(1, 5..8), [17, 18, 19]);
        }
        assert!(Stack::new("data", data.chunks(6).collect(), shape).is_err());
        assert!(Stack::whole("data", &data[1..], shape).is_err());
        Ok(())
    }
}
