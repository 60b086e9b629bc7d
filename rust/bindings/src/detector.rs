use crate::arrays;
use crate::enter::enter;
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use upramp_kernels::detector::{flat, statistics, unit};

type Bounds = (usize, usize, usize, usize);
type Summary = (f32, f32, f32);

/// Divide one read by its exposure time, in place, inside `region`.
#[pyfunction]
#[pyo3(signature = (sci, err, time, zeroth_time, region))]
pub fn to_rate(
    py: Python<'_>,
    mut sci: PyReadwriteArray2<'_, f32>,
    mut err: PyReadwriteArray2<'_, f32>,
    time: PyReadonlyArray1<'_, f32>,
    zeroth_time: Option<f64>,
    region: Bounds,
) -> PyResult<()> {
    let &[ny, nx] = sci.shape() else { unreachable!("a 2-d array has two axes") };
    let (sci, err, time) = (sci.as_slice_mut()?, err.as_slice_mut()?, time.as_slice()?);
    enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        unit::to_rate(sci, err, time, zeroth_time, &region, nx);
        Ok(())
    })
}

/// Divide one read by a flat of the region's shape and multiply by the gain, in place.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, flat_sci, flat_err, flat_dq, gain, region))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn divide_flat(
    py: Python<'_>,
    mut sci: PyReadwriteArray2<'_, f32>,
    mut err: PyReadwriteArray2<'_, f32>,
    mut dq: PyReadwriteArray2<'_, u16>,
    flat_sci: PyReadonlyArray2<'_, f32>,
    flat_err: PyReadonlyArray2<'_, f32>,
    flat_dq: PyReadonlyArray2<'_, u16>,
    gain: f32,
    region: Bounds,
) -> PyResult<()> {
    let &[ny, nx] = sci.shape() else { unreachable!("a 2-d array has two axes") };
    let (sci, err, dq) = (sci.as_slice_mut()?, err.as_slice_mut()?, dq.as_slice_mut()?);
    let flat = flat::Flat { sci: flat_sci.as_slice()?, err: flat_err.as_slice()?, dq: flat_dq.as_slice()? };
    enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        flat::divide([sci, err], dq, &flat, gain, &region, nx);
        Ok(())
    })
}

/// Number of good pixels and mean, min, max of their signal, error and signal-to-noise ratio.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, flags, region))]
pub fn good_pixels(
    py: Python<'_>,
    sci: PyReadonlyArray2<'_, f32>,
    err: PyReadonlyArray2<'_, f32>,
    dq: PyReadonlyArray2<'_, u16>,
    flags: u16,
    region: Bounds,
) -> PyResult<(usize, Summary, Summary, Summary)> {
    let &[ny, nx] = sci.shape() else { unreachable!("a 2-d array has two axes") };
    let (sci, err, dq) = (sci.as_slice()?, err.as_slice()?, dq.as_slice()?);
    let found = enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        Ok(statistics::good_pixels(sci, err, dq, flags, &region, nx))
    })?;
    let summary = |s: statistics::Summary| (s.mean, s.min, s.max);
    Ok((found.count, summary(found.sci), summary(found.err), summary(found.snr)))
}
