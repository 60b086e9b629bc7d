use crate::enter::enter;
use crate::ols::RampBits;
use crate::stack::{Data, Each, Words, stack};
use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use numpy::{PyReadonlyArray1, PyReadonlyArray4};
use pyo3::prelude::*;
use upramp_kernels::jump::{self, Groups, Params};
use upramp_kernels::stack::{Flags, Sample};

/// The Python dataclass of the same name, read attribute by attribute.
#[derive(FromPyObject)]
pub struct JumpRule {
    thresholds: (f64, f64, f64),
    neighbours: Option<(f64, f64)>,
    after: Vec<(f64, usize)>,
    single_pass: usize,
    fewest: usize,
    clip: usize,
    across: bool,
    clear: bool,
}

type Products<'py> = (Bound<'py, PyAny>, Option<usize>, [Bound<'py, PyArray1<usize>>; 2]);

/// Find jumps: flags, the number of primary jumps, and the places of those that spread beyond the first and last row.
#[pyfunction]
#[pyo3(signature = (data, dq, gain, read_noise, time, reads, rule, bits, *, threads))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn find_jumps<'py>(
    py: Python<'py>,
    data: Data<'py>,
    dq: Option<Words<'py>>,
    gain: Each<'py>,
    read_noise: Each<'py>,
    time: PyReadonlyArray1<'py, f64>,
    reads: PyReadonlyArray1<'py, f64>,
    rule: JumpRule,
    bits: RampBits,
    threads: usize,
) -> PyResult<Products<'py>> {
    let JumpRule { thresholds, neighbours, after, single_pass, fewest, clip, across, clear } = rule;
    let thresholds = thresholds.into();
    let bits = bits.into();
    let params = Params { thresholds, neighbours, after, single_pass, fewest, clip, across, clear, bits };
    let rest = Rest { gain, read_noise, time, reads, params, threads };
    match (data, dq) {
        (Data::Float(data), None) => rest.find::<f32, u8>(py, &data, None),
        (Data::Float(data), Some(Words::Byte(dq))) => rest.find(py, &data, Some(&dq)),
        (Data::Float(data), Some(Words::Word(dq))) => rest.find(py, &data, Some(&dq)),
        (Data::Word(data), None) => rest.find::<u16, u8>(py, &data, None),
        (Data::Word(data), Some(Words::Byte(dq))) => rest.find(py, &data, Some(&dq)),
        (Data::Word(data), Some(Words::Word(dq))) => rest.find(py, &data, Some(&dq)),
    }
}

/// Arguments of one type.
struct Rest<'py> {
    gain: Each<'py>,
    read_noise: Each<'py>,
    time: PyReadonlyArray1<'py, f64>,
    reads: PyReadonlyArray1<'py, f64>,
    params: Params,
    threads: usize,
}

impl<'py> Rest<'py> {
    fn find<T: Sample + Element, D: Flags + Element>(
        self,
        py: Python<'py>,
        data: &PyReadonlyArray4<'py, T>,
        dq: Option<&PyReadonlyArray4<'py, D>>,
    ) -> PyResult<Products<'py>> {
        let groups = Groups {
            data: stack("cube", data)?,
            dq: dq.map(|dq| stack("dq", dq)).transpose()?,
            gain: self.gain.image()?,
            read_noise: self.read_noise.image()?,
            time: self.time.as_slice()?,
            reads: self.reads.as_slice()?,
        };
        let found = enter(py, || jump::find_jumps(&groups, &self.params, self.threads))?;
        let [nints, ngroups, ny, nx] = groups.data.shape();
        let dq = found.dq.into_pyarray(py).reshape([nints, ngroups, ny, nx])?;
        debug_assert_eq!(dq.shape(), data.shape());
        Ok((dq.into_any(), found.primary, found.edges.map(|places| places.into_pyarray(py))))
    }
}
