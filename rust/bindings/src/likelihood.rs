use crate::arrays::{self, FlagCube, Signal, Strided};
use crate::enter::enter;
use numpy::{PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::ramp::likelihood::{
    self, Image, Params, Pattern, Prior, Reads, Removed, Rule, Thresholds, Wanted,
};
use upramp_kernels::view::Source;

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
    hit: u16,
}

/// A number or an image.
#[derive(FromPyObject)]
pub enum PerPixel<'py> {
    Same(f64),
    Each(PyReadonlyArray2<'py, f32>),
}

impl PerPixel<'_> {
    /// As kernels see it.
    pub fn image(&self) -> PyResult<Image<'_>> {
        Ok(match self {
            Self::Same(value) => Image::Same(*value),
            Self::Each(values) => Image::Each(values.as_slice()?),
        })
    }
}

type Floats<'py> = Bound<'py, PyArray2<f32>>;
type Hits<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u16>>, Bound<'py, PyArray1<f32>>);
type Flags<'py> = (Bound<'py, PyArray2<u16>>, Bound<'py, PyArray3<u16>>, usize);
type Products<'py> = (
    Floats<'py>,
    Option<Floats<'py>>,
    Option<[Floats<'py>; 2]>,
    Option<(Floats<'py>, Bound<'py, PyArray2<i16>>)>,
    Option<(Floats<'py>, Bound<'py, PyArray2<u16>>)>,
    Option<Hits<'py>>,
    Option<Flags<'py>>,
    Option<[Floats<'py>; 3]>,
);

/// What to report, read from a dataclass attribute by attribute.
#[derive(FromPyObject)]
pub struct GlsProducts {
    err: bool,
    variances: bool,
    goodness: bool,
    exposure: bool,
    hits: bool,
    flags: bool,
    pedestal: Option<(f64, f64)>,
}

/// Fit every ramp in `region`: rate, then what was asked for: err, (var_poisson, var_rnoise), (chi2, dof), (time,
/// samples used), hits (pixel, read before, size), (dq, read_dq, unstable pixels), (pedestal, its error, covariance
/// with the rate).
#[pyfunction]
#[pyo3(signature = (sci, untouched, removed, dq, mask, excluded, scale, pattern, gain, read_noise, dark, guess,
                    thresholds, rule, region, wanted, *, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_gls<'py>(
    py: Python<'py>,
    sci: Signal<'py>,
    untouched: Option<Signal<'py>>,
    removed: Option<(PyReadonlyArray1<'py, f64>, Option<PyReadonlyArray2<'py, f32>>)>,
    dq: Option<FlagCube<'py>>,
    mask: Option<PyReadonlyArray3<'py, bool>>,
    excluded: PyReadonlyArray1<'py, bool>,
    scale: PyReadonlyArray1<'py, f64>,
    pattern: (PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>),
    gain: PerPixel<'py>,
    read_noise: PerPixel<'py>,
    dark: PerPixel<'py>,
    guess: Option<PerPixel<'py>>,
    thresholds: Option<(f64, f64, u16, bool)>,
    rule: DqRule,
    region: (usize, usize, usize, usize),
    wanted: GlsProducts,
    threads: usize,
) -> PyResult<Products<'py>> {
    let sci = sci.source();
    let untouched = untouched.as_ref().map(Signal::source);
    let dq = dq.as_ref().map(FlagCube::source);
    let mask = mask.as_ref().map(Strided::new);
    let reads = Reads {
        sci: &*sci,
        removed: match (&untouched, &removed) {
            (Some(cube), _) => Removed::Untouched(&**cube),
            (None, Some((rates, response))) => {
                let response = response.as_ref().map(|image| image.as_slice()).transpose()?;
                Removed::Rates(rates.as_slice()?, response)
            }
            (None, None) => Removed::Nothing,
        },
        dq: dq.as_deref(),
        mask: mask.as_ref().map(|mask| mask as &dyn Source<bool>),
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
        guess: guess.as_ref().map(PerPixel::image).transpose()?,
    };
    let DqRule { bad, lenient, carried, zeroth, cleared, passing, hidden, hit } = rule;
    let GlsProducts { err, variances, goodness, exposure, hits, flags, pedestal } = wanted;
    let pedestal = pedestal.map(|(value, sigma)| Prior { value, sigma });
    let params = Params {
        thresholds: thresholds.map(|(one, two, fewest, positive)| Thresholds { one, two, fewest, positive }),
        rule: Rule { bad, lenient, carried, zeroth, cleared, passing, hidden, hit },
        wanted: Wanted { err, variances, goodness, exposure, hits, flags, pedestal },
    };
    let [nread, ny, nx] = reads.sci.shape();
    let (fit, size) = enter(py, || {
        let region = arrays::region(region, [ny, nx])?;
        Ok((likelihood::fit_gls(&reads, &region, &params, threads)?, region.shape()))
    })?;
    let image = |data| arrays::image(py, data, size);
    let found = fit.hits;
    let listed = || -> Hits<'py> {
        (
            arrays::vector(py, found.iter().map(|hit| hit.pixel)),
            arrays::vector(py, found.iter().map(|hit| hit.after)),
            arrays::vector(py, found.iter().map(|hit| hit.size)),
        )
    };
    let reported = || -> PyResult<Flags<'py>> {
        let dq = arrays::image(py, fit.dq, size)?;
        Ok((dq, arrays::cube_out(py, fit.read_dq, [nread, ny, nx])?, fit.unstable))
    };
    Ok((
        image(fit.rate)?,
        if err { Some(image(fit.err)?) } else { None },
        if variances { Some([image(fit.var_poisson)?, image(fit.var_rnoise)?]) } else { None },
        if goodness { Some((image(fit.chi2)?, arrays::image(py, fit.dof, size)?)) } else { None },
        if exposure { Some((image(fit.time)?, arrays::image(py, fit.samples, size)?)) } else { None },
        hits.then(listed),
        flags.then(reported).transpose()?,
        match pedestal {
            Some(_) => Some([image(fit.pedestal)?, image(fit.pedestal_err)?, image(fit.pedestal_cov)?]),
            None => None,
        },
    ))
}
