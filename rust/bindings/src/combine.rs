use crate::enter::enter;
use numpy::{Element, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use upramp_kernels::Error;
use upramp_kernels::combine::{
    self, Centre, Deviation, Frame, Outputs, Rejection, SigmaClip, Statistic, Word,
};

/// (lower, upper, rounds, centre, deviation)
type Clip = (f64, f64, usize, String, String);

/// Combine frames given as flat arrays of one type into `data`, `uncertainty` and `count`.
///
/// `swapped` and `flipped` tell how their words are stored; `clip` or `extremes` what is left out. Whether any pixel
/// is without a value. `count` may be None for a median of words that are neither masked nor scaled.
#[pyfunction]
#[pyo3(signature = (
    words, swapped, flipped, bad, sigma, scale, zero, method, clip, extremes, data, uncertainty, count, threads
))]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn combine_frames(
    py: Python<'_>,
    words: &Bound<'_, PyAny>,
    swapped: Vec<bool>,
    flipped: Vec<bool>,
    bad: Vec<Option<PyReadonlyArray1<'_, bool>>>,
    sigma: Option<Vec<PyReadonlyArray1<'_, f32>>>,
    scale: Vec<f32>,
    zero: Vec<f32>,
    method: &str,
    clip: Option<Clip>,
    extremes: Option<(usize, usize)>,
    mut data: PyReadwriteArray1<'_, f32>,
    mut uncertainty: Option<PyReadwriteArray1<'_, f32>>,
    mut count: Option<PyReadwriteArray1<'_, u16>>,
    threads: usize,
) -> PyResult<bool> {
    let rest = Rest { swapped, flipped, bad, sigma, scale, zero };
    let statistic = if method == "mean" { Statistic::Mean } else { Statistic::Median };
    let rejection = match (clip, extremes) {
        (Some((lower, upper, max_iter, centre, deviation)), _) => {
            let centre = if centre == "mean" { Centre::Mean } else { Centre::Median };
            let deviation = if deviation == "mad" { Deviation::Mad } else { Deviation::Std };
            Rejection::Sigma(SigmaClip { lower, upper, max_iter, centre, deviation })
        }
        (None, Some((lowest, highest))) => Rejection::Extremes(lowest, highest),
        (None, None) => Rejection::None,
    };
    let outputs = Outputs {
        data: data.as_slice_mut()?,
        uncertainty: uncertainty.as_mut().map(|array| array.as_slice_mut()).transpose()?,
        count: count.as_mut().map(|array| array.as_slice_mut()).transpose()?,
    };
    if let Ok(words) = words.extract::<Vec<PyReadonlyArray1<'_, u16>>>() {
        return run(py, &words, &rest, statistic, rejection, outputs, threads);
    }
    if let Ok(words) = words.extract::<Vec<PyReadonlyArray1<'_, f32>>>() {
        return run(py, &words, &rest, statistic, rejection, outputs, threads);
    }
    Err(PyTypeError::new_err("words must be a list of 1-d arrays, all of uint16 or all of float32"))
}

/// What comes with the words, one of each a frame.
struct Rest<'py> {
    swapped: Vec<bool>,
    flipped: Vec<bool>,
    bad: Vec<Option<PyReadonlyArray1<'py, bool>>>,
    sigma: Option<Vec<PyReadonlyArray1<'py, f32>>>,
    scale: Vec<f32>,
    zero: Vec<f32>,
}

fn run<T: Word + Element>(
    py: Python<'_>,
    words: &[PyReadonlyArray1<'_, T>],
    rest: &Rest<'_>,
    statistic: Statistic,
    rejection: Rejection,
    outputs: Outputs<'_>,
    threads: usize,
) -> PyResult<bool> {
    let lengths = [rest.swapped.len(), rest.flipped.len(), rest.bad.len(), rest.scale.len(), rest.zero.len()];
    let sigmas = rest.sigma.as_ref().map_or(words.len(), Vec::len);
    if let Some(&got) = lengths.iter().chain([&sigmas]).find(|&&length| length != words.len()) {
        let (got, expected) = (vec![got], vec![words.len()]);
        return Err(crate::enter::refuse(Error::Shape { name: "words", got, expected }));
    }
    let mut frames = Vec::with_capacity(words.len());
    for (k, words) in words.iter().enumerate() {
        frames.push(Frame {
            words: words.as_slice()?,
            swapped: rest.swapped[k],
            flipped: rest.flipped[k],
            bad: rest.bad[k].as_ref().map(|mask| mask.as_slice()).transpose()?,
            sigma: rest.sigma.as_ref().map(|all| all[k].as_slice()).transpose()?,
            scale: rest.scale[k],
            zero: rest.zero[k],
        });
    }
    enter(py, || combine::combine(&frames, statistic, rejection, outputs, threads))
}
