use crate::enter::enter;
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use upramp_kernels::stats::imagestats::{self, Clipping, Measure};
use upramp_kernels::{Error, Result as KernelResult};

/// Statistic of that name.
pub fn named(measure: &str) -> KernelResult<Measure> {
    match measure {
        "mean" => Ok(Measure::Mean),
        "median" => Ok(Measure::Median),
        "mode" => Ok(Measure::Mode),
        "midpt" => Ok(Measure::Midpoint),
        other => Err(Error::value("statistic", other, "mean, median, mode or midpt")),
    }
}

/// Clipped statistic of the good, finite pixels of an image, the number of those in the last round, and their
/// standard deviation.
///
/// `limits` are (lower, upper) in data units, `thresholds` (below, above) in standard deviations.
#[pyfunction]
#[pyo3(signature = (image, good, measure, limits, rounds, thresholds, width))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn image_statistic(
    py: Python<'_>,
    image: PyReadonlyArray2<'_, f32>,
    good: Option<PyReadonlyArray2<'_, bool>>,
    measure: &str,
    limits: (Option<f64>, Option<f64>),
    rounds: usize,
    thresholds: (f64, f64),
    width: f64,
) -> PyResult<(f64, usize, f64)> {
    let pixels = image.as_slice()?;
    let good = good.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let ((lower, upper), (below, above)) = (limits, thresholds);
    let clipping = Clipping { lower, upper, rounds, below, above, width };
    let found = enter(py, || imagestats::measure(pixels, good, named(measure)?, &clipping))?;
    Ok((found.value, found.count, found.std))
}
