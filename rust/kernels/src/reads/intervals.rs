//! Statistics of differences of reads, in one pass and without storing the differences.
//!
//! The rate in the interval that ends with read k is `D_k = (C_k - C_(k-1)) / (t_k - t_(k-1))` for accumulated
//! signals C, that is `(t_k R_k - t_(k-1) R_(k-1)) / (t_k - t_(k-1))` for rates R (WFC3 ISR 2018-05, eq. 3): two
//! reads, each with a weight. Cumulative differences `R_(k-1) - R_k` and the reads themselves have the same form.

use crate::stats::robust::{RobustClip, RobustStatistics, robust_statistics};
use crate::view::{Cube, Region};
use crate::{Error, Result, par};

/// `later_weight * read[later] - earlier_weight * read[earlier]`; a read whose weight is 0 is not looked at, but
/// its flags count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Index of the read that adds.
    pub later: usize,
    /// Its factor.
    pub later_weight: f32,
    /// Index of the read that is taken off.
    pub earlier: usize,
    /// Its factor.
    pub earlier_weight: f32,
}

/// Which pixels speak for the background.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Leave out pixels with any of these DQ bits in either read.
    pub bad_dq: u16,
    /// Leave out these pixels (`true`), for instance sources; whole frame.
    pub masked: Option<&'a [bool]>,
    /// Take this image off every difference first, such as what each pixel has of its own; whole frame. A pixel
    /// that is not a number there is left out.
    pub pattern: Option<&'a [f32]>,
    /// Clip outliers.
    pub clip: Option<RobustClip>,
}

/// Statistics of every difference in every region: `[difference][region]`.
pub fn interval_stats(
    cube: &Cube<'_, f32>,
    dq: Option<&Cube<'_, u16>>,
    differences: &[Difference],
    regions: &[Region],
    chosen: &Chosen<'_>,
    threads: usize,
) -> Result<Vec<Vec<RobustStatistics>>> {
    let [nread, ny, nx] = cube.shape();
    if let Some(dq) = dq {
        cube.same_shape("dq", dq)?;
    }
    if let Some(masked) = chosen.masked
        && masked.len() != ny * nx
    {
        return Err(Error::Shape { name: "mask", got: vec![masked.len()], expected: vec![ny, nx] });
    }
    if let Some(pattern) = chosen.pattern
        && pattern.len() != ny * nx
    {
        return Err(Error::Shape { name: "pattern", got: vec![pattern.len()], expected: vec![ny, nx] });
    }
    for region in regions {
        Region::new(region.y.clone(), region.x.clone(), [ny, nx])?;
    }
    if let Some(wrong) = differences.iter().map(|pair| pair.later.max(pair.earlier)).find(|&r| r >= nread) {
        return Err(Error::value("difference", format!("of read {wrong}"), "reads of the cube"));
    }
    let mut found: Vec<Vec<RobustStatistics>> = vec![Vec::new(); differences.len()];
    let scratch = || Scratch::new(regions.len(), nx);
    par::for_each(found.iter_mut().zip(differences), threads, scratch, |scratch, (found, pair)| {
        gather(cube, dq, pair, regions, chosen, scratch);
        let Scratch { values, space, .. } = scratch;
        *found = values.iter_mut().map(|values| robust_statistics(values, chosen.clip, space)).collect();
    });
    Ok(found)
}

/// What one thread works with.
struct Scratch {
    /// Good pixels of each region, side by side.
    values: Vec<Vec<f32>>,
    space: Vec<f32>,
    /// One row of the difference.
    row: Vec<f32>,
    good: Vec<bool>,
}

impl Scratch {
    fn new(regions: usize, nx: usize) -> Self {
        let values = vec![Vec::new(); regions];
        Self { values, space: Vec::new(), row: vec![0.0; nx], good: vec![true; nx] }
    }
}

/// Row by row: the difference and which of its pixels are good, then a copy of them for every region.
fn gather(
    cube: &Cube<'_, f32>,
    dq: Option<&Cube<'_, u16>>,
    pair: &Difference,
    regions: &[Region],
    chosen: &Chosen<'_>,
    scratch: &mut Scratch,
) {
    let [_, _, nx] = cube.shape();
    let Scratch { values, row, good, .. } = scratch;
    values.iter_mut().for_each(Vec::clear);
    let rows = |start: fn(&Region) -> usize| regions.iter().map(start);
    let (first, last) = (rows(|r| r.y.start).min().unwrap_or(0), rows(|r| r.y.end).max().unwrap_or(0));
    for y in first..last {
        if !regions.iter().any(|region| region.y.contains(&y)) {
            continue;
        }
        let line = y * nx..(y + 1) * nx;
        subtract(&cube.plane(pair.later)[line.clone()], &cube.plane(pair.earlier)[line.clone()], pair, row);
        if let Some(pattern) = chosen.pattern {
            for (out, pattern) in row.iter_mut().zip(&pattern[line.clone()]) {
                *out -= pattern;
            }
        }
        match dq {
            Some(dq) => {
                let (one, other) =
                    (&dq.plane(pair.later)[line.clone()], &dq.plane(pair.earlier)[line.clone()]);
                for ((good, one), other) in good.iter_mut().zip(one).zip(other) {
                    *good = (one | other) & chosen.bad_dq == 0;
                }
            }
            None => good.fill(true),
        }
        if let Some(masked) = chosen.masked {
            for (good, masked) in good.iter_mut().zip(&masked[line]) {
                *good &= !masked;
            }
        }
        for (region, values) in regions.iter().zip(values.iter_mut()) {
            if region.y.contains(&y) {
                append(&row[region.x.clone()], &good[region.x.clone()], values);
            }
        }
    }
}

