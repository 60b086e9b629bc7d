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
    let [nread, _, nx] = cube.shape();
    check(cube, dq, intervals, selection, grid)?;
    let cells = grid.x.len() - 1;
    let tallest = grid.y.windows(2).map(|y| y[1] - y[0]).max().unwrap_or(0);
    // Room for the pixels of one row of cells.
    let room = || {
        let row = Row { rates: vec![0.0; nx], good: vec![false; nx] };
        (row, grid.x.windows(2).map(|x| vec![0.0; tallest * (x[1] - x[0])]).collect::<Vec<_>>())
    };
    let mut found: Vec<Vec<Level>> = vec![Vec::new(); nread - 1];
    par::for_each(found.iter_mut().enumerate(), threads, room, |(row, chosen), (k, levels)| {
        for y in grid.y.windows(2) {
            let mut counts = vec![0; cells];
            for y in (y[0]..y[1]).filter(|y| selection.region.y.contains(y)) {
                row.fill(cube, dq, intervals, selection, k + 1, y);
                for ((x, chosen), count) in grid.x.windows(2).zip(&mut *chosen).zip(&mut counts) {
                    let mut place = *count;
                    for (&rate, &good) in row.rates[x[0]..x[1]].iter().zip(&row.good[x[0]..x[1]]) {
                        // Written always, kept if the place moves on: no branch to mispredict.
                        chosen[place] = rate;
                        place += usize::from(good);
                    }
                    *count = place;
                }
            }
            for (chosen, count) in chosen.iter().zip(counts) {
                let median = median(&chosen[..count]).unwrap_or(f64::NAN);
                levels.push(Level { median, count });
            }
        }
    });
    Ok(found)
}

/// One row of an interval.
struct Row {
    rates: Vec<f32>,
    /// Pixels that speak for the background.
    good: Vec<bool>,
}

impl Row {
    /// Rates of the interval before read `r` in row `y`.
    fn fill(
        &mut self,
        cube: &Cube<'_, f32>,
        dq: &Cube<'_, u16>,
        intervals: &Intervals<'_>,
        selection: &Selection<'_>,
        r: usize,
        y: usize,
    ) {
        let nx = cube.shape()[2];
        let x = &selection.region.x;
        let at = y * nx + x.start..y * nx + x.end;
        let span = (intervals.times[r] - intervals.times[r - 1]) as f32;
        let (after, before) = (intervals.weight[r] / span, intervals.weight[r - 1] / span);
        // Cells may reach beyond the region.
        self.good.fill(false);
        let (rates, good) = (&mut self.rates[x.clone()], &mut self.good[x.clone()]);
        let (now, last) = (&cube.plane(r)[at.clone()], &cube.plane(r - 1)[at.clone()]);
        for (rate, (now, last)) in rates.iter_mut().zip(now.iter().zip(last)) {
            *rate = now * after - last * before;
        }
        if let Some(response) = selection.response {
            // Without response the rate is not a number.
            for (rate, &response) in rates.iter_mut().zip(&response[at.clone()]) {
                *rate /= if response > 0.0 { response } else { f32::NAN };
            }
        }
        if let Some(base) = intervals.base {
            rates.iter_mut().zip(&base[at.clone()]).for_each(|(rate, base)| *rate -= base);
        }
        let (now, last) = (&dq.plane(r)[at.clone()], &dq.plane(r - 1)[at.clone()]);
        for ((good, rate), (now, last)) in good.iter_mut().zip(&*rates).zip(now.iter().zip(last)) {
            *good = ((now | last) & selection.bad_dq == 0) & !rate.is_nan();
        }
        if let Some(masked) = selection.masked {
            good.iter_mut().zip(&masked[at]).for_each(|(good, masked)| *good &= !masked);
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
    for (name, image) in [("response", selection.response), ("base", intervals.base)] {
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
            &Intervals { weight: &[0.0, 4.0, 14.0], times: &times, base },
            &Selection { region, bad_dq: 4, masked, clip: None, response: Some(&response) },
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
