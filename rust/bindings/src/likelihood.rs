use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::ramp::likelihood::{self, Image, Params, Pattern, Reads, Removed, Rule, Thresholds};

/// The Python dataclass of the same name, read attribute by attribute.
#[derive(FromPyObject)]
pub struct DqRule {
    bad: u16,
    lenient: u16,
    carried: u16,
    zeroth: u16,
    cleared: u16,
    passing: u16,
    hidden: u16,
}

/// A number or an image.
#[derive(FromPyObject)]
pub enum PerPixel<'py> {
    Same(f64),
    Each(PyReadonlyArray2<'py, f32>),
}

impl PerPixel<'_> {
    fn image(&self) -> PyResult<Image<'_>> {
        Ok(match self {
            Self::Same(value) => Image::Same(*value),
            Self::Each(values) => Image::Each(values.as_slice()?),
        })
    }
}

type Images<'py> = [Bound<'py, PyArray2<f32>>; 3];
type Details<'py> = (Images<'py>, Bound<'py, PyArray2<i16>>, Bound<'py, PyArray3<bool>>);
type Flags<'py> = (Bound<'py, PyArray2<u16>>, Bound<'py, PyArray3<u16>>, usize);
type Products<'py> = (
    Images<'py>,
    Bound<'py, PyArray2<u16>>,
    Option<Details<'py>>,
    Option<Bound<'py, PyArray3<f32>>>,
    Option<Flags<'py>>,
);

/// Fit every ramp in `region`: (rate, err, time), samples used, then what was asked for: ((var_poisson, var_rnoise,
/// chi2), dof, jumps), sizes, (dq, read_dq, unstable pixels).
#[pyfunction]
#[pyo3(signature = (sci, untouched, removed, dq, mask, excluded, scale, pattern, gain, read_noise, dark, thresholds, rule, region, *,
                    details, sizes, flags, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_gls<'py>(
    py: Python<'py>,
    sci: PyReadonlyArray3<'py, f32>,
    untouched: Option<PyReadonlyArray3<'py, f32>>,
    removed: Option<(PyReadonlyArray1<'py, f64>, Option<PyReadonlyArray2<'py, f32>>)>,
    dq: Option<PyReadonlyArray3<'py, u16>>,
    mask: Option<PyReadonlyArray3<'py, bool>>,
    excluded: PyReadonlyArray1<'py, bool>,
    scale: PyReadonlyArray1<'py, f64>,
    pattern: (PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>),
    gain: PerPixel<'py>,
    read_noise: PerPixel<'py>,
    dark: PerPixel<'py>,
    thresholds: Option<(f64, f64, u16)>,
    rule: DqRule,
    region: (usize, usize, usize, usize),
    details: bool,
    sizes: bool,
    flags: bool,
    threads: usize,
) -> PyResult<Products<'py>> {
    let reads = Reads {
        sci: arrays::cube("sci", &sci)?,
        removed: match (&untouched, &removed) {
            (Some(cube), _) => Removed::Untouched(arrays::cube("untouched", cube)?),
            (None, Some((rates, response))) => {
                let response = response.as_ref().map(|image| image.as_slice()).transpose()?;
                Removed::Rates(rates.as_slice()?, response)
            }
            (None, None) => Removed::Nothing,
        },
        dq: dq.as_ref().map(|dq| arrays::cube("dq", dq)).transpose()?,
        mask: mask.as_ref().map(|mask| arrays::cube("mask", mask)).transpose()?,
        excluded: excluded.as_slice()?,
        scale: scale.as_slice()?,
        pattern: Pattern {
            mean: pattern.0.as_slice()?,
            variance: pattern.1.as_slice()?,
            count: pattern.2.as_slice()?,
        },
        gain: gain.image()?,
        read_noise: read_noise.image()?,
        dark: dark.image()?,
    };
    let DqRule { bad, lenient, carried, zeroth, cleared, passing, hidden } = rule;
    let params = Params {
        thresholds: thresholds.map(|(one, two, fewest)| Thresholds { one, two, fewest }),
        rule: Rule { bad, lenient, carried, zeroth, cleared, passing, hidden },
        details,
        sizes,
        flags,
    };
    let [nread, ny, nx] = reads.sci.shape();
    let (fit, [rows, columns]) = enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        Ok((likelihood::fit_gls(&reads, &region, &params, threads)?, region.shape()))
    })?;
    let image = |data| arrays::image(py, data, [rows, columns]);
    let found = [nread - 1, rows, columns];
    let details = || -> PyResult<Details<'py>> {
        let images = [image(fit.var_poisson)?, image(fit.var_rnoise)?, image(fit.chi2)?];
        let dof = arrays::image(py, fit.dof, [rows, columns])?;
        Ok((images, dof, arrays::cube_out(py, fit.jumps, found)?))
    };
    let reported = || -> PyResult<Flags<'py>> {
        let dq = arrays::image(py, fit.dq, [rows, columns])?;
        Ok((dq, arrays::cube_out(py, fit.read_dq, [nread, ny, nx])?, fit.unstable))
    };
    Ok((
        [image(fit.rate)?, image(fit.err)?, image(fit.time)?],
        arrays::image(py, fit.samples, [rows, columns])?,
        params.details.then(details).transpose()?,
        params.sizes.then(|| arrays::cube_out(py, fit.sizes, found)).transpose()?,
        params.flags.then(reported).transpose()?,
    ))
}
