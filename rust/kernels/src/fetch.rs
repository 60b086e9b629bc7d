//! Bring the samples and flags of a block of pixels together, plane by plane.

use crate::simd::Loop;
use crate::stack::{Flags, Sample, Stack};
use std::ops::Range;

/// Where from, and where to.
pub(crate) struct Fetch<'a, 'b, T, D> {
    pub data: &'a Stack<'b, T>,
    pub dq: Option<&'a Stack<'b, D>>,
    /// Pixels that lie together, and planes.
    pub pixels: Range<usize>,
    pub planes: Range<usize>,
    /// Factor of every pixel's samples, if any.
    pub gain: Option<&'a [f32]>,
    /// Room for the pixels of one plane: plane k goes to `k * size` and on.
    pub size: usize,
    pub samples: &'a mut [f32],
    pub flags: &'a mut [u16],
    /// Set for pixels with any flag, or a sample that is not a finite number.
    pub odd: &'a mut [bool],
    pub scratch: &'a mut Scratch,
}

/// What is seen in any plane of a pixel.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    words: Vec<u16>,
    zeros: Vec<f32>,
}

impl<T: Sample, D: Flags> Loop for Fetch<'_, '_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { data, dq, pixels, planes, gain, size, samples, flags, odd, scratch } = self;
        let len = pixels.len();
        let Scratch { words, zeros } = scratch;
        words.clear();
        words.resize(len, 0);
        zeros.clear();
        zeros.resize(len, 0.0);
        for plane in planes {
            let places = samples[plane * size..][..len].iter_mut().zip(data.run(plane, pixels.clone()));
            match gain {
                None => {
                    for ((place, sample), zero) in places.zip(zeros.iter_mut()) {
                        *place = sample.value();
                        *zero += *place * 0.0;
                    }
                }
                Some(gain) => {
                    for (((place, sample), zero), gain) in places.zip(zeros.iter_mut()).zip(gain) {
                        *place = sample.value() * gain;
                        *zero += *place * 0.0;
                    }
                }
            }
            let Some(dq) = dq else { continue };
            let places = flags[plane * size..][..len].iter_mut().zip(dq.run(plane, pixels.clone()));
            for ((place, word), all) in places.zip(words.iter_mut()) {
                *place = word.word();
                *all |= *place;
            }
        }
        for ((odd, word), zero) in odd[..len].iter_mut().zip(words.iter()).zip(zeros.iter()) {
            // Not-a-number is not 0.
            *odd |= *word != 0 || *zero != 0.0;
        }
    }
}
