use crate::arrays::{self, FlagCube, Signal, Strided};
use crate::enter::enter;
use crate::likelihood::PerPixel;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::ramp::casertano::{self, Reads, Threshold};
use upramp_kernels::ramp::likelihood::Pattern;
use upramp_kernels::view::Source;

type Products<'py> = ([Bound<'py, PyArray2<f32>>; 3], Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u16>>);

/// Fit every ramp: (rate, var_poisson, var_rnoise), then the hits: pixels, and the first of the two samples taken out.
#[pyfunction]
#[pyo3(signature = (sci, dq, bad, hit, mask, pattern, gain, read_noise, threshold, power, *, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_casertano<'py>(
    py: Python<'py>,
    sci: Signal<'py>,
    dq: Option<FlagCube<'py>>,
    bad: u16,
    hit: u16,
    mask: Option<PyReadonlyArray3<'py, bool>>,
    pattern: (PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>),
    gain: PerPixel<'py>,
    read_noise: PerPixel<'py>,
    threshold: Option<(f64, f64)>,
    power: Option<f64>,
    threads: usize,
) -> PyResult<Products<'py>> {
    let sci = sci.source();
    let dq = dq.as_ref().map(FlagCube::source);
    let mask = mask.as_ref().map(Strided::new);
    let reads = Reads {
        sci: &*sci,
        dq: dq.as_deref(),
        bad,
        hit,
        mask: mask.as_ref().map(|mask| mask as &dyn Source<bool>),
        pattern: Pattern {
            mean: pattern.0.as_slice()?,
            variance: pattern.1.as_slice()?,
            count: pattern.2.as_slice()?,
        },
        gain: gain.image()?,
        read_noise: read_noise.image()?,
        power,
    };
    let [_, ny, nx] = reads.sci.shape();
    let threshold = threshold.map(|(intercept, constant)| Threshold { intercept, constant });
    let fit = enter(py, || casertano::fit_casertano(&reads, threshold, threads))?;
    let image = |data| arrays::image(py, data, [ny, nx]);
    Ok((
        [image(fit.rate)?, image(fit.var_poisson)?, image(fit.var_rnoise)?],
        arrays::vector(py, fit.hits.iter().map(|&(pixel, _)| pixel)),
        arrays::vector(py, fit.hits.iter().map(|&(_, sample)| sample)),
    ))
}
