use crate::arrays;
use crate::enter::enter;
use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use upramp_kernels::masked::{Stored, masked};

/// Pixels (their bits as words) as native float32, NaN where `quality` has one of the bits `bad` or `good` is false.
/// `swapped` tells whether the words of pixels and quality are of the other byte order.
#[pyfunction]
pub fn masked_pixels<'py>(
    py: Python<'py>,
    pixels: PyReadonlyArray2<'py, u32>,
    quality: Option<PyReadonlyArray2<'py, u16>>,
    good: Option<PyReadonlyArray2<'py, bool>>,
    bad: u16,
    swapped: (bool, bool),
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let &[ny, nx] = pixels.shape() else { unreachable!("a 2-d array has two axes") };
    let words = Stored { words: pixels.as_slice()?, swapped: swapped.0 };
    let quality = quality.as_ref().map(|quality| quality.as_slice()).transpose()?;
    let quality = quality.map(|words| Stored { words, swapped: swapped.1 });
    let good = good.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let found = enter(py, || masked(words, quality, bad, good))?;
    arrays::image(py, found, [ny, nx])
}
