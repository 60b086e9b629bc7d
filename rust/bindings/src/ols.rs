use crate::arrays;
use crate::enter::enter;
use crate::stack::{Data, Each, Words, stack};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyUntypedArrayMethods};
use numpy::{PyReadonlyArray2, PyReadonlyArray3, PyReadonlyArray4};
use pyo3::prelude::*;
use upramp_kernels::ramp::ols::{self, Bits, Fit, Groups, Params};
use upramp_kernels::stack::{Flags, Sample};

/// The Python dataclass of the same name, read attribute by attribute.
#[derive(FromPyObject)]
pub struct RampBits {
    do_not_use: u16,
    saturated: u16,
    jump: u16,
    persistence: u16,
    charge_loss: u16,
    no_gain: u32,
}

impl From<RampBits> for Bits {
    fn from(bits: RampBits) -> Self {
        let RampBits { do_not_use, saturated, jump, persistence, charge_loss, no_gain } = bits;
        Self { do_not_use, saturated, jump, persistence, charge_loss, no_gain }
    }
}

type Images<'py> = ([Bound<'py, PyArray2<f32>>; 4], Bound<'py, PyArray2<u32>>);
type Cubes<'py> = ([Bound<'py, PyArray3<f32>>; 4], Bound<'py, PyArray3<u32>>);
type Segments<'py> = (Vec<Bound<'py, PyArray4<f32>>>, Bound<'py, PyArray3<f32>>, Bound<'py, PyArray4<f32>>);
type Products<'py> = (Images<'py>, Option<Cubes<'py>>, Option<Segments<'py>>, Bound<'py, PyArray1<usize>>);

/// Fit every ramp: (rate, var_poisson, var_rnoise, err) and dq of the exposure, of the integrations if wanted, what
/// is known of the segments if wanted, and the places of suppressed ramps.
#[pyfunction]
#[pyo3(signature = (data, dq, original, pixel_dq, zeroframe, gain, read_noise, dark, times, bits, *, suppress, lone_first,
                    integrations, segments, parity, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn fit_ols<'py>(
    py: Python<'py>,
    data: Data<'py>,
    dq: Option<Words<'py>>,
    original: Option<Words<'py>>,
    pixel_dq: Option<PyReadonlyArray2<'py, u32>>,
    zeroframe: Option<PyReadonlyArray3<'py, f32>>,
    gain: Each<'py>,
    read_noise: Each<'py>,
    dark: Each<'py>,
    times: (f64, f64, f64, f64),
    bits: RampBits,
    suppress: bool,
    lone_first: bool,
    integrations: bool,
    segments: bool,
    parity: bool,
    threads: usize,
) -> PyResult<Products<'py>> {
    let (group_time, first_time, frame_time, pedestal) = times;
    let params = Params {
        group_time,
        first_time,
        frame_time,
        pedestal,
        bits: bits.into(),
        suppress,
        lone_first,
        integrations,
        segments,
        parity,
    };
    let rest = Rest { original, pixel_dq, zeroframe, gain, read_noise, dark, params, threads };
    match (data, dq) {
        (Data::Float(data), None) => rest.fit::<f32, u8>(py, &data, None),
        (Data::Float(data), Some(Words::Byte(dq))) => rest.fit(py, &data, Some(&dq)),
        (Data::Float(data), Some(Words::Word(dq))) => rest.fit(py, &data, Some(&dq)),
        (Data::Word(data), None) => rest.fit::<u16, u8>(py, &data, None),
        (Data::Word(data), Some(Words::Byte(dq))) => rest.fit(py, &data, Some(&dq)),
        (Data::Word(data), Some(Words::Word(dq))) => rest.fit(py, &data, Some(&dq)),
    }
}

/// Arguments of one type.
struct Rest<'py> {
    original: Option<Words<'py>>,
    pixel_dq: Option<PyReadonlyArray2<'py, u32>>,
    zeroframe: Option<PyReadonlyArray3<'py, f32>>,
    gain: Each<'py>,
    read_noise: Each<'py>,
    dark: Each<'py>,
    params: Params,
    threads: usize,
}

/// Flags of the type of the groups'.
trait Typed: Flags + numpy::Element {
    fn typed<'a, 'py>(words: &'a Words<'py>) -> Option<&'a PyReadonlyArray4<'py, Self>>;
}

impl Typed for u8 {
    fn typed<'a, 'py>(words: &'a Words<'py>) -> Option<&'a PyReadonlyArray4<'py, Self>> {
        if let Words::Byte(words) = words { Some(words) } else { None }
    }
}

impl Typed for u16 {
    fn typed<'a, 'py>(words: &'a Words<'py>) -> Option<&'a PyReadonlyArray4<'py, Self>> {
        if let Words::Word(words) = words { Some(words) } else { None }
    }
}

impl<'py> Rest<'py> {
    fn fit<T: Sample + numpy::Element, D: Typed>(
        self,
        py: Python<'py>,
        data: &PyReadonlyArray4<'py, T>,
        dq: Option<&PyReadonlyArray4<'py, D>>,
    ) -> PyResult<Products<'py>> {
        let original = self.original.as_ref().and_then(D::typed);
        let groups = Groups {
            data: stack("cube", data)?,
            dq: dq.map(|dq| stack("dq", dq)).transpose()?,
            original: original.map(|dq| stack("original_dq", dq)).transpose()?,
            pixel_dq: self.pixel_dq.as_ref().map(|dq| dq.as_slice()).transpose()?,
            zeroframe: self.zeroframe.as_ref().map(|frames| frames.as_slice()).transpose()?,
            gain: self.gain.image()?,
            read_noise: self.read_noise.image()?,
            dark: self.dark.image()?,
        };
        let shape = [data.shape()[0], data.shape()[2], data.shape()[3]];
        let fit = enter(py, || ols::fit_ols(&groups, &self.params, self.threads))?;
        products(py, fit, shape, &self.params)
    }
}

fn products<'py>(
    py: Python<'py>,
    fit: Fit,
    [nints, ny, nx]: [usize; 3],
    params: &Params,
) -> PyResult<Products<'py>> {
    let Fit { exposure, integrations, segments, suppressed } = fit;
    let image = |data| arrays::image(py, data, [ny, nx]);
    let cube = |data| arrays::cube_out(py, data, [nints, ny, nx]);
    let planes = |data: Vec<f32>, count| data.into_pyarray(py).reshape([nints, count, ny, nx]);
    let ols::Products { slope, var_poisson, var_rnoise, err, dq } = exposure;
    let rate = (
        [image(slope)?, image(var_poisson)?, image(var_rnoise)?, image(err)?],
        arrays::image(py, dq, [ny, nx])?,
    );
    let each = || -> PyResult<Cubes<'py>> {
        let ols::Products { slope, var_poisson, var_rnoise, err, dq } = integrations;
        let images = [cube(slope)?, cube(var_poisson)?, cube(var_rnoise)?, cube(err)?];
        Ok((images, arrays::cube_out(py, dq, [nints, ny, nx])?))
    };
    let known = || -> PyResult<Segments<'py>> {
        let ols::Segments { most, most_hits, images, pedestal, hits } = segments;
        let images = images.into_iter().map(|image| planes(image, most)).collect::<PyResult<_>>()?;
        Ok((images, cube(pedestal)?, planes(hits, most_hits)?))
    };
    Ok((
        rate,
        params.integrations.then(each).transpose()?,
        params.segments.then(known).transpose()?,
        suppressed.into_pyarray(py),
    ))
}
