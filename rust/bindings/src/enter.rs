//! The one door into the kernels: release the interpreter, run, map errors.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use upramp_kernels::{Error, Result};

/// Run a kernel without holding the interpreter lock.
pub fn enter<T: Send>(py: Python<'_>, kernel: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(kernel).map_err(refuse)
}

/// A refused argument is a `ValueError` that names it.
pub fn refuse(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
