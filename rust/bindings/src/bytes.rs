use crate::enter::refuse;
use numpy::{Element, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use upramp_kernels::Error;
use upramp_kernels::bytes::{self, Word};

/// Swap the words of an array (unsigned, 2 or 4 bytes) between big-endian and native order, in place.
#[pyfunction]
pub fn swap_big_endian(py: Python<'_>, words: &Bound<'_, PyAny>) -> PyResult<()> {
    fn swap<T: Word + Element>(py: Python<'_>, mut words: PyReadwriteArray1<'_, T>) -> PyResult<()> {
        let slice = words.as_slice_mut()?;
        py.detach(|| bytes::swap_big_endian(slice));
        Ok(())
    }
    if let Ok(words) = words.extract::<PyReadwriteArray1<'_, u32>>() {
        return swap(py, words);
    }
    if let Ok(words) = words.extract::<PyReadwriteArray1<'_, u16>>() {
        return swap(py, words);
    }
    Err(PyTypeError::new_err("words must be a writable 1-d array of uint16 or uint32"))
}

/// Copy words from big-endian to native order, or back, into an array of the same type and length.
#[pyfunction]
pub fn copy_swapped(py: Python<'_>, words: &Bound<'_, PyAny>, into: &Bound<'_, PyAny>) -> PyResult<()> {
    fn copy<T: Word + Element>(
        py: Python<'_>,
        words: &PyReadonlyArray1<'_, T>,
        into: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let mut into = into.extract::<PyReadwriteArray1<'_, T>>()?;
        let (from, to) = (words.as_slice()?, into.as_slice_mut()?);
        if from.len() != to.len() {
            let (got, expected) = (vec![to.len()], vec![from.len()]);
            return Err(refuse(Error::Shape { name: "into", got, expected }));
        }
        py.detach(|| bytes::copy_swapped(from, to));
        Ok(())
    }
    if let Ok(words) = words.extract::<PyReadonlyArray1<'_, u32>>() {
        return copy(py, &words, into);
    }
    if let Ok(words) = words.extract::<PyReadonlyArray1<'_, u16>>() {
        return copy(py, &words, into);
    }
    Err(PyTypeError::new_err("words must be a 1-d array of uint16 or uint32"))
}
