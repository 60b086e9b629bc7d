//! Mean and scatter of the kept values of every lane.

use super::W;
use super::network::Key;

/// Lanes whose sums are in registers at a time.
const GROUP: usize = 8;

/// Number, mean and sum of squared deviations from it.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// Values.
    pub count: [u32; W],
    /// Their mean; NaN without any.
    pub mean: [f64; W],
    /// Sum of the squares of their deviations from the mean.
    pub squares: [f64; W],
}

/// Moments of the values that `keep(row, lane, value)` lets through.
///
/// Sums are of deviations from `pivot`, a value near the middle, in 64 bits: they lose nothing.
#[inline(always)]
pub fn moments<K: Key>(
    rows: &[[K; W]],
    pivot: &[f32; W],
    keep: impl Fn(usize, usize, f32) -> bool + Copy,
) -> Moments {
    let mut found = Moments { count: [0; W], mean: [f64::NAN; W], squares: [0.0; W] };
    for start in (0..W).step_by(GROUP) {
        let (mut count, mut first, mut second) = ([0u32; GROUP], [0f64; GROUP], [0f64; GROUP]);
        for (r, row) in rows.iter().enumerate() {
            for l in 0..GROUP {
                let value = row[start + l].number();
                let kept = keep(r, start + l, value);
                // What is left out may be infinite: chosen, not multiplied by zero.
                let off = if kept { f64::from(value) - f64::from(pivot[start + l]) } else { 0.0 };
                count[l] += u32::from(kept);
                first[l] += off;
                second[l] += off * off;
            }
        }
        for l in 0..GROUP {
            let shift = first[l] / f64::from(count[l]);
            found.count[start + l] = count[l];
            found.mean[start + l] = f64::from(pivot[start + l]) + shift;
            found.squares[start + l] = (second[l] - first[l] * shift).max(0.0);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_kept() {
        let rows = [[1f32; W], [2.0; W], [6.0; W], [f32::INFINITY; W]];
        let found = moments(&rows, &[2.0; W], |_, lane, value| value < 10.0 && !(lane == 1 && value < 2.0));
        assert_eq!((found.count[0], found.mean[0], found.squares[0]), (3, 3.0, 14.0));
        assert_eq!((found.count[1], found.mean[1], found.squares[1]), (2, 4.0, 8.0));
        let none = moments(&rows, &[2.0; W], |_, _, _| false);
        assert!(none.mean[0].is_nan() && none.count[0] == 0);
    }
}
