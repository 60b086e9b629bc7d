use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::reads::{self, Selection};
use upramp_kernels::stats::clipped::Clip;

type Columns<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

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
