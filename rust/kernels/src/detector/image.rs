//! Reference images, seen from the exposure they belong to.

use crate::{Error, Result};
use std::ops::Range;

/// A reference image whose pixel `at` falls on the exposure's first light-sensitive pixel.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a, T> {
    data: &'a [T],
    nx: usize,
    at: [usize; 2],
}

impl<'a, T> Image<'a, T> {
    /// Lay `data` of `shape` under `covered` light-sensitive pixels, which must all lie on it.
    pub fn new(
        name: &'static str,
        data: &'a [T],
        shape: [usize; 2],
        at: [usize; 2],
        covered: [usize; 2],
    ) -> Result<Self> {
        let inside = (0..2).all(|axis| at[axis] + covered[axis] <= shape[axis]);
        if !inside || data.len() != shape[0] * shape[1] {
            let expected = vec![at[0] + covered[0], at[1] + covered[1]];
            return Err(Error::Shape { name, got: shape.to_vec(), expected });
        }
        Ok(Self { data, nx: shape[1], at })
    }

    /// Pixels `x` of row `y`, counted from the first light-sensitive pixel.
    #[inline(always)]
    pub fn run(&self, y: usize, x: Range<usize>) -> &'a [T] {
        let row = (self.at[0] + y) * self.nx + self.at[1];
        &self.data[row + x.start..row + x.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_start_where_the_exposure_does() {
        let data: Vec<u16> = (0..20).collect();
        let image = Image::new("node", &data, [4, 5], [1, 2], [3, 3]).unwrap();
        assert_eq!(image.run(0, 0..3), [7, 8, 9]);
        assert_eq!(image.run(2, 1..3), [18, 19]);
        assert!(Image::new("node", &data, [4, 5], [2, 2], [3, 3]).is_err());
    }
}
