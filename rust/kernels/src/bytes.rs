//! FITS is big-endian: swap words where they lie, or on the way to where they shall be written from.

use crate::simd;

/// Words whose bytes can be reversed.
pub trait Word: Copy {
    /// Big-endian to native, or back.
    fn swap_if_little(self) -> Self;
}

impl Word for u16 {
    #[inline(always)]
    fn swap_if_little(self) -> Self {
        Self::from_be(self)
    }
}

impl Word for u32 {
    #[inline(always)]
    fn swap_if_little(self) -> Self {
        Self::from_be(self)
    }
}

/// Turn big-endian words into native ones where they lie (and back: the operation is its own inverse).
pub fn swap_big_endian<T: Word>(words: &mut [T]) {
    struct Swap<'a, T>(&'a mut [T]);
    impl<T: Word> simd::Loop for Swap<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run(self) {
            for word in self.0 {
                *word = word.swap_if_little();
            }
        }
    }
    simd::run(Swap(words));
}

/// Copy words from one order to the other; `into` is as long as `words`.
pub fn copy_swapped<T: Word>(words: &[T], into: &mut [T]) {
    struct Copy<'a, 'b, T>(&'a [T], &'b mut [T]);
    impl<T: Word> simd::Loop for Copy<'_, '_, T> {
        type Output = ();
        #[inline(always)]
        fn run(self) {
            for (word, into) in self.0.iter().zip(self.1) {
                *into = word.swap_if_little();
            }
        }
    }
    simd::run(Copy(words, into));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_swapped() {
        let words: Vec<u16> = (0..37).map(|i| (0x0102u16 + i).to_be()).collect();
        let mut copy = vec![0; words.len()];
        copy_swapped(&words, &mut copy);
        assert!(copy.iter().enumerate().all(|(i, &word)| word == 0x0102 + i as u16));
    }

    #[test]
    fn reverses_bytes_of_every_word() {
        let mut words: Vec<u32> = (0..37).map(|i| (0x0102_0300u32 + i).to_be()).collect();
        swap_big_endian(&mut words);
        assert!(words.iter().enumerate().all(|(i, &word)| word == 0x0102_0300 + i as u32));
        let mut halves = [0x0102u16.to_be(), 0xfffeu16.to_be()];
        swap_big_endian(&mut halves);
        assert_eq!(halves, [0x0102, 0xfffe]);
    }
}
