use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::reads::average::{self, Setting};
use upramp_kernels::reads::cells::{self, Grid, Intervals};
use upramp_kernels::reads::intervals::{self, Chosen, Difference};
use upramp_kernels::reads::{self, Selection};
use upramp_kernels::stats::clipped::Clip;
use upramp_kernels::stats::robust::RobustClip;
use upramp_kernels::view::Region;

type Columns<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

type Grids<'py> = (Bound<'py, PyArray2<i64>>, Vec<Bound<'py, PyArray2<f64>>>);

/// Number, median, mean and standard deviation of every read's pixels in `region` (y0, y1, x0, x1).
#[pyfunction]
#[pyo3(signature = (cube, dq, mask, region, bad_dq, clip, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn read_stats<'py>(
    py: Python<'py>,
    cube: PyReadonlyArray3<'py, f32>,
    dq: Option<PyReadonlyArray3<'py, u16>>,
    mask: Option<PyReadonlyArray2<'py, bool>>,
    region: (usize, usize, usize, usize),
    bad_dq: u16,
    clip: Option<(f64, f64, usize)>,
    threads: usize,
) -> PyResult<Columns<'py>> {
    let cube = arrays::cube("cube", &cube)?;
    let dq = dq.as_ref().map(|dq| arrays::cube("dq", dq)).transpose()?;
    let masked = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let clip = clip.map(|(lower, upper, max_iter)| Clip { lower, upper, max_iter });
    let [_, ny, nx] = cube.shape();
    let found = enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        reads::read_stats(&cube, dq.as_ref(), &Selection { region, bad_dq, masked, clip }, threads)
    })?;
    Ok((
        arrays::vector(py, found.iter().map(|read| read.count as i64)),
        arrays::vector(py, found.iter().map(|read| read.median)),
        arrays::vector(py, found.iter().map(|read| read.mean)),
        arrays::vector(py, found.iter().map(|read| read.std)),
    ))
}

type Levels<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray3<i64>>);

/// Median and count of interval rates in the cells of a grid: `(nread - 1, gy, gx)` twice.
#[pyfunction]
#[pyo3(signature = (cube, dq, weight, times, response, base, mask, region, bad_dq, rows, columns, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn cell_levels<'py>(
    py: Python<'py>,
    cube: PyReadonlyArray3<'py, f32>,
    dq: PyReadonlyArray3<'py, u16>,
    weight: PyReadonlyArray1<'py, f32>,
    times: PyReadonlyArray1<'py, f64>,
    response: Option<PyReadonlyArray2<'py, f32>>,
    base: Option<PyReadonlyArray2<'py, f32>>,
    mask: Option<PyReadonlyArray2<'py, bool>>,
    region: (usize, usize, usize, usize),
    bad_dq: u16,
    rows: Vec<usize>,
    columns: Vec<usize>,
    threads: usize,
) -> PyResult<Levels<'py>> {
    let cube = arrays::cube("cube", &cube)?;
    let dq = arrays::cube("dq", &dq)?;
    let intervals = Intervals {
        weight: weight.as_slice()?,
        times: times.as_slice()?,
        response: response.as_ref().map(|image| image.as_slice()).transpose()?,
        base: base.as_ref().map(|image| image.as_slice()).transpose()?,
    };
    let masked = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let [nread, ny, nx] = cube.shape();
    let found = enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        let selection = Selection { region, bad_dq, masked, clip: None };
        let grid = Grid { y: &rows, x: &columns };
        cells::cell_levels(&cube, &dq, &intervals, &selection, &grid, threads)
    })?;
    let shape = [nread - 1, rows.len() - 1, columns.len() - 1];
    let median = found.iter().flatten().map(|level| level.median).collect();
    let count = found.iter().flatten().map(|level| level.count as i64).collect();
    Ok((arrays::cube_out(py, median, shape)?, arrays::cube_out(py, count, shape)?))
}

type Mean<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<u16>>,
    Bound<'py, PyArray2<i16>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray3<u16>>,
);