fn subtract(later: &[f32], earlier: &[f32], pair: &Difference, row: &mut [f32]) {
    let (add, take) = (pair.later_weight, pair.earlier_weight);
    if take == 0.0 {
        // Zero times a pixel that is not a number is not zero.
        for (out, later) in row.iter_mut().zip(later) {
            *out = add * later;
        }
        return;
    }
    for ((out, later), earlier) in row.iter_mut().zip(later).zip(earlier) {
        *out = add * later - take * earlier;
    }
}

/// Copy the good values to the end of `values`.
fn append(row: &[f32], good: &[bool], values: &mut Vec<f32>) {
    let mut count = values.len();
    values.resize(count + row.len(), 0.0);
    for (&value, &good) in row.iter().zip(good) {
        // Written always, kept if the place moves on: no branch to mispredict.
        values[count] = value;
        count += usize::from(good);
    }
    values.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Chosen<'_> = Chosen { bad_dq: 0xFFFF, masked: None, pattern: None, clip: None };

    #[test]
    fn an_interval_worked_by_hand() {
        // Rates 1 and 2 after 10 and 30 s: 10 counts, then 50 more in 20 s.
        let data = [1.0f32, 1.0, 2.0, 2.0];
        let cube = Cube::new("cube", &data, [2, 1, 2]).unwrap();
        let pair =
            Difference { later: 1, later_weight: 30.0 / 20.0, earlier: 0, earlier_weight: 10.0 / 20.0 };
        let found = interval_stats(&cube, None, &[pair], &[Region::whole([1, 2])], &ALL, 1).unwrap();
        assert_eq!((found[0][0].count, found[0][0].median), (2, 2.5));
    }

    #[test]
    fn flags_of_either_read_and_the_mask_leave_out_their_pixels() {
        let data: Vec<f32> = (0..18).map(|i| i as f32).collect();
        let cube = Cube::new("cube", &data, [2, 3, 3]).unwrap();
        let mut flags = [0u16; 18];
        (flags[0], flags[10], flags[2]) = (4, 4, 8); // pixels 0 and 1, each in another read; 8 is harmless
        let dq = Cube::new("dq", &flags, [2, 3, 3]).unwrap();
        let masked: Vec<bool> = (0..9).map(|p| p == 8).collect();
        let pair = Difference { later: 1, later_weight: 1.0, earlier: 0, earlier_weight: 0.0 };
        let chosen = Chosen { bad_dq: 4, masked: Some(&masked), pattern: None, clip: None };
        let regions = [Region::whole([3, 3]), Region { y: 1..2, x: 1..3 }];
        let found = interval_stats(&cube, Some(&dq), &[pair, pair], &regions, &chosen, 2).unwrap();
        // Pixels 2 to 7 of the second read are 11 to 16; row 1, columns 1 and 2 are 13 and 14.
        assert_eq!((found[1][0].count, found[1][0].median), (6, 13.5));
        assert_eq!((found[1][1].count, found[1][1].median), (2, 13.5));
        assert_eq!(found[0], found[1]);
    }

    #[test]
    fn the_pattern_is_taken_off_every_difference() {
        let cube = Cube::new("cube", &[0.0f32, 0.0, 0.0, 5.0, 7.0, 9.0], [2, 1, 3]).unwrap();
        let pair = Difference { later: 1, later_weight: 1.0, earlier: 0, earlier_weight: 1.0 };
        let chosen = Chosen { pattern: Some(&[1.0, 3.0, f32::NAN]), ..ALL };
        let found = interval_stats(&cube, None, &[pair], &[Region::whole([1, 3])], &chosen, 1).unwrap();
        assert_eq!((found[0][0].count, found[0][0].median, found[0][0].std), (2, 4.0, 0.0));
    }

    #[test]
    fn refusals_name_the_argument() {
        let cube = Cube::new("cube", &[0.0f32; 4], [1, 2, 2]).unwrap();
        let pair = Difference { later: 1, later_weight: 1.0, earlier: 0, earlier_weight: 1.0 };
        let whole = [Region::whole([2, 2])];
        let said = interval_stats(&cube, None, &[pair], &whole, &ALL, 1).unwrap_err().to_string();
        assert_eq!(said, "difference is of read 1, expected reads of the cube");
        let wrong = Chosen { masked: Some(&[true]), ..ALL };
        let said = interval_stats(&cube, None, &[], &whole, &wrong, 1).unwrap_err().to_string();
        assert_eq!(said, "mask has shape [1], expected [2, 2]");
        let wrong = Chosen { pattern: Some(&[0.0]), ..ALL };
        let said = interval_stats(&cube, None, &[], &whole, &wrong, 1).unwrap_err().to_string();
        assert_eq!(said, "pattern has shape [1], expected [2, 2]");
        let outside = [Region { y: 0..3, x: 0..2 }];
        let said = interval_stats(&cube, None, &[], &outside, &ALL, 1).unwrap_err().to_string();
        assert!(said.starts_with("region is"));
    }
}
