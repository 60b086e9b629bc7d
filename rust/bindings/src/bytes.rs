use numpy::PyReadwriteArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use upramp_kernels::bytes;

/// Swap the words of an array (unsigned, 2 or 4 bytes) between big-endian and native order, in place.
#[pyfunction]
pub fn swap_big_endian(py: Python<'_>, words: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(mut words) = words.extract::<PyReadwriteArray1<'_, u32>>() {
        let slice = words.as_slice_mut()?;
        py.detach(|| bytes::swap_big_endian(slice));
        return Ok(());
    }
    if let Ok(mut words) = words.extract::<PyReadwriteArray1<'_, u16>>() {
        let slice = words.as_slice_mut()?;
        py.detach(|| bytes::swap_big_endian(slice));
        return Ok(());
    }
    Err(PyTypeError::new_err("words must be a writable 1-d array of uint16 or uint32"))
}
