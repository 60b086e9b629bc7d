use crate::arrays;
use crate::enter::{enter, refuse};
use numpy::{
    Element, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyReadwriteArray3, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use upramp_kernels::detector::chain::{self, Dark, Darks, Linearity, Steps, Times};
use upramp_kernels::detector::frame::Reads;
use upramp_kernels::detector::image::{Image, Pixel, Pixels};
use upramp_kernels::detector::noise::{Amplifier, Amplifiers};
use upramp_kernels::detector::{flat, reference_pixels, statistics};
use upramp_kernels::{Error, par};

type Bounds = (usize, usize, usize, usize);
type Corner = (usize, usize);
type Summary = (f32, f32, f32);
/// A reference image: numbers, or bytes as they lie in a file.
#[derive(FromPyObject)]
pub enum Stored<'py, T: Element> {
    Native(PyReadonlyArray2<'py, T>),
    File(PyReadonlyArray2<'py, u8>),
}

type ImagePlanes<'py> = (Stored<'py, f32>, Stored<'py, f32>, Stored<'py, u16>);
/// Coefficients, saturation level, flags, super zero read, its uncertainty; where the exposure lies on them.
type LinearityPlanes<'py> =
    (Vec<Stored<'py, f32>>, Stored<'py, f32>, Stored<'py, u16>, Stored<'py, f32>, Stored<'py, f32>, Corner);

/// Lay a reference image under the light-sensitive pixels.
fn image<'a, T: Element + Pixel>(
    name: &'static str,
    array: &'a Stored<'_, T>,
    at: Corner,
    covered: [usize; 2],
) -> PyResult<Image<'a, T>> {
    let (pixels, shape, width) = match array {
        Stored::Native(array) => (Pixels::Native(array.as_slice()?), array.shape(), 1),
        Stored::File(bytes) => (Pixels::File(bytes.as_slice()?), bytes.shape(), size_of::<T>()),
    };
    let &[ny, nx] = shape else { unreachable!("a 2-d array has two axes") };
    Image::new(name, pixels, [ny, nx / width], [at.0, at.1], covered).map_err(refuse)
}

