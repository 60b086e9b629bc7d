use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray1, PyArray2, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
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
