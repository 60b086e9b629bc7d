//! Medians of many pixels at once by networks of compare-exchanges.
//!
//! `out[x]` is the median of `inputs[0][x] .. inputs[K-1][x]`: a median along a row takes shifted views of one row,
//! one down the columns takes `K` rows. The loop over `x` holds nothing but minima and maxima, so the compiler
//! turns it into vector instructions (under [`crate::simd::run`], eight pixels at a time). The median of finite
//! numbers does not depend on the network. Networks for 5 to 9 inputs: Knuth, TAOCP 3, 5.3.4, and Devillard 1998;
//! for 25: Paeth 1990 as refined by Devillard. Their tests are exhaustive up to 9 inputs (zero-one principle).

/// Minimum and maximum of two elements in their places; what is not used later costs nothing.
macro_rules! exchange {
    ($p:ident; $($i:literal $j:literal),*) => {
        $(
            let (a, b) = ($p[$i], $p[$j]);
            $p[$i] = if a < b { a } else { b };
            $p[$j] = if a < b { b } else { a };
        )*
    };
}

/// Median of 5.
#[inline(always)]
fn middle5(mut p: [f32; 5]) -> f32 {
    exchange!(p; 0 1, 3 4, 0 3, 1 4, 1 2, 2 3, 1 2);
    p[2]
}

/// Median of 7.
#[inline(always)]
fn middle7(mut p: [f32; 7]) -> f32 {
    exchange!(p; 0 5, 0 3, 1 6, 2 4, 0 1, 3 5, 2 6, 2 3, 3 6, 4 5, 1 4, 1 3, 3 4);
    p[3]
}

/// Median of 9.
#[inline(always)]
fn middle9(mut p: [f32; 9]) -> f32 {
    exchange!(p; 1 2, 4 5, 7 8, 0 1, 3 4, 6 7, 1 2, 4 5, 7 8, 0 3, 5 8, 4 7, 3 6, 1 4, 2 5, 4 7, 4 2, 6 4, 4 2);
    p[4]
}

/// Median of 25.
#[inline(always)]
fn middle25(mut p: [f32; 25]) -> f32 {
    exchange!(p; 0 1, 3 4, 2 4, 2 3, 6 7, 5 7, 5 6, 9 10, 8 10, 8 9, 12 13, 11 13, 11 12, 15 16, 14 16, 14 15);
    exchange!(p; 18 19, 17 19, 17 18, 21 22, 20 22, 20 21, 23 24, 2 5, 3 6, 0 6, 0 3, 4 7, 1 7, 1 4, 11 14, 8 14);
    exchange!(p; 8 11, 12 15, 9 15, 9 12, 13 16, 10 16, 10 13, 20 23, 17 23, 17 20, 21 24, 18 24, 18 21, 19 22);
    exchange!(p; 8 17, 9 18, 0 18, 0 9, 10 19, 1 19, 1 10, 11 20, 2 20, 2 11, 12 21, 3 21, 3 12, 13 22, 4 22);
    exchange!(p; 4 13, 14 23, 5 23, 5 14, 15 24, 6 24, 6 15, 7 16, 7 19, 13 21, 15 23, 7 13, 7 15, 1 9, 3 11);
    exchange!(p; 5 17, 11 17, 9 17, 4 10, 6 12, 7 14, 4 6, 4 7, 12 14, 10 14, 6 7, 10 12, 6 10, 6 17, 12 17);
    exchange!(p; 7 17, 7 10, 12 18, 7 12, 10 18, 12 20, 10 20, 10 12);
    p[12]
}

/// Numbers of inputs there is a network for.
pub trait Network<const K: usize> {
    /// Their median.
    fn middle(p: [f32; K]) -> f32;
}

/// Names the networks.
pub struct Median;

macro_rules! network {
    ($($k:literal $middle:ident),*) => {
        $(impl Network<$k> for Median {
            #[inline(always)]
            fn middle(p: [f32; $k]) -> f32 {
                $middle(p)
            }
        })*
    };
}
network!(5 middle5, 7 middle7, 9 middle9);

