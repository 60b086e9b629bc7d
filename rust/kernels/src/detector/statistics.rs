//! Statistics of good pixels, as calwf3 puts them into the headers.

use crate::view::Region;

/// Mean, minimum and maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Mean, summed in float64.
    pub mean: f32,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

/// What is said of one read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GoodPixels {
    /// Pixels with none of the flags asked about and a positive error.
    pub count: usize,
    /// Of the signal.
    pub sci: Summary,
    /// Of the error.
    pub err: Summary,
    /// Of signal over error.
    pub snr: Summary,
}

/// Summarise the pixels of `region` with `dq & flags == 0` and `err > 0` (rows are `nx` wide).
pub fn good_pixels(
    sci: &[f32],
    err: &[f32],
    dq: &[u16],
    flags: u16,
    region: &Region,
    nx: usize,
) -> GoodPixels {
    let mut count = 0usize;
    let mut sums = [0.0f64; 3];
    let mut low = [f32::INFINITY; 3];
    let mut high = [f32::NEG_INFINITY; 3];
    for y in region.y.clone() {
        for p in y * nx + region.x.start..y * nx + region.x.end {
            // An error that is not a number does not qualify either.
            let measured = err[p] > 0.0;
            if dq[p] & flags != 0 || !measured {
                continue;
            }
            count += 1;
            for (i, value) in [sci[p], err[p], sci[p] / err[p]].into_iter().enumerate() {
                sums[i] += f64::from(value);
                low[i] = if value < low[i] { value } else { low[i] };
                high[i] = if value > high[i] { value } else { high[i] };
            }
        }
    }
    if count == 0 {
        return GoodPixels::default();
    }
    let summary = |i: usize| Summary { mean: (sums[i] / count as f64) as f32, min: low[i], max: high[i] };
    GoodPixels { count, sci: summary(0), err: summary(1), snr: summary(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_flagged_pixels_and_those_without_error() {
        let region = Region { y: 0..1, x: 0..4 };
        let found = good_pixels(&[1.0, 3.0, 9.0, 9.0], &[1.0, 2.0, 0.0, 1.0], &[0, 2, 0, 4], 4, &region, 4);
        assert_eq!(found.count, 2);
        assert_eq!(found.sci, Summary { mean: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(found.snr, Summary { mean: 1.25, min: 1.0, max: 1.5 });
        assert_eq!(good_pixels(&[1.0], &[1.0], &[1], 1, &Region::whole([1, 1]), 1), GoodPixels::default());
    }
}
