//! Which pixels of an image are to be used: the others become NaN.

use crate::{Error, Result, simd};

/// Flags of pixels as they are stored, and whether their bytes must be reversed to be read.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// The flags.
    pub words: &'a [u16],
    /// Whether they are of the other byte order.
    pub swapped: bool,
}

impl Stored<'_> {
    /// The bits of a mask where the words have them: one is turned rather than all.
    fn turn(&self, bits: u16) -> u16 {
        if self.swapped { bits.swap_bytes() } else { bits }
    }
}

/// Make pixels NaN where `quality` has one of the bits `bad` or `good` is false. Pixels whose bytes are still in the other
/// order (`swapped`) are read on the way.
///
/// ```
/// use upramp_kernels::masked::{Stored, mask};
/// let mut pixels = [1.0, 2.0, 3.0];
/// let quality = Stored { words: &[0, 4, 16], swapped: false };
/// mask(&mut pixels, false, Some(quality), 4, None).unwrap();
/// assert!(pixels[0] == 1.0 && pixels[1].is_nan() && pixels[2] == 3.0);
/// ```
pub fn mask(
    pixels: &mut [f32],
    swapped: bool,
    quality: Option<Stored<'_>>,
    bad: u16,
    good: Option<&[bool]>,
) -> Result<()> {
    let sizes = [("quality", quality.map(|flags| flags.words.len())), ("good", good.map(<[bool]>::len))];
    for (name, len) in sizes {
        if let Some(len) = len.filter(|&len| len != pixels.len()) {
            return Err(Error::Shape { name, got: vec![len], expected: vec![pixels.len()] });
        }
    }
    match (quality, swapped) {
        (Some(flags), true) => simd::run(Flag::<true> { pixels, quality: flags.words, bad: flags.turn(bad) }),
        (Some(flags), false) => {
            simd::run(Flag::<false> { pixels, quality: flags.words, bad: flags.turn(bad) })
        }
        (None, true) => simd::run(Swap(pixels)),
        (None, false) => {}
    }
    if let Some(good) = good {
        pixels.iter_mut().zip(good).filter(|(_, good)| !**good).for_each(|(pixel, _)| *pixel = f32::NAN);
    }
    Ok(())
}

fn swap(pixel: f32) -> f32 {
    f32::from_bits(pixel.to_bits().swap_bytes())
}

struct Flag<'a, const SWAPPED: bool> {
    pixels: &'a mut [f32],
    quality: &'a [u16],
    bad: u16,
}

impl<const SWAPPED: bool> simd::Loop for Flag<'_, SWAPPED> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (pixel, quality) in self.pixels.iter_mut().zip(self.quality) {
            let value = if SWAPPED { swap(*pixel) } else { *pixel };
            *pixel = if quality & self.bad == 0 { value } else { f32::NAN };
        }
    }
}

struct Swap<'a>(&'a mut [f32]);

impl simd::Loop for Swap<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|pixel| *pixel = swap(*pixel));
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
        for (swapped, turned) in [(false, false), (true, false), (false, true), (true, true)] {
            let words: Vec<u16> =
                quality.iter().map(|&word| if swapped { word.swap_bytes() } else { word }).collect();
            let mut pixels: Vec<f32> =
                values.iter().map(|&value| if turned { swap(value) } else { value }).collect();
            mask(&mut pixels, turned, Some(Stored { words: &words, swapped }), bad, Some(&good)).unwrap();
            for i in 0..37 {
                let kept = quality[i] & bad == 0 && good[i];
                assert_eq!(pixels[i].to_bits(), if kept { values[i] } else { f32::NAN }.to_bits());
            }
        }
        let mut pixels: Vec<f32> = values.iter().map(|&value| swap(value)).collect();
        mask(&mut pixels, true, None, bad, None).unwrap();
        assert_eq!(pixels, values);
    }

    #[test]
    fn sizes_must_fit() {
        let error = mask(&mut [0.0; 4], false, None, 0, Some(&[true; 3])).unwrap_err().to_string();
        assert!(error.starts_with("good"), "{error}");
    }
}
