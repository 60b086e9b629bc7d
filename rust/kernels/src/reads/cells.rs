//! The background of every interval between reads, cell by cell.
//!
//! An image is cut by a grid into cells: one cell, the columns, or squares. The level of interval k in a cell is
//!
//! ```text
//! median over the cell's good pixels of  (C_k - C_(k-1)) / (dt_k f) - B,    C_r = w_r S_r,
//! ```
//!
//! with stored signal S, factor w from stored to accumulated signal, relative response f and a base image B of
//! rates. With the mean of quiet intervals as base, sources cancel pixel by pixel and what remains is the excess
//! over the quiet level, in crowded fields too.

use super::Selection;
use crate::stats::median::median;
use crate::view::{Cube, Region};
use crate::{Error, Result, par};

/// How stored signal becomes interval rates.
#[derive(Debug, Clone, Copy)]
pub struct Intervals<'a> {
    /// Factor of each read from stored to accumulated signal.
    pub weight: &'a [f32],
    /// Exposure time of each read.
    pub times: &'a [f64],
    /// Response of each pixel to the sky; none: 1.
    pub response: Option<&'a [f32]>,
    /// Rates to take off first.
    pub base: Option<&'a [f32]>,
}

/// Edges of the cells, in rows and columns, ascending.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// Rows.
    pub y: &'a [usize],
    /// Columns.
    pub x: &'a [usize],
}

/// Level of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// NaN without a good pixel.
    pub median: f64,
    /// Good pixels.
    pub count: usize,
}

/// Levels of every interval: `nread - 1` times the cells, row by row. Clipping is not done: a median needs none.
pub fn cell_levels(
    cube: &Cube<'_, f32>,
    dq: &Cube<'_, u16>,
    intervals: &Intervals<'_>,
    selection: &Selection<'_>,
    grid: &Grid<'_>,
    threads: usize,
) -> Result<Vec<Vec<Level>>> {
    let [nread, ny, nx] = cube.shape();
    check(cube, dq, intervals, selection, grid)?;
    let region = &selection.region;
    let work = |k: usize| {
        let mut plane = vec![f32::NAN; ny * nx];
        for y in region.y.clone() {
            fill_row(cube, dq, intervals, selection, k + 1, y, &mut plane);
        }
        let mut chosen = Vec::new();
        let mut levels = Vec::with_capacity((grid.y.len() - 1) * (grid.x.len() - 1));
        for y in grid.y.windows(2) {
            for x in grid.x.windows(2) {
                chosen.clear();
                for row in y[0]..y[1] {
                    let row = &plane[row * nx + x[0]..row * nx + x[1]];
                    chosen.extend(row.iter().filter(|value| !value.is_nan()));
                }
                let median = median(&chosen).unwrap_or(f64::NAN);
                levels.push(Level { median, count: chosen.len() });
            }
        }
        levels
    };
    Ok(par::map(nread - 1, threads, work))
}

/// Rates of the interval before read `r` in row `y`; NaN where a pixel is not good.
fn fill_row(
    cube: &Cube<'_, f32>,
    dq: &Cube<'_, u16>,
    intervals: &Intervals<'_>,
    selection: &Selection<'_>,
    r: usize,
    y: usize,
    plane: &mut [f32],
) {
    let nx = cube.shape()[2];
    let Region { x, .. } = &selection.region;
    let row = y * nx + x.start..y * nx + x.end;
    let span = (intervals.times[r] - intervals.times[r - 1]) as f32;
    let (after, before) = (intervals.weight[r] / span, intervals.weight[r - 1] / span);
    let rates = &mut plane[row.clone()];
    let (now, last) = (&cube.plane(r)[row.clone()], &cube.plane(r - 1)[row.clone()]);
    for (rate, (now, last)) in rates.iter_mut().zip(now.iter().zip(last)) {
        *rate = now * after - last * before;
    }
    if let Some(response) = intervals.response {
        for (rate, response) in rates.iter_mut().zip(&response[row.clone()]) {
            *rate = if *response > 0.0 { *rate / response } else { f32::NAN };
        }
    }
    if let Some(base) = intervals.base {
        rates.iter_mut().zip(&base[row.clone()]).for_each(|(rate, base)| *rate -= base);
    }
    let (now, last) = (&dq.plane(r)[row.clone()], &dq.plane(r - 1)[row.clone()]);
    for (rate, (now, last)) in rates.iter_mut().zip(now.iter().zip(last)) {
        *rate = if (now | last) & selection.bad_dq == 0 { *rate } else { f32::NAN };
    }
    if let Some(masked) = selection.masked {
        for (rate, &masked) in rates.iter_mut().zip(&masked[row]) {
            *rate = if masked { f32::NAN } else { *rate };
        }
    }
}

