//! Mean and scatter of the kept values of every lane.

use super::network::Key;

/// Lanes whose sums are in registers at a time.
const GROUP: usize = 16;

/// Mean and sum of squared deviations from it.
#[derive(Debug, Clone, Copy)]
pub struct Moments<const N: usize> {
    /// Mean of the values; NaN without any.
    pub mean: [f64; N],
    /// Sum of the squares of their deviations from the mean; 0 if not asked for.
    pub squares: [f64; N],
}

/// Moments of the `count` values that `keep(row, lane, value)` lets through.
///
/// Sums are of deviations from `pivot`, a value near the middle, in 64 bits: they lose nothing.
#[inline(always)]
pub fn moments<K: Key, const N: usize>(
    rows: &[[K; N]],
    pivot: &[f32; N],
    count: &[u32; N],
    squares: bool,
    keep: impl Fn(usize, usize, f32) -> bool + Copy,
) -> Moments<N> {
    if squares {
        sums::<K, N, true>(rows, pivot, count, keep)
    } else {
        sums::<K, N, false>(rows, pivot, count, keep)
    }
}

#[inline(always)]
fn sums<K: Key, const N: usize, const SQUARES: bool>(
    rows: &[[K; N]],
    pivot: &[f32; N],
    count: &[u32; N],
    keep: impl Fn(usize, usize, f32) -> bool + Copy,
) -> Moments<N> {
    let mut found = Moments { mean: [f64::NAN; N], squares: [0.0; N] };
    for start in (0..N).step_by(GROUP) {
        let (mut first, mut second) = ([0f64; GROUP], [0f64; GROUP]);
        for (r, row) in rows.iter().enumerate() {
            // What is left out may be infinite: replaced, not multiplied by zero. Done in 32 bits, before the lanes
            // are widened.
            let mut values = [0f32; GROUP];
            for l in 0..GROUP {
                let value = row[start + l].number();
                values[l] = if keep(r, start + l, value) { value } else { pivot[start + l] };
            }
            for l in 0..GROUP {
                let off = f64::from(values[l]) - f64::from(pivot[start + l]);
                first[l] += off;
                if SQUARES {
                    second[l] += off * off;
                }
            }
        }
        for l in 0..GROUP {
            let shift = first[l] / f64::from(count[start + l]);
            found.mean[start + l] = f64::from(pivot[start + l]) + shift;
            if SQUARES {
                found.squares[start + l] = (second[l] - first[l] * shift).max(0.0);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::W;

    #[test]
    fn of_what_is_kept() {
        let rows = [[1f32; W], [2.0; W], [6.0; W], [f32::INFINITY; W]];
        let count = std::array::from_fn(|lane| if lane == 1 { 2 } else { 3 });
        let keep = |_, lane, value| value < 10.0 && !(lane == 1 && value < 2.0);
        let found = moments(&rows, &[2.0; W], &count, true, keep);
        assert_eq!((found.mean[0], found.squares[0]), (3.0, 14.0));
        assert_eq!((found.mean[1], found.squares[1]), (4.0, 8.0));
        assert_eq!(moments(&rows, &[2.0; W], &count, false, keep).mean, found.mean);
        assert!(moments(&rows, &[2.0; W], &[0; W], true, |_, _, _| false).mean[0].is_nan());
    }
}