/// Take all reads through the detector steps up to the ramp fit, in place; the mean of every dark.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, region, *, bad_pixels, zero_signal, levels, zero_offset, noise, amps, linearity,
    linearize, darks, times, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn calibrate_reads(
    py: Python<'_>,
    mut sci: PyReadwriteArray3<'_, f32>,
    mut err: PyReadwriteArray3<'_, f32>,
    mut dq: PyReadwriteArray3<'_, u16>,
    region: Bounds,
    bad_pixels: Option<PyReadonlyArray2<'_, u16>>,
    zero_signal: bool,
    levels: Option<PyReadonlyArray1<'_, f32>>,
    zero_offset: bool,
    noise: Vec<bool>,
    amps: ([f32; 4], [f32; 4], (isize, isize)),
    linearity: Option<LinearityPlanes<'_>>,
    linearize: bool,
    darks: Option<(Vec<ImagePlanes<'_>>, Corner, u16)>,
    times: Option<(f64, Vec<PyReadonlyArray1<'_, f32>>)>,
    threads: usize,
) -> PyResult<Vec<f32>> {
    let &[nread, ny, nx] = sci.shape() else { unreachable!("a 3-d array has three axes") };
    let region = arrays::region(region, [ny, nx]).map_err(refuse)?;
    let covered = region.shape();
    let (gains, noises, split) = amps;
    let linearity = match &linearity {
        None => None,
        Some((coefs, node, dq, zsci, zerr, at)) => Some(Linearity {
            coefs: coefs.iter().map(|coef| image("coef", coef, *at, covered)).collect::<PyResult<_>>()?,
            node: image("node", node, *at, covered)?,
            dq: image("linearity dq", dq, *at, covered)?,
            zero: [image("zsci", zsci, *at, covered)?, image("zerr", zerr, *at, covered)?],
        }),
    };
    let darks = match &darks {
        None => None,
        Some((planes, at, bad)) => Some(Darks {
            reads: planes
                .iter()
                .map(|(sci, err, dq)| {
                    Ok(Dark {
                        sci: image("dark", sci, *at, covered)?,
                        err: image("dark err", err, *at, covered)?,
                        dq: image("dark dq", dq, *at, covered)?,
                    })
                })
                .collect::<PyResult<_>>()?,
            bad: *bad,
        }),
    };
    let times = match &times {
        None => None,
        Some((zeroth, reads)) => Some(Times {
            zeroth: *zeroth,
            reads: reads.iter().map(|time| time.as_slice()).collect::<Result<_, _>>()?,
        }),
    };
    let steps = Steps {
        bad_pixels: bad_pixels.as_ref().map(|mask| mask.as_slice()).transpose()?,
        zero_signal,
        levels: levels.as_ref().map(|levels| levels.as_slice()).transpose()?,
        zero_offset,
        noise: &noise,
        amps: Amplifiers {
            quadrants: std::array::from_fn(|i| Amplifier { gain: gains[i], noise: noises[i] }),
            split: [split.0, split.1],
        },
        linearity,
        linearize,
        darks,
        times,
    };
    let reads = Reads::new([sci.as_slice_mut()?, err.as_slice_mut()?], dq.as_slice_mut()?, [nread, ny, nx])
        .map_err(refuse)?;
    enter(py, || chain::calibrate(reads, &region, &steps, threads))
}

/// Level of every read from its reference pixels.
#[pyfunction]
#[pyo3(signature = (sci, region, columns, threads))]
pub fn reference_levels(
    py: Python<'_>,
    sci: PyReadonlyArray3<'_, f32>,
    region: Bounds,
    columns: [[usize; 2]; 2],
    threads: usize,
) -> PyResult<Vec<f32>> {
    let cube = arrays::cube("sci", &sci)?;
    enter(py, || {
        let [nread, ny, nx] = cube.shape();
        let region = arrays::region(region, [ny, nx])?;
        if let Some(pair) = columns.iter().find(|[first, last]| first > last || *last >= nx) {
            let pair = format!("{}-{}", pair[0], pair[1]);
            return Err(Error::value("columns", pair, "a first and a last column inside the frame"));
        }
        let of = |r| reference_pixels::level(cube.plane(r), nx, &region, columns);
        Ok(par::map(nread, threads, of))
    })
}

/// Divide all reads by a flat and multiply by the gain, in place.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, flat, at, gain, region, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn divide_flat(
    py: Python<'_>,
    mut sci: PyReadwriteArray3<'_, f32>,
    mut err: PyReadwriteArray3<'_, f32>,
    mut dq: PyReadwriteArray3<'_, u16>,
    flat: ImagePlanes<'_>,
    at: Corner,
    gain: f32,
    region: Bounds,
    threads: usize,
) -> PyResult<()> {
    let &[nread, ny, nx] = sci.shape() else { unreachable!("a 3-d array has three axes") };
    let region = arrays::region(region, [ny, nx]).map_err(refuse)?;
    let covered = region.shape();
    let response = flat::Flat {
        sci: image("flat", &flat.0, at, covered)?,
        err: image("flat err", &flat.1, at, covered)?,
        dq: image("flat dq", &flat.2, at, covered)?,
    };
    let reads = Reads::new([sci.as_slice_mut()?, err.as_slice_mut()?], dq.as_slice_mut()?, [nread, ny, nx])
        .map_err(refuse)?;
    enter(py, || {
        flat::divide(reads, &region, &response, gain, threads);
        Ok(())
    })
}

/// For every read the number of good pixels and mean, min, max of their signal, error and signal-to-noise ratio.
#[pyfunction]
#[pyo3(signature = (sci, err, dq, flags, region, threads))]
pub fn good_pixels(
    py: Python<'_>,
    sci: PyReadonlyArray3<'_, f32>,
    err: PyReadonlyArray3<'_, f32>,
    dq: PyReadonlyArray3<'_, u16>,
    flags: u16,
    region: Bounds,
    threads: usize,
) -> PyResult<Vec<(usize, Summary, Summary, Summary)>> {
    let (sci, err) = (arrays::cube("sci", &sci)?, arrays::cube("err", &err)?);
    let dq = arrays::cube("dq", &dq)?;
    let found = enter(py, || {
        sci.same_shape("err", &err)?;
        sci.same_shape("dq", &dq)?;
        let [nread, ny, nx] = sci.shape();
        let region = arrays::region(region, [ny, nx])?;
        let of = |r| statistics::good_pixels(sci.plane(r), err.plane(r), dq.plane(r), flags, &region, nx);
        Ok(par::map(nread, threads, of))
    })?;
    let summary = |s: statistics::Summary| (s.mean, s.min, s.max);
    Ok(found.iter().map(|of| (of.count, summary(of.sci), summary(of.err), summary(of.snr))).collect())
}
