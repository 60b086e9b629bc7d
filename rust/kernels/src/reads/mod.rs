//! The background level of every read.

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
    Ok(par::map(nread, threads, |read| {
        let plane = cube.plane(read);
        let flags = dq.map(|dq| dq.plane(read));
        // One compact copy of the chosen pixels: clipping then walks over them several times.
        let mut chosen = Vec::with_capacity(region.y.len() * region.x.len());
        for y in region.y.clone() {
            let row = y * nx + region.x.start..y * nx + region.x.end;
            chosen.extend(row.filter_map(|p| {
                let good = flags.is_none_or(|flags| flags[p] & selection.bad_dq == 0)
                    && selection.masked.is_none_or(|masked| !masked[p]);
                good.then_some(plane[p])
            }));
        }
        statistics(|| chosen.iter().copied(), selection.clip)
    }))
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
