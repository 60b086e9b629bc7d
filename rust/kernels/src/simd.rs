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

/// Copy to the start of `into`, in order, the values that lie in neither of two ranges, `low <= x < first` and
/// `second < x <= high`: how many they are, and how many lie in the first range. NaN, in neither, is copied.
///
/// What is behind them in `into`, which is as long as `values`, is of no meaning.
///
/// # Panics
/// If `into` is shorter than `values`.
pub fn set_aside(values: &[f32], ranges: [f32; 4], into: &mut [f32]) -> (usize, usize) {
    sieve::<false>(values, ranges, into)
}

/// As [`set_aside`], but the values that lie in one of the ranges are copied.
///
/// # Panics
/// If `into` is shorter than `values`.
pub fn take(values: &[f32], ranges: [f32; 4], into: &mut [f32]) -> (usize, usize) {
    sieve::<true>(values, ranges, into)
}

fn sieve<const INSIDE: bool>(
    values: &[f32],
    [low, first, second, high]: [f32; 4],
    into: &mut [f32],
) -> (usize, usize) {
    let into = &mut into[..values.len()];
    let (done, mut count, mut under) = sieve_whole::<INSIDE>(values, [low, first, second, high], into);
    for &value in &values[done..] {
        // Written always, kept if the place moves on: no branch to mispredict.
        into[count] = value;
        let below = (value >= low) & (value < first);
        count += usize::from((below | (value > second) & (value <= high)) == INSIDE);
        under += usize::from(below);
    }
    (count, under)
}

/// As many as the processor can take in whole vectors: values taken, copied, and in the first range.
#[cfg(not(target_arch = "x86_64"))]
fn sieve_whole<const INSIDE: bool>(_: &[f32], _: [f32; 4], _: &mut [f32]) -> (usize, usize, usize) {
    (0, 0, 0)
}

#[cfg(target_arch = "x86_64")]
fn sieve_whole<const INSIDE: bool>(
    values: &[f32],
    ranges: [f32; 4],
    into: &mut [f32],
) -> (usize, usize, usize) {
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor was just found to have both.
        return unsafe { sieve_avx2::<INSIDE>(values, ranges, into) };
    }
    (0, 0, 0)
}

/// For every mask of eight lanes, the lanes it keeps, in order.
#[cfg(target_arch = "x86_64")]
static LANES_KEPT: [[i32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut kept) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][kept] = lane;
                kept += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn sieve_avx2<const INSIDE: bool>(
    values: &[f32],
    ranges: [f32; 4],
    into: &mut [f32],
) -> (usize, usize, usize) {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm256_and_ps, _mm256_cmp_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_movemask_ps, _mm256_or_ps, _mm256_permutevar8x32_ps, _mm256_set1_ps,
        _mm256_storeu_ps,
    };
    let [low, first, second, high] = ranges.map(|limit| _mm256_set1_ps(limit));
    let turned = if INSIDE { 0 } else { 0xff };
    let (mut count, mut under) = (0, 0);
    let (whole, _) = values.as_chunks::<8>();
    for eight in whole {
        // SAFETY: eight values are there to be loaded.
        let value = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
        let below =
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value, low), _mm256_cmp_ps::<_CMP_LT_OQ>(value, first));
        let above = _mm256_and_ps(
            _mm256_cmp_ps::<_CMP_GT_OQ>(value, second),
            _mm256_cmp_ps::<_CMP_LE_OQ>(value, high),
        );
        let kept = _mm256_movemask_ps(_mm256_or_ps(below, above)) ^ turned;
        let room = &mut into[count..count + 8];
        // SAFETY: an entry of the table has eight lanes, the room eight values. As many values were taken as could be
        // kept, so the room ends where the values taken do.
        unsafe {
            let lanes = _mm256_loadu_si256(LANES_KEPT[kept as usize].as_ptr().cast());
            _mm256_storeu_ps(room.as_mut_ptr(), _mm256_permutevar8x32_ps(value, lanes));
        }
        count += kept.count_ones() as usize;
        under += _mm256_movemask_ps(below).count_ones() as usize;
    }
    (whole.len() * 8, count, under)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_aside_in_order() {
        let values: Vec<f32> =
            (0..1003).map(|i| if i % 41 == 0 { f32::NAN } else { (i * 7919 % 101) as f32 }).collect();
        for limits in [[10.0, 40.0, 45.0, 90.0], [0.0, 0.0, 0.0, 200.0], [5.0, 1.0, 300.0, 200.0]] {
            let [low, first, second, high] = limits;
            let inner = |x: f32| (x >= low && x < first) || (x > second && x <= high);
            let expected: Vec<f32> = values.iter().copied().filter(|&x| !inner(x)).collect();
            let mut into = vec![0.0; values.len()];
            let (count, under) = set_aside(&values, limits, &mut into);
            assert_eq!(under, values.iter().filter(|&&x| x >= low && x < first).count());
            let same = into[..count].iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(count == expected.len() && same, "{limits:?}");
            let expected: Vec<f32> = values.iter().copied().filter(|&x| inner(x)).collect();
            let (count, same_under) = take(&values, limits, &mut into);
            assert_eq!((same_under, &into[..count]), (under, &expected[..]), "{limits:?}");
        }
    }
}
