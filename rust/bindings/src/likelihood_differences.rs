use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use upramp_kernels::Result as KernelResult;
use upramp_kernels::ramp::likelihood::{self, Coefficients, Differences, Priors, Thresholds};

/// Parts of the covariance: of read noise and of photons on the diagonal, the same between neighbours, whether these
/// share a mean, and the time of the first sample if it is the first difference.
type Covariance<'py> = (
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, bool>,
    f64,
);

fn coefficients<'a>(cov: &'a Covariance<'_>) -> PyResult<Coefficients<'a>> {
    Ok(Coefficients {
        read: cov.0.as_slice()?,
        photon: cov.1.as_slice()?,
        read_next: cov.2.as_slice()?,
        photon_next: cov.3.as_slice()?,
        averaged: cov.4.as_slice()?,
        first: cov.5,
    })
}

type Table<'py> = Bound<'py, PyArray2<f64>>;
type Tables<'py> = Vec<Table<'py>>;
type Solution<'py> = (Tables<'py>, Table<'py>, Tables<'py>, Tables<'py>, Tables<'py>);
type Found<'py> = (Bound<'py, PyArray2<bool>>, Bound<'py, PyArray1<f64>>);

/// Fit differences `(n, npixel)`: (rate, error, chi2), weights, (pedestal, its error, covariance with the rate), five
/// tables of single omissions (rate, error, chi2, charge, its error), three of neighbours; empty if not asked for.
#[pyfunction]
#[pyo3(signature = (diffs, used, noise, guess, covariance, priors, *, tables, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_differences<'py>(
    py: Python<'py>,
    diffs: PyReadonlyArray2<'py, f64>,
    used: Option<PyReadonlyArray2<'py, bool>>,
    noise: PyReadonlyArray1<'py, f64>,
    guess: PyReadonlyArray1<'py, f64>,
    covariance: Covariance<'py>,
    priors: Option<(PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>)>,
    tables: bool,
    threads: usize,
) -> PyResult<Solution<'py>> {
    let ramps = Differences {
        rates: diffs.as_slice()?,
        used: used.as_ref().map(|used| used.as_slice()).transpose()?,
        noise: noise.as_slice()?,
    };
    let (cov, guess) = (coefficients(&covariance)?, guess.as_slice()?);
    let priors = match &priors {
        Some((value, sigma)) => Some(Priors { value: value.as_slice()?, sigma: sigma.as_slice()? }),
        None => None,
    };
    let size = ramps.noise.len();
    let made = enter(py, || likelihood::fit_differences(&ramps, &cov, guess, priors, tables, threads))?;
    let table = |data: Vec<f64>| {
        let rows = data.len() / size.max(1);
        arrays::image(py, data, [rows, size])
    };
    let tables = |fields: Vec<Vec<f64>>| fields.into_iter().map(table).collect::<PyResult<Vec<_>>>();
    Ok((
        tables(made.images.into())?,
        table(made.weights)?,
        tables(made.pedestal.into())?,
        tables(made.one.into())?,
        tables(made.two.into())?,
    ))
}

/// Search differences for hits: those left in use, and the rates.
#[pyfunction]
#[pyo3(signature = (diffs, used, noise, covariance, thresholds, *, threads))]
pub fn search_differences<'py>(
    py: Python<'py>,
    diffs: PyReadonlyArray2<'py, f64>,
    used: Option<PyReadonlyArray2<'py, bool>>,
    noise: PyReadonlyArray1<'py, f64>,
    covariance: Covariance<'py>,
    thresholds: (f64, f64, u16),
    threads: usize,
) -> PyResult<Found<'py>> {
    let ramps = Differences {
        rates: diffs.as_slice()?,
        used: used.as_ref().map(|used| used.as_slice()).transpose()?,
        noise: noise.as_slice()?,
    };
    let cov = coefficients(&covariance)?;
    let (one, two, fewest) = thresholds;
    let limits = Thresholds { one, two, fewest, positive: false };
    let rows = cov.read.len();
    let (left, rates) =
        enter(py, || -> KernelResult<_> { likelihood::search_differences(&ramps, &cov, &limits, threads) })?;
    let size = rates.len();
    Ok((arrays::image(py, left, [rows, size])?, arrays::vector(py, rates.into_iter())))
}
