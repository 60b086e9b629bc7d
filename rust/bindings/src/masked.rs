use crate::enter::enter;
use numpy::{PyReadonlyArray2, PyReadwriteArray2};
use pyo3::prelude::*;
use upramp_kernels::masked::{Stored, mask};

/// Make pixels NaN, in place, where `quality` has one of the bits `bad` or `good` is false. `swapped` tells whether the
/// pixels and the words of `quality` are of the other byte order.
#[pyfunction]
pub fn mask_pixels(
    py: Python<'_>,
    mut pixels: PyReadwriteArray2<'_, f32>,
    quality: Option<PyReadonlyArray2<'_, u16>>,
    good: Option<PyReadonlyArray2<'_, bool>>,
    bad: u16,
    swapped: (bool, bool),
) -> PyResult<()> {
    let quality = quality.as_ref().map(|quality| quality.as_slice()).transpose()?;
    let quality = quality.map(|words| Stored { words, swapped: swapped.1 });
    let good = good.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let pixels = pixels.as_slice_mut()?;
    enter(py, || mask(pixels, swapped.0, quality, bad, good))
}
