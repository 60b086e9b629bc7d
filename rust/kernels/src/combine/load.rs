//! From the words of frames, as a file or an array holds them, to rows of lanes.

use super::{Frame, W, WIDE};
use crate::simd;

/// Pixels as they are stored.
pub trait Word: Copy + Sync + 'static {
    /// A pixel of a frame as a number.
    fn number(self, swapped: bool, flipped: bool) -> f32;
    /// A pixel as a key of its own type, for types that are in order without a conversion.
    fn integer(self, swapped: bool, flipped: bool) -> Option<u16>;
    /// Whether `integer` gives one.
    const IS_INTEGER: bool;
}

impl Word for u16 {
    const IS_INTEGER: bool = true;
    #[inline(always)]
    fn number(self, swapped: bool, flipped: bool) -> f32 {
        f32::from(decode(self, swapped, flipped))
    }
    #[inline(always)]
    fn integer(self, swapped: bool, flipped: bool) -> Option<u16> {
        Some(decode(self, swapped, flipped))
    }
}

impl Word for f32 {
    const IS_INTEGER: bool = false;
    #[inline(always)]
    fn number(self, swapped: bool, _: bool) -> f32 {
        if swapped { Self::from_bits(self.to_bits().swap_bytes()) } else { self }
    }
    #[inline(always)]
    fn integer(self, _: bool, _: bool) -> Option<u16> {
        None
    }
}

/// FITS stores an unsigned word less 32768: adding that is to flip the highest bit.
#[inline(always)]
fn decode(word: u16, swapped: bool, flipped: bool) -> u16 {
    let word = if swapped { word.swap_bytes() } else { word };
    if flipped { word ^ 0x8000 } else { word }
}

/// Whether every pixel of the frames can be compared as it is stored: unsigned, none masked, none scaled.
pub fn all_plain<T: Word>(frames: &[Frame<'_, T>]) -> bool {
    T::IS_INTEGER && frames.iter().all(|f| f.bad.is_none() && f.scale == 1.0 && f.zero == 0.0)
}

/// Pixels `start..start + len` of every frame; lanes beyond are zero.
#[inline(always)]
pub fn load_integers<T: Word>(frames: &[Frame<'_, T>], start: usize, len: usize, rows: &mut [[u16; WIDE]]) {
    for (frame, row) in frames.iter().zip(rows) {
        bring::<T, WIDE>(frame.words, start);
        let words = &frame.words[start..start + len];
        // The flags are the same for all pixels of a frame: decided outside of the loop over them.
        match (frame.swapped, frame.flipped) {
            (false, false) => fill(words, row, |word| word.integer(false, false).unwrap_or(0)),
            (false, true) => fill(words, row, |word| word.integer(false, true).unwrap_or(0)),
            (true, false) => fill(words, row, |word| word.integer(true, false).unwrap_or(0)),
            (true, true) => fill(words, row, |word| word.integer(true, true).unwrap_or(0)),
        }
    }
}

/// The same as `scale * (pixel - zero)`, what is masked or not finite as infinity; the number of good pixels of
/// every lane.
#[inline(always)]
pub fn load_numbers<T: Word>(
    frames: &[Frame<'_, T>],
    start: usize,
    len: usize,
    rows: &mut [[f32; W]],
) -> [u32; W] {
    let mut bad = [0u32; W];
    for (frame, row) in frames.iter().zip(rows.iter_mut()) {
        bring::<T, W>(frame.words, start);
        let words = &frame.words[start..start + len];
        let (scale, zero) = (frame.scale, frame.zero);
        match (frame.swapped, frame.flipped) {
            (false, false) => fill(words, row, |word| scale * (word.number(false, false) - zero)),
            (false, true) => fill(words, row, |word| scale * (word.number(false, true) - zero)),
            (true, false) => fill(words, row, |word| scale * (word.number(true, false) - zero)),
            (true, true) => fill(words, row, |word| scale * (word.number(true, true) - zero)),
        }
        if let Some(mask) = frame.bad {
            for (value, &masked) in row.iter_mut().zip(&mask[start..start + len]) {
                *value = if masked { f32::INFINITY } else { *value };
            }
        }
        if !T::IS_INTEGER || frame.bad.is_some() || !scale.is_finite() || !zero.is_finite() {
            for l in 0..W {
                let good = row[l].abs() <= f32::MAX;
                row[l] = if good { row[l] } else { f32::INFINITY };
                bad[l] += u32::from(!good);
            }
        }
    }
    bad.map(|count| frames.len() as u32 - count)
}

/// Ask for what comes a few blocks later: so many frames at a time are more than the processor foresees by itself.
#[inline(always)]
fn bring<T, const N: usize>(words: &[T], start: usize) {
    const BLOCKS: usize = 4;
    const LINE: usize = 64;
    let ahead = start + BLOCKS * N;
    if let Some(words) = words.get(ahead..ahead + N) {
        for word in words.iter().step_by(LINE / size_of::<T>()) {
            simd::prefetch(word);
        }
    }
}

#[inline(always)]
fn fill<T: Copy, K: Copy + Default, const N: usize>(words: &[T], row: &mut [K; N], read: impl Fn(T) -> K) {
    if let Ok(words) = <&[T; N]>::try_from(words) {
        for l in 0..N {
            row[l] = read(words[l]);
        }
        return;
    }
    *row = [K::default(); N];
    for (value, &word) in row.iter_mut().zip(words) {
        *value = read(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<T>(words: &[T]) -> Frame<'_, T> {
        Frame { words, swapped: false, flipped: false, bad: None, sigma: None, scale: 1.0, zero: 0.0 }
    }

    #[test]
    fn stored_words_become_values() {
        let (plain, stored) =
            ([0u16, 1, 32768, 65535], [0u16, 1, 32768, 65535].map(|v| (v ^ 0x8000).to_be()));
        let fits = Frame { swapped: cfg!(target_endian = "little"), flipped: true, ..frame(&stored) };
        let mut rows = [[7u16; WIDE]; 2];
        load_integers(&[frame(&plain), fits], 0, 4, &mut rows);
        assert_eq!(rows[0], rows[1]);
        assert_eq!((rows[0][3], rows[0][4]), (65535, 0));
        let mut numbers = [[7f32; W]; 2];
        assert_eq!(load_numbers(&[frame(&plain), fits], 1, 3, &mut numbers), [2; W]);
        assert_eq!(numbers[1][..4], [1.0, 32768.0, 65535.0, 0.0]);
    }

    #[test]
    fn masked_and_not_finite_are_counted() {
        let words = [1.0f32, f32::NAN, f32::NEG_INFINITY, 4.0];
        let mask = [false, true, false, true];
        let one = Frame { bad: Some(&mask), scale: 2.0, zero: 0.5, ..frame(&words) };
        let mut rows = [[0f32; W]];
        let good = load_numbers(&[one], 0, 4, &mut rows);
        assert_eq!(good[..5], [1, 0, 0, 0, 1]);
        assert_eq!(rows[0][..4], [1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
    }
}
