//! The only file that knows the machine, and the only one with `unsafe`.
//!
//! A loop over pixels is written once, plainly, and compiled twice: for the baseline instruction set and for
//! AVX2. The compiler never fuses a multiply with an add by itself, so both give the same bits.
#![allow(unsafe_code)]

/// A loop to compile for each instruction set. Mark `run` `#[inline(always)]`.
pub trait Loop {
    /// What the loop returns.
    type Output;
    /// The loop.
    fn run(self) -> Self::Output;
}

/// Run `body` with the widest instructions this processor has.
pub fn run<L: Loop>(body: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just found to have AVX2.
        return unsafe { run_avx2(body) };
    }
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<L: Loop>(body: L) -> L::Output {
    body.run()
}

/// Ask for `data` to be brought nearer, for use soon.
#[inline(always)]
pub fn prefetch<T>(data: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and it changes nothing but the cache.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(data).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

/// Zeros to be written over, on large pages if the system has them: NumPy allocates so too, since the first
/// touch of every small page costs as much as the arithmetic on its pixels.
pub fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    let zeros = vec![T::default(); len];
    #[cfg(target_os = "linux")]
    advise_large_pages(&zeros);
    zeros
}

#[cfg(target_os = "linux")]
fn advise_large_pages<T>(data: &[T]) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    const PAGE: usize = 4096;
    /// Less is not worth a large page (2 MiB).
    const WORTHWHILE: usize = 4 << 20;
    let bytes = size_of_val(data);
    let start = data.as_ptr().cast::<c_void>();
    let skip = start.align_offset(PAGE);
    if bytes >= WORTHWHILE && skip < bytes {
        // SAFETY: the range lies inside one live allocation, and the advice does not change what it holds.
        // Where it is not taken (other page sizes, no such pages) nothing is lost: the result is of no use.
        let _ = unsafe { madvise(start.wrapping_byte_add(skip).cast_mut(), bytes - skip, MADV_HUGEPAGE) };
    }
}