fn check(
    cube: &Cube<'_, f32>,
    dq: &Cube<'_, u16>,
    intervals: &Intervals<'_>,
    selection: &Selection<'_>,
    grid: &Grid<'_>,
) -> Result<()> {
    let [nread, ny, nx] = cube.shape();
    cube.same_shape("dq", dq)?;
    let sized = |name, got: usize, expected: Vec<usize>| match got == expected.iter().product() {
        true => Ok(()),
        false => Err(Error::Shape { name, got: vec![got], expected }),
    };
    sized("weight", intervals.weight.len(), vec![nread])?;
    sized("times", intervals.times.len(), vec![nread])?;
    for (name, image) in [("response", intervals.response), ("base", intervals.base)] {
        image.map_or(Ok(()), |image| sized(name, image.len(), vec![ny, nx]))?;
    }
    selection.masked.map_or(Ok(()), |masked| sized("mask", masked.len(), vec![ny, nx]))?;
    if nread < 2 || !intervals.times.windows(2).all(|times| times[1] > times[0]) {
        return Err(Error::value("times", format!("{:?}", intervals.times), "two or more, ascending"));
    }
    for (name, edges, size) in [("rows of the grid", grid.y, ny), ("columns of the grid", grid.x, nx)] {
        let ascending = edges.len() > 1 && edges.windows(2).all(|edges| edges[0] < edges[1]);
        if !ascending || edges.last().is_some_and(|&last| last > size) {
            return Err(Error::value(name, format!("{edges:?}"), "ascending edges inside the image"));
        }
    }
    Region::new(selection.region.y.clone(), selection.region.x.clone(), [ny, nx]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [3, 4, 6];

    /// Rates of 2 + x in the first interval and 5 + 2 x in the second, on a response of 1 or 2 by row.
    fn levels(
        grid: &Grid<'_>,
        base: Option<&[f32]>,
        masked: Option<&[bool]>,
        threads: usize,
    ) -> Vec<Vec<Level>> {
        let times = [0.0, 4.0, 14.0];
        let response: Vec<f32> = (0..24).map(|p| if p / 6 % 2 == 0 { 1.0 } else { 2.0 }).collect();
        let mut data = vec![0.0; 72];
        for p in 0..24 {
            let x = (p % 6) as f32;
            let first = (2.0 + x) * 4.0 * response[p];
            let second = first + (5.0 + 2.0 * x) * 10.0 * response[p];
            // Stored as rates.
            (data[24 + p], data[48 + p]) = (first / 4.0, second / 14.0);
        }
        let mut flags = vec![0u16; 72];
        data[48] = 1e9;
        flags[48] = 4;
        let region = Region::whole([4, 6]);
        cell_levels(
            &Cube::new("cube", &data, SHAPE).unwrap(),
            &Cube::new("dq", &flags, SHAPE).unwrap(),
            &Intervals { weight: &[0.0, 4.0, 14.0], times: &times, response: Some(&response), base },
            &Selection { region, bad_dq: 4, masked, clip: None },
            grid,
            threads,
        )
        .unwrap()
    }

    #[test]
    fn columns_have_the_rates_of_their_interval() {
        let columns: Vec<usize> = (0..=6).collect();
        let grid = Grid { y: &[0, 4], x: &columns };
        for threads in [1, 3] {
            let found = levels(&grid, None, None, threads);
            for x in 0..6 {
                assert!((found[0][x].median - (2.0 + x as f64)).abs() < 1e-5);
                assert!((found[1][x].median - (5.0 + 2.0 * x as f64)).abs() < 1e-4);
            }
            // The flag stands in the second interval only.
            assert_eq!((found[0][0].count, found[1][0].count, found[1][1].count), (4, 3, 4));
        }
    }

    #[test]
    fn base_and_mask_are_taken_off() {
        let base: Vec<f32> = (0..24).map(|p| (p % 6) as f32).collect();
        let masked: Vec<bool> = (0..24).map(|p| p / 6 == 3).collect();
        let found = levels(&Grid { y: &[0, 4], x: &[0, 6] }, Some(&base), Some(&masked), 1);
        assert!((found[0][0].median - 2.0).abs() < 1e-5);
        assert_eq!(found[0][0].count, 18);
    }

    #[test]
    fn a_cell_without_a_good_pixel_has_no_level() {
        let masked = [true; 24];
        let found = levels(&Grid { y: &[0, 2, 4], x: &[0, 6] }, None, Some(&masked), 1);
        assert!(found.iter().flatten().all(|level| level.median.is_nan() && level.count == 0));
    }
}
