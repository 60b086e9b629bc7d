use crate::arrays;
use crate::enter::enter;
use numpy::{Element, PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use upramp_kernels::Error;
use upramp_kernels::lacosmic::{self, CleanType, Detection, FineStructure, Input, Kernel, Params, Pixel};

/// The Python dataclass of the same name, read attribute by attribute.
#[derive(FromPyObject)]
pub struct LacosmicParams {
    sigclip: f32,
    sigfrac: f32,
    objlim: f32,
    gain: f32,
    readnoise: f32,
    satlevel: f32,
    niter: usize,
    sepmed: bool,
    cleantype: String,
    grow: Option<f32>,
}

impl LacosmicParams {
    fn with(self, fine_structure: FineStructure) -> upramp_kernels::Result<Params> {
        let clean = match self.cleantype.as_str() {
            "median" => CleanType::Median,
            "medmask" => CleanType::MedianMasked,
            "meanmask" => CleanType::MeanMasked,
            "idw" => CleanType::InverseDistance,
            other => return Err(Error::value("cleantype", other, "median, medmask, meanmask or idw")),
        };
        let Self { sigclip, sigfrac, objlim, gain, readnoise, satlevel, niter, sepmed, grow, .. } = self;
        let (iterations, separable, wings) = (niter, sepmed, grow);
        #[rustfmt::skip]
        let params = Params {
            sigclip, sigfrac, objlim, gain, readnoise, satlevel, iterations, separable, clean, fine_structure, wings,
        };
        Ok(params)
    }
}

/// Everything but the pixels, whose type has to be found out.
struct Rest<'a> {
    swapped: bool,
    mask: Option<&'a [bool]>,
    sky: Option<&'a [f32]>,
    variance: Option<&'a [f32]>,
    params: Params,
    threads: usize,
}

impl Rest<'_> {
    fn detect<T: Pixel + Element>(
        self,
        py: Python<'_>,
        data: &PyReadonlyArray2<'_, T>,
    ) -> PyResult<Detection> {
        let Self { swapped, mask, sky, variance, params, threads } = self;
        let (pixels, shape) = (data.as_slice()?, [data.shape()[0], data.shape()[1]]);
        let input = Input { pixels, swapped, shape, mask, sky, variance };
        enter(py, || lacosmic::detect(&input, &params, threads))
    }
}

type Products<'py> = (Bound<'py, PyArray2<bool>>, Bound<'py, PyArray2<f32>>, Vec<usize>);

/// Mask, cleaned image and pixels selected in each round.
///
/// `swapped` data hold their bytes in the other order under a native type. `sky` is in electrons, `variance` in
/// squares of the data's unit. With a `kernel` the fine structure is by convolution.
#[pyfunction]
#[pyo3(signature = (data, swapped, mask, sky, variance, kernel, params, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn detect_cosmics<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    swapped: bool,
    mask: Option<PyReadonlyArray2<'py, bool>>,
    sky: Option<PyReadonlyArray2<'py, f32>>,
    variance: Option<PyReadonlyArray2<'py, f32>>,
    kernel: Option<PyReadonlyArray2<'py, f32>>,
    params: LacosmicParams,
    threads: usize,
) -> PyResult<Products<'py>> {
    let fine_structure = match kernel {
        None => FineStructure::Median,
        Some(kernel) => {
            let half = [kernel.shape()[0] / 2, kernel.shape()[1] / 2];
            FineStructure::Convolve(Kernel { weights: kernel.as_slice()?.to_vec(), half })
        }
    };
    let rest = Rest {
        swapped,
        mask: mask.as_ref().map(|plane| plane.as_slice()).transpose()?,
        sky: sky.as_ref().map(|plane| plane.as_slice()).transpose()?,
        variance: variance.as_ref().map(|plane| plane.as_slice()).transpose()?,
        params: params.with(fine_structure).map_err(crate::enter::refuse)?,
        threads,
    };
    let (found, shape) = if let Ok(data) = data.extract::<PyReadonlyArray2<'py, f32>>() {
        (rest.detect(py, &data)?, [data.shape()[0], data.shape()[1]])
    } else if let Ok(data) = data.extract::<PyReadonlyArray2<'py, u16>>() {
        (rest.detect(py, &data)?, [data.shape()[0], data.shape()[1]])
    } else if let Ok(data) = data.extract::<PyReadonlyArray2<'py, i16>>() {
        (rest.detect(py, &data)?, [data.shape()[0], data.shape()[1]])
    } else if let Ok(data) = data.extract::<PyReadonlyArray2<'py, f64>>() {
        (rest.detect(py, &data)?, [data.shape()[0], data.shape()[1]])
    } else if let Ok(data) = data.extract::<PyReadonlyArray2<'py, i32>>() {
        (rest.detect(py, &data)?, [data.shape()[0], data.shape()[1]])
    } else {
        return Err(PyTypeError::new_err(
            "data must be a 2-d array of float32, float64, uint16, int16 or int32",
        ));
    };
    let Detection { mask, clean, counts } = found;
    Ok((arrays::image(py, mask, shape)?, arrays::image(py, clean, shape)?, counts))
}
