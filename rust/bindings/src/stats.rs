use crate::enter::enter;
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use upramp_kernels::Error;
use upramp_kernels::stats::imagestats::{self, Clipping, Measure};

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
    let found = enter(py, || {
        let measure = match measure {
            "mean" => Measure::Mean,
            "median" => Measure::Median,
            "mode" => Measure::Mode,
            "midpt" => Measure::Midpoint,
            other => return Err(Error::value("statistic", other, "mean, median, mode or midpt")),
        };
        imagestats::measure(pixels, good, measure, &clipping)
    })?;
    Ok((found.value, found.count, found.std))
}
