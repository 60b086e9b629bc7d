//! FITS is big-endian: swap a plane to native order while it is still in cache.

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

#[cfg(test)]
mod tests {
    use super::*;

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
