//! NumPy arrays to views (borrowed), vectors to NumPy arrays (moved).

use crate::enter::refuse;
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray3};
use numpy::{PyUntypedArrayMethods, ndarray};
use pyo3::prelude::*;
use upramp_kernels::Result as KernelResult;
use upramp_kernels::view::{Cube, Region};

/// Borrow a `(nread, ny, nx)` array.
pub fn cube<'a, T: Element>(name: &'static str, array: &'a PyReadonlyArray3<'_, T>) -> PyResult<Cube<'a, T>> {
    let &[nread, ny, nx] = array.shape() else { unreachable!("a 3-d array has three axes") };
    Cube::new(name, array.as_slice()?, [nread, ny, nx]).map_err(refuse)
}

/// `(y0, y1, x0, x1)` of an image.
pub fn region(bounds: (usize, usize, usize, usize), shape: [usize; 2]) -> KernelResult<Region> {
    Region::new(bounds.0..bounds.1, bounds.2..bounds.3, shape)
}

/// Move a vector out as an image.
pub fn image<T: Element>(
    py: Python<'_>,
    data: Vec<T>,
    shape: [usize; 2],
) -> PyResult<Bound<'_, PyArray2<T>>> {
    data.into_pyarray(py).reshape(shape)
}

/// Move a vector out as a cube.
pub fn cube_out<T: Element>(
    py: Python<'_>,
    data: Vec<T>,
    shape: [usize; 3],
) -> PyResult<Bound<'_, PyArray3<T>>> {
    data.into_pyarray(py).reshape(shape)
}

/// Move an iterator of numbers out as a vector.
pub fn vector<T: Element>(py: Python<'_>, data: impl Iterator<Item = T>) -> Bound<'_, PyArray1<T>> {
    ndarray::Array1::from_iter(data).into_pyarray(py)
}
