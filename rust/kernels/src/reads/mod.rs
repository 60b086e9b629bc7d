//! The background level of every read, and of the intervals between them ([`cells`]); their
//! mean ([`average`]).

pub mod average;
pub mod cells;

pub mod intervals;

use crate::stats::clipped::{Clip, Statistics, statistics};
use crate::view::{Cube, Region};
use crate::{Error, Result, par};

/// Which pixels speak for the background.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// Rectangle to look at.
    pub region: Region,
    /// Leave out pixels with any of these DQ bits (in that read).
    pub bad_dq: u16,
    /// Leave out these pixels (`true`), for instance sources; whole frame.
    pub masked: Option<&'a [bool]>,
    /// Clip outliers.
    pub clip: Option<Clip>,
}

/// Median, mean and standard deviation of every read.
pub fn read_stats(
    cube: &Cube<'_, f32>,
    dq: Option<&Cube<'_, u16>>,
    selection: &Selection<'_>,
    threads: usize,
) -> Result<Vec<Statistics>> {
    let [nread, ny, nx] = cube.shape();
    if let Some(dq) = dq {
        cube.same_shape("dq", dq)?;
    }
    if let Some(masked) = selection.masked
        && masked.len() != ny * nx
    {
        return Err(Error::Shape { name: "mask", got: vec![masked.len()], expected: vec![ny, nx] });
    }
    let region = Region::new(selection.region.y.clone(), selection.region.x.clone(), [ny, nx])?;
    let mut found = vec![None; nread];
    par::for_each(found.iter_mut().enumerate(), threads, Vec::new, |chosen, (read, found)| {
        choose(cube.plane(read), dq.map(|dq| dq.plane(read)), selection, &region, nx, chosen);
        *found = Some(statistics(chosen, selection.clip));
    });
    Ok(found.into_iter().flatten().collect())
}

/// Copy the chosen pixels of a read side by side: statistics walk over them several times.
fn choose(
    plane: &[f32],
    flags: Option<&[u16]>,
    selection: &Selection<'_>,
    region: &Region,
    nx: usize,
    chosen: &mut Vec<f32>,
) {
    let width = region.x.len();
    let mut good = vec![true; width];
    let mut count = 0;
    chosen.resize(region.y.len() * width, 0.0);
    for y in region.y.clone() {
        let row = y * nx + region.x.start..y * nx + region.x.end;
        good.fill(true);
        if let Some(flags) = flags {
            for (good, flags) in good.iter_mut().zip(&flags[row.clone()]) {
                *good = flags & selection.bad_dq == 0;
            }
        }
        if let Some(masked) = selection.masked {
            for (good, masked) in good.iter_mut().zip(&masked[row.clone()]) {
                *good &= !masked;
            }
        }
        for (&value, &good) in plane[row].iter().zip(&good) {
            // Written always, kept if the place moves on: no branch to mispredict.
            chosen[count] = value;
            count += usize::from(good);
        }
    }
    chosen.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_flags_and_region_leave_out_their_pixels() {
        let data: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let cube = Cube::new("cube", &data, [1, 4, 4]).unwrap();
        let flags: Vec<u16> = (0..16).map(|i| if i == 5 { 4 } else { 2048 }).collect();
        let dq = Cube::new("dq", &flags, [1, 4, 4]).unwrap();
        let masked: Vec<bool> = (0..16).map(|i| i == 6).collect();
        let region = Region::new(1..3, 1..3, [4, 4]).unwrap();
        let selection = Selection { region, bad_dq: 4, masked: Some(&masked), clip: None };
        let found = read_stats(&cube, Some(&dq), &selection, 2).unwrap();
        assert_eq!((found[0].count, found[0].median), (2, 9.5));
    }
}
