//! The only file that names CPU features, and the only one with `unsafe`.
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
