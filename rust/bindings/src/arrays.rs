//! NumPy arrays to views (borrowed), vectors to NumPy arrays (moved).

use crate::enter::refuse;
use numpy::PyUntypedArrayMethods;
use numpy::ndarray::{self, ArrayView3};
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray3};
use pyo3::prelude::*;
use upramp_kernels::Result as KernelResult;
use upramp_kernels::view::{Cube, Region, Source, convert};

/// A `(nread, ny, nx)` array as it lies in memory: reads and rows wherever they are, pixels of a row a step apart.
pub struct Strided<'a, S>(ArrayView3<'a, S>);

impl<'a, S: Element> Strided<'a, S> {
    /// Borrow an array.
    pub fn new(array: &'a PyReadonlyArray3<'_, S>) -> Self {
        Self(array.as_array())
    }
}

impl<T, S: Copy + Into<T> + Sync> Source<T> for Strided<'_, S> {
    fn shape(&self) -> [usize; 3] {
        let (nread, ny, nx) = self.0.dim();
        [nread, ny, nx]
    }

    fn run(&self, read: usize, row: usize, start: usize, into: &mut [T]) {
        let run = self.0.slice(ndarray::s![read, row, start..start + into.len()]);
        match run.to_slice() {
            Some(pixels) => convert(pixels, into),
            None => into.iter_mut().zip(run).for_each(|(place, &value)| *place = value.into()),
        }
    }
}

/// Signal of any type that a kernel takes without a copy.
#[derive(FromPyObject)]
pub enum Signal<'py> {
    Float(PyReadonlyArray3<'py, f32>),
    Counts(PyReadonlyArray3<'py, u16>),
    Double(PyReadonlyArray3<'py, f64>),
}

impl Signal<'_> {
    /// As kernels see it.
    pub fn source(&self) -> Box<dyn Source<f64> + '_> {
        match self {
            Self::Float(array) => Box::new(Strided::new(array)),
            Self::Counts(array) => Box::new(Strided::new(array)),
            Self::Double(array) => Box::new(Strided::new(array)),
        }
    }
}

/// Flags, likewise.
#[derive(FromPyObject)]
pub enum FlagCube<'py> {
    Byte(PyReadonlyArray3<'py, u8>),
    Word(PyReadonlyArray3<'py, u16>),
}

impl FlagCube<'_> {
    /// As kernels see them.
    pub fn source(&self) -> Box<dyn Source<u16> + '_> {
        match self {
            Self::Byte(array) => Box::new(Strided::new(array)),
            Self::Word(array) => Box::new(Strided::new(array)),
        }
    }
}

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
