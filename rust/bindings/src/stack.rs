//! Four-dimensional arrays, wherever their rows lie.

use crate::enter::refuse;
use numpy::{Element, PyReadonlyArray2, PyReadonlyArray4, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use upramp_kernels::stack::{PerPixel, Stack};

/// Samples as they are stored.
#[derive(FromPyObject)]
pub enum Data<'py> {
    Float(PyReadonlyArray4<'py, f32>),
    Word(PyReadonlyArray4<'py, u16>),
}

/// Flags as they are stored.
#[derive(FromPyObject)]
pub enum Words<'py> {
    Byte(PyReadonlyArray4<'py, u8>),
    Word(PyReadonlyArray4<'py, u16>),
}

/// A number or an image.
#[derive(FromPyObject)]
pub enum Each<'py> {
    Same(f32),
    Each(PyReadonlyArray2<'py, f32>),
}

impl Each<'_> {
    /// Borrowed.
    pub fn image(&self) -> PyResult<PerPixel<'_>> {
        Ok(match self {
            Self::Same(value) => PerPixel::Same(*value),
            Self::Each(values) => PerPixel::Each(values.as_slice()?),
        })
    }
}

/// Borrow a `(nints, ngroups, ny, nx)` array: its planes if they lie together, or else its rows.
pub fn stack<'a, T: Element>(
    name: &'static str,
    array: &'a PyReadonlyArray4<'_, T>,
) -> PyResult<Stack<'a, T>> {
    let &[nints, ngroups, ny, nx] = array.shape() else { unreachable!("a 4-d array has four axes") };
    let shape = [nints, ngroups, ny, nx];
    if let Ok(data) = array.as_slice() {
        return Stack::whole(name, data, shape).map_err(refuse);
    }
    let view = array.as_array();
    let step = view.strides()[3];
    let planes = view.into_outer_iter().flat_map(|integration| integration.into_outer_iter());
    let whole: Option<Vec<_>> = planes.clone().map(|plane| plane.to_slice()).collect();
    let rows = || planes.flat_map(|plane| plane.into_outer_iter()).map(|row| row.to_slice()).collect();
    let lines = whole.or_else(rows).ok_or_else(|| {
        PyValueError::new_err(format!("{name} has pixels {step} apart, expected rows that lie together"))
    })?;
    Stack::new(name, lines, shape).map_err(refuse)
}
