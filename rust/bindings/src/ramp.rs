use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::ramp::crcorr::{self, Params, Reads, Times};

/// The Python dataclass of the same name, read attribute by attribute.
#[derive(FromPyObject)]
pub struct CrcorrParams {
    crsigma: f32,
    bad_dq: u16,
    gain: f32,
    rate: bool,
    zeroth_rescue: bool,
    zeroth_time: f32,
    parity: bool,
}

type Products<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<u16>>,
    Bound<'py, PyArray2<i16>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray3<u16>>,
    usize,
);

/// Fit every ramp in `region` (y0, y1, x0, x1): rate, err, dq, samp, time, read_dq, unstable pixels.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, times, time_cube, excluded, breaks, to_dn, region, params, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_crcorr<'py>(
    py: Python<'py>,
    sci: PyReadonlyArray3<'py, f32>,
    err: PyReadonlyArray3<'py, f32>,
    dq: PyReadonlyArray3<'py, u16>,
    times: PyReadonlyArray1<'py, f32>,
    time_cube: Option<PyReadonlyArray3<'py, f32>>,
    excluded: PyReadonlyArray1<'py, bool>,
    breaks: PyReadonlyArray1<'py, bool>,
    to_dn: Option<PyReadonlyArray2<'py, f32>>,
    region: (usize, usize, usize, usize),
    params: CrcorrParams,
    threads: usize,
) -> PyResult<Products<'py>> {
    let times = match &time_cube {
        Some(cube) => Times::PerPixel(arrays::cube("times", cube)?),
        None => Times::PerRead(times.as_slice()?),
    };
    let reads = Reads {
        sci: arrays::cube("sci", &sci)?,
        err: arrays::cube("err", &err)?,
        dq: arrays::cube("dq", &dq)?,
        times,
        excluded: excluded.as_slice()?,
        breaks: breaks.as_slice()?,
        to_dn: to_dn.as_ref().map(|image| image.as_slice()).transpose()?,
    };
    let CrcorrParams { crsigma, bad_dq, gain, rate, zeroth_rescue, zeroth_time, parity } = params;
    let params = Params { crsigma, bad_dq, gain, rate, zeroth_rescue, zeroth_time, parity };
    let shape = reads.sci.shape();
    let (fit, size) = enter(py, || {
        let region = arrays::region(region, [shape[1], shape[2]])?;
        Ok((crcorr::fit_crcorr(&reads, &region, &params, threads)?, region.shape()))
    })?;
    Ok((
        arrays::image(py, fit.rate, size)?,
        arrays::image(py, fit.err, size)?,
        arrays::image(py, fit.dq, size)?,
        arrays::image(py, fit.samp, size)?,
        arrays::image(py, fit.time, size)?,
        arrays::cube_out(py, fit.read_dq, shape)?,
        fit.unstable,
    ))
}
