//! Reference images, seen from the exposure they belong to.
//!
//! A reference file of two hundred megabytes is used once for an exposure: rather than being brought to native
//! byte order as a whole, its bytes are decoded run by run, while they are in cache for the arithmetic anyway.

use crate::{Error, Result};
use std::ops::Range;

/// A number that a FITS file stores big-endian.
pub trait Pixel: Copy {
    /// Turn the bytes of as many numbers as `into` holds into numbers.
    fn decode(bytes: &[u8], into: &mut [Self]);
}

impl Pixel for f32 {
    #[inline(always)]
    fn decode(bytes: &[u8], into: &mut [Self]) {
        for (value, &bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
            *value = Self::from_be_bytes(bytes);
        }
    }
}

impl Pixel for u16 {
    #[inline(always)]
    fn decode(bytes: &[u8], into: &mut [Self]) {
        for (value, &bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
            *value = Self::from_be_bytes(bytes);
        }
    }
}

/// Pixels as they lie in memory.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a, T> {
    /// Numbers.
    Native(&'a [T]),
    /// Big-endian, as in a FITS file.
    File(&'a [u8]),
}

impl<T> Pixels<'_, T> {
    fn len(&self) -> usize {
        match self {
            Self::Native(data) => data.len(),
            Self::File(bytes) => bytes.len() / size_of::<T>(),
        }
    }
}

/// A reference image whose pixel `at` falls on the exposure's first light-sensitive pixel.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a, T> {
    data: Pixels<'a, T>,
    nx: usize,
    at: [usize; 2],
}

impl<'a, T: Pixel> Image<'a, T> {
    /// Lay `data` of `shape` under `covered` light-sensitive pixels, which must all lie on it.
    pub fn new(
        name: &'static str,
        data: Pixels<'a, T>,
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

    /// Put pixels `x` of row `y`, counted from the first light-sensitive pixel, to the beginning of `into`.
    #[inline(always)]
    pub fn read<'s>(&self, y: usize, x: Range<usize>, into: &'s mut [T]) -> &'s [T] {
        let row = (self.at[0] + y) * self.nx + self.at[1];
        let here = row + x.start..row + x.end;
        let into = &mut into[..x.len()];
        match self.data {
            Pixels::Native(data) => into.copy_from_slice(&data[here]),
            Pixels::File(bytes) => {
                T::decode(&bytes[here.start * size_of::<T>()..here.end * size_of::<T>()], into);
            }
        }
        into
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_start_where_the_exposure_does() {
        let data: Vec<u16> = (0..20).collect();
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut space = [0; 3];
        for pixels in [Pixels::Native(&data), Pixels::File(&bytes)] {
            let image = Image::new("node", pixels, [4, 5], [1, 2], [3, 3]).unwrap();
            assert_eq!(image.read(0, 0..3, &mut space), [7, 8, 9]);
            assert_eq!(image.read(2, 1..3, &mut space), [18, 19]);
            assert!(Image::new("node", pixels, [4, 5], [2, 2], [3, 3]).is_err());
            assert!(Image::new("node", pixels, [5, 5], [1, 2], [3, 3]).is_err());
        }
    }

    #[test]
    fn numbers_keep_their_bits() {
        let data = [1.5f32, -0.0, f32::NAN, f32::MIN_POSITIVE / 4.0];
        let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_be_bytes()).collect();
        let mut space = [0.0; 4];
        let image = Image::new("dark", Pixels::File(&bytes), [1, 4], [0, 0], [1, 4]).unwrap();
        let read = image.read(0, 0..4, &mut space);
        assert!(read.iter().zip(data).all(|(read, value)| read.to_bits() == value.to_bits()));
    }
}