/// `out[x]`: the median of the inputs at `x`, for as many `x` as `out` has. Every input must be as long.
#[inline(always)]
pub fn medians<const K: usize>(mut inputs: [&[f32]; K], out: &mut [f32])
where
    Median: Network<K>,
{
    let n = out.len();
    // As long as the output, so that no element needs a check.
    for input in &mut inputs {
        *input = &input[..n];
    }
    for x in 0..n {
        let mut p = [0.0; K];
        for k in 0..K {
            p[k] = inputs[k][x];
        }
        out[x] = Median::middle(p);
    }
}

/// `out[x]`: the median of `row[x] .. row[x + K - 1]`.
#[inline(always)]
pub fn medians_along<const K: usize>(row: &[f32], out: &mut [f32])
where
    Median: Network<K>,
{
    let mut inputs = [row; K];
    for (k, input) in inputs.iter_mut().enumerate() {
        *input = &row[k..];
    }
    medians::<K>(inputs, out);
}

/// `out[x]`: the median of `rows[0][x] .. rows[0][x + 4]` and the same of the other four rows. `out` is a multiple of
/// 8 long, the rows 4 longer.
#[inline(always)]
pub fn medians_square(rows: [&[f32]; 5], out: &mut [f32]) {
    const LANES: usize = 8;
    for (start, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate().map(|(i, out)| (i * LANES, out))
    {
        // Few pointers, and lengths known beforehand: 25 slices would fill all registers.
        let mut near = [[0.0f32; LANES + 4]; 5];
        for j in 0..5 {
            near[j].copy_from_slice(&rows[j][start..start + LANES + 4]);
        }
        for x in 0..LANES {
            let mut p = [0.0; 25];
            for j in 0..5 {
                for i in 0..5 {
                    p[5 * j + i] = near[j][x + i];
                }
            }
            out[x] = middle25(p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that finds the median of all sequences of zeros and ones finds that of all numbers.
    fn all_zeros_and_ones<const K: usize>()
    where
        Median: Network<K>,
    {
        for bits in 0..1u32 << K {
            let p: [f32; K] = std::array::from_fn(|k| (bits >> k & 1) as f32);
            assert_eq!(Median::middle(p) == 1.0, bits.count_ones() as usize > K / 2, "{p:?}");
        }
    }

    #[test]
    fn networks_find_medians() {
        all_zeros_and_ones::<5>();
        all_zeros_and_ones::<7>();
        all_zeros_and_ones::<9>();
    }

    #[test]
    fn the_network_of_25_finds_medians_of_zeros_and_ones() {
        // All 2^25 would take minutes: those with 12 or 13 ones decide, and of them a large sample.
        let mut seed = 1u32;
        for _ in 0..200_000 {
            let mut p = [0.0f32; 25];
            let mut ones = 12 + (seed >> 31) as usize;
            let expected = (ones > 12) as u8 as f32;
            while ones > 0 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = (seed >> 8) as usize % 25;
                if p[place] == 0.0 {
                    p[place] = 1.0;
                    ones -= 1;
                }
            }
            assert_eq!(middle25(p), expected, "{p:?}");
        }
    }

    #[test]
    fn rows_slide() {
        let row = [3.0, 1.0, 2.0, 5.0, 4.0, 9.0];
        let mut out = [0.0; 2];
        medians_along::<5>(&row, &mut out);
        assert_eq!(out, [3.0, 4.0]);
        let rows: [[f32; 12]; 5] =
            std::array::from_fn(|j| std::array::from_fn(|i| ((j * 7 + i * 5) % 19) as f32));
        let mut out = [0.0; 8];
        medians_square(std::array::from_fn(|j| &rows[j][..]), &mut out);
        for x in 0..8 {
            let mut all: Vec<f32> = rows.iter().flat_map(|row| &row[x..x + 5]).copied().collect();
            all.sort_by(f32::total_cmp);
            assert_eq!(out[x], all[12]);
        }
    }
}
