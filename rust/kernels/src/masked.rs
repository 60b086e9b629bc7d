//! Pixels of an image with NaN where they are not to be used, straight from the bytes of a FITS file.

use crate::{Error, Result, simd};

/// Words as they are stored, and whether their bytes must be reversed to be read.
#[derive(Clone, Copy)]
pub struct Stored<'a, T> {
    /// The words.
    pub words: &'a [T],
    /// Whether they are of the other byte order.
    pub swapped: bool,
}

/// Pixels as native numbers; NaN where `quality` has one of the bits `bad` or `good` is false.
///
/// ```
/// use upramp_kernels::masked::{Stored, masked};
/// let pixels = [1.0f32, 2.0, 3.0].map(|pixel| pixel.to_bits().swap_bytes());
/// let quality = Stored { words: &[0u16, 4, 16], swapped: false };
/// let mut found = [0.0; 3];
/// masked(Stored { words: &pixels, swapped: true }, Some(quality), 4, None, &mut found).unwrap();
/// assert!(found[0] == 1.0 && found[1].is_nan() && found[2] == 3.0);
/// ```
pub fn masked(
    pixels: Stored<'_, u32>,
    quality: Option<Stored<'_, u16>>,
    bad: u16,
    good: Option<&[bool]>,
    into: &mut [f32],
) -> Result<()> {
    let count = pixels.words.len();
    for (name, len) in [
        ("quality", quality.map(|words| words.words.len())),
        ("good", good.map(<[bool]>::len)),
        ("into", Some(into.len())),
    ] {
        if let Some(len) = len.filter(|&len| len != count) {
            return Err(Error::Shape { name, got: vec![len], expected: vec![count] });
        }
    }
    simd::run(Decode { pixels, into });
    if let Some(quality) = quality {
        // The mask is turned rather than every word.
        let bad = if quality.swapped { bad.swap_bytes() } else { bad };
        simd::run(Flag { quality: quality.words, bad, into });
    }
    if let Some(good) = good {
        into.iter_mut().zip(good).filter(|(_, good)| !**good).for_each(|(pixel, _)| *pixel = f32::NAN);
    }
    Ok(())
}

struct Decode<'a, 'b> {
    pixels: Stored<'a, u32>,
    into: &'b mut [f32],
}

impl simd::Loop for Decode<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Stored { words, swapped } = self.pixels;
        for (word, pixel) in words.iter().zip(self.into) {
            *pixel = f32::from_bits(if swapped { word.swap_bytes() } else { *word });
        }
    }
}

struct Flag<'a, 'b> {
    quality: &'a [u16],
    bad: u16,
    into: &'b mut [f32],
}

impl simd::Loop for Flag<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (quality, pixel) in self.quality.iter().zip(self.into) {
            *pixel = if quality & self.bad == 0 { *pixel } else { f32::NAN };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_forbid_a_pixel() {
        let values: Vec<f32> = (0..37).map(|i| i as f32).collect();
        let quality: Vec<u16> = (0..37).map(|i| 1 << (i % 16)).collect();
        let good: Vec<bool> = (0..37).map(|i| i % 5 != 0).collect();
        let bad = 0x8001u16;
        for swapped in [false, true] {
            let turn = |word: u32| if swapped { word.swap_bytes() } else { word };
            let pixels: Vec<u32> = values.iter().map(|value| turn(value.to_bits())).collect();
            let flags: Vec<u16> =
                quality.iter().map(|&word| if swapped { word.swap_bytes() } else { word }).collect();
            let quality_words = Stored { words: &flags[..], swapped };
            let mut found = vec![0.0; 37];
            masked(Stored { words: &pixels, swapped }, Some(quality_words), bad, Some(&good), &mut found)
                .unwrap();
            for i in 0..37 {
                let kept = quality[i] & bad == 0 && good[i];
                assert_eq!(found[i].to_bits(), if kept { values[i] } else { f32::NAN }.to_bits());
            }
        }
    }

    #[test]
    fn sizes_must_fit() {
        let pixels = Stored { words: &[0u32; 4][..], swapped: false };
        let error = masked(pixels, None, 0, Some(&[true; 3]), &mut [0.0; 4]).unwrap_err().to_string();
        assert!(error.starts_with("good"), "{error}");
    }
}
