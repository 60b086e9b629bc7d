//! The reads of an exposure, cut into bands of rows for threads and into runs of pixels for the cache.

use crate::view::Region;
use crate::{Error, Result};
use std::ops::Range;
use std::slice::ChunksMut;

/// Pixels of a run at most: all that the steps need of them stays in the first-level cache.
pub const RUN: usize = 256;

/// Rows worked by one thread at a time.
const BAND_ROWS: usize = 16;

/// The reads of an exposure, to be changed.
#[derive(Debug)]
pub struct Reads<'a> {
    /// Signal.
    sci: &'a mut [f32],
    /// Uncertainty.
    err: &'a mut [f32],
    /// Flags.
    dq: &'a mut [u16],
    /// `[nread, ny, nx]`.
    pub shape: [usize; 3],
}

/// Some rows of all reads.
#[derive(Debug)]
pub struct Band<'a> {
    /// Which rows.
    pub y: Range<usize>,
    /// Signal of each read.
    pub sci: Vec<&'a mut [f32]>,
    /// Uncertainty of each read.
    pub err: Vec<&'a mut [f32]>,
    /// Flags of each read.
    pub dq: Vec<&'a mut [u16]>,
}

impl<'a> Reads<'a> {
    /// Wrap three cubes of one shape.
    pub fn new([sci, err]: [&'a mut [f32]; 2], dq: &'a mut [u16], shape: [usize; 3]) -> Result<Self> {
        let size: usize = shape.iter().product();
        for (name, len) in [("sci", sci.len()), ("err", err.len()), ("dq", dq.len())] {
            if len != size {
                return Err(Error::Shape { name, got: vec![len], expected: shape.to_vec() });
            }
        }
        Ok(Self { sci, err, dq, shape })
    }

    /// All rows, some at a time.
    pub fn bands(self) -> Vec<Band<'a>> {
        fn planes<T>(cube: &mut [T], [_, ny, nx]: [usize; 3]) -> Vec<ChunksMut<'_, T>> {
            cube.chunks_mut(ny * nx).map(|plane| plane.chunks_mut(BAND_ROWS * nx)).collect()
        }
        fn next<'a, T>(planes: &mut [ChunksMut<'a, T>]) -> Vec<&'a mut [T]> {
            planes.iter_mut().filter_map(Iterator::next).collect()
        }
        let (mut sci, mut err) = (planes(self.sci, self.shape), planes(self.err, self.shape));
        let mut dq = planes(self.dq, self.shape);
        let ny = self.shape[1];
        let bands = (0..ny).step_by(BAND_ROWS).map(|start| Band {
            y: start..ny.min(start + BAND_ROWS),
            sci: next(&mut sci),
            err: next(&mut err),
            dq: next(&mut dq),
        });
        bands.collect()
    }
}

/// Runs of row `y` (of `nx` pixels) that lie on one side of column `split`, and inside or outside of `region`.
pub fn runs(y: usize, nx: usize, region: &Region, split: isize) -> impl Iterator<Item = Range<usize>> {
    let inside = if region.y.contains(&y) { region.x.clone() } else { 0..0 };
    let mut edges = [0, usize::try_from(split).unwrap_or(0).min(nx), inside.start, inside.end, nx];
    edges.sort_unstable();
    let parts = (1..edges.len()).map(move |i| edges[i - 1]..edges[i]);
    parts.flat_map(|part| part.clone().step_by(RUN).map(move |x| x..part.end.min(x + RUN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_a_row_once_and_break_at_the_edges() {
        let region = Region { y: 1..3, x: 2..600 };
        let of = |y, split| runs(y, 603, &region, split).collect::<Vec<_>>();
        assert_eq!(of(1, 300), [0..2, 2..258, 258..300, 300..556, 556..600, 600..603]);
        assert_eq!(of(0, -5), [0..256, 256..512, 512..603]);
        assert_eq!(of(0, 9999), [0..256, 256..512, 512..603]);
    }

    #[test]
    fn bands_hold_every_row_of_every_read_once() {
        let shape = [2, 2 * BAND_ROWS + 3, 4];
        let size: usize = shape.iter().product();
        let (mut sci, mut err, mut dq) = (vec![0.0; size], vec![0.0; size], vec![0u16; size]);
        for band in Reads::new([&mut sci, &mut err], &mut dq, shape).unwrap().bands() {
            for plane in band.dq {
                assert_eq!(plane.len(), band.y.len() * 4);
                plane.iter_mut().for_each(|dq| *dq += 1);
            }
        }
        assert!(dq.iter().all(|&dq| dq == 1));
        assert!(Reads::new([&mut sci, &mut err], &mut dq[1..], shape).is_err());
    }
}
