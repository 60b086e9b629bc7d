use crate::enter::enter;
use numpy::{PyReadonlyArray2, PyReadwriteArray2};
use pyo3::prelude::*;
use upramp_kernels::masked::{Stored, masked};

/// Put pixels (their bits as words) as native numbers into an array, NaN where `quality` has one of the bits `bad` or
/// `good` is false. `swapped` tells whether the words of pixels and quality are of the other byte order.
#[pyfunction]
pub fn masked_pixels(
    py: Python<'_>,
    pixels: PyReadonlyArray2<'_, u32>,
    quality: Option<PyReadonlyArray2<'_, u16>>,
    good: Option<PyReadonlyArray2<'_, bool>>,
    bad: u16,
    swapped: (bool, bool),
    mut into: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let words = Stored { words: pixels.as_slice()?, swapped: swapped.0 };
    let quality = quality.as_ref().map(|quality| quality.as_slice()).transpose()?;
    let quality = quality.map(|words| Stored { words, swapped: swapped.1 });
    let good = good.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let into = into.as_slice_mut()?;
    enter(py, || masked(words, quality, bad, good, into))
}