/// Robust mean of the intervals: rate, err, dq, samp, time, read_dq.
#[pyfunction]
#[pyo3(signature = (sci, dq, weight, times, electrons, noise, excluded, sigma, bad_dq, region, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn average_intervals<'py>(
    py: Python<'py>,
    sci: PyReadonlyArray3<'py, f32>,
    dq: PyReadonlyArray3<'py, u16>,
    weight: PyReadonlyArray1<'py, f32>,
    times: PyReadonlyArray1<'py, f64>,
    electrons: PyReadonlyArray2<'py, f32>,
    noise: PyReadonlyArray2<'py, f32>,
    excluded: PyReadonlyArray1<'py, bool>,
    sigma: f32,
    bad_dq: u16,
    region: (usize, usize, usize, usize),
    threads: usize,
) -> PyResult<Mean<'py>> {
    let (sci, dq) = (arrays::cube("sci", &sci)?, arrays::cube("dq", &dq)?);
    let setting = Setting {
        weight: weight.as_slice()?,
        times: times.as_slice()?,
        electrons: electrons.as_slice()?,
        noise: noise.as_slice()?,
        excluded: excluded.as_slice()?,
        sigma,
        bad_dq,
    };
    let shape = sci.shape();
    let (mean, size) = enter(py, || {
        let region = arrays::region(region, [shape[1], shape[2]])?;
        Ok((average::average_intervals(&sci, &dq, &setting, &region, threads)?, region.shape()))
    })?;
    Ok((
        arrays::image(py, mean.rate, size)?,
        arrays::image(py, mean.err, size)?,
        arrays::image(py, mean.dq, size)?,
        arrays::image(py, mean.samp, size)?,
        arrays::image(py, mean.time, size)?,
        arrays::cube_out(py, mean.read_dq, shape)?,
    ))
}

/// Statistics of differences of reads `(later, weight, earlier, weight)` in `regions` (y0, y1, x0, x1): numbers of
/// pixels, and median, mean, mode, standard deviation, robust sigma and error of the median, each of shape
/// (differences, regions).
#[pyfunction]
#[pyo3(signature = (cube, dq, mask, pattern, differences, regions, bad_dq, clip, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn interval_stats<'py>(
    py: Python<'py>,
    cube: PyReadonlyArray3<'py, f32>,
    dq: Option<PyReadonlyArray3<'py, u16>>,
    mask: Option<PyReadonlyArray2<'py, bool>>,
    pattern: Option<PyReadonlyArray2<'py, f32>>,
    differences: Vec<(usize, f32, usize, f32)>,
    regions: Vec<(usize, usize, usize, usize)>,
    bad_dq: u16,
    clip: Option<(f64, usize)>,
    threads: usize,
) -> PyResult<Grids<'py>> {
    let cube = arrays::cube("cube", &cube)?;
    let dq = dq.as_ref().map(|dq| arrays::cube("dq", dq)).transpose()?;
    let masked = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let pattern = pattern.as_ref().map(|pattern| pattern.as_slice()).transpose()?;
    let clip = clip.map(|(sigma, max_iter)| RobustClip { sigma, max_iter });
    let [_, ny, nx] = cube.shape();
    let pairs: Vec<Difference> = differences
        .into_iter()
        .map(|(later, later_weight, earlier, earlier_weight)| Difference {
            later,
            later_weight,
            earlier,
            earlier_weight,
        })
        .collect();
    let found = enter(py, || {
        let regions: Vec<Region> =
            regions.iter().map(|&bounds| arrays::region(bounds, [ny, nx])).collect::<Result<_, _>>()?;
        intervals::interval_stats(
            &cube,
            dq.as_ref(),
            &pairs,
            &regions,
            &Chosen { bad_dq, masked, pattern, clip },
            threads,
        )
    })?;
    let shape = [pairs.len(), regions.len()];
    let all: Vec<_> = found.into_iter().flatten().collect();
    let columns = [
        all.iter().map(|one| one.median).collect(),
        all.iter().map(|one| one.mean).collect(),
        all.iter().map(|one| one.mode).collect(),
        all.iter().map(|one| one.std).collect(),
        all.iter().map(|one| one.robust_std).collect(),
        all.iter().map(|one| one.error).collect(),
    ];
    let numbers = arrays::image(py, all.iter().map(|one| one.count as i64).collect(), shape)?;
    let columns =
        columns.into_iter().map(|column| arrays::image(py, column, shape)).collect::<Result<_, _>>()?;
    Ok((numbers, columns))
}
