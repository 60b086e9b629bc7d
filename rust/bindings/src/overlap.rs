use crate::arrays;
use crate::enter::enter;
use crate::stats;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::ops::Range;
use upramp_kernels::overlap::fill::{self, Span};
use upramp_kernels::overlap::{self, Polygon, Vector, levels};
use upramp_kernels::stats::imagestats::Clipping;
use upramp_kernels::{Error, Result as KernelResult, par};

/// Ranges between successive `starts`, all within `len`.
fn ranges(name: &'static str, starts: &[i64], len: usize) -> KernelResult<Vec<Range<usize>>> {
    let range = |pair: &[i64]| {
        let ends = usize::try_from(pair[0]).ok().zip(usize::try_from(pair[1]).ok());
        ends.filter(|&(begin, end)| begin <= end && end <= len)
            .map(|(begin, end)| begin..end)
            .ok_or_else(|| Error::value(name, format!("{pair:?}"), "ascending indices within the array"))
    };
    starts.windows(2).map(range).collect()
}

fn polygons(vertices: &[f64], starts: &[i64]) -> KernelResult<Vec<Polygon>> {
    let (vertices, _) = vertices.as_chunks::<3>();
    let all: Vec<Vector> = vertices.iter().map(|&v| Vector(v)).collect();
    ranges("starts", starts, all.len())?.into_iter().map(|range| Polygon::new(&all[range])).collect()
}

/// Solid angle of every polygon; polygon k has the vertices `starts[k]` to `starts[k + 1]`.
#[pyfunction]
pub fn polygon_areas<'py>(
    py: Python<'py>,
    vertices: PyReadonlyArray2<'py, f64>,
    starts: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (vertices, starts) = (vertices.as_slice()?, starts.as_slice()?);
    let found = enter(py, || polygons(vertices, starts))?;
    Ok(arrays::vector(py, found.iter().map(Polygon::area)))
}

type Overlaps<'py> = (
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
);

/// (i, j) of every overlap, its area, the vertices of all pieces, where every piece starts, and every overlap's pieces.
#[pyfunction]
pub fn find_overlaps<'py>(
    py: Python<'py>,
    vertices: PyReadonlyArray2<'py, f64>,
    starts: PyReadonlyArray1<'py, i64>,
    groups: PyReadonlyArray1<'py, i64>,
    threads: usize,
) -> PyResult<Overlaps<'py>> {
    let (vertices, starts, groups) = (vertices.as_slice()?, starts.as_slice()?, groups.as_slice()?);
    let found = enter(py, || overlap::overlaps(&polygons(vertices, starts)?, groups, threads))?;
    let ends: Vec<i64> = found.iter().flat_map(|o| [o.i as i64, o.j as i64]).collect();
    let pieces = || found.iter().flat_map(|o| &o.pieces);
    let corners: Vec<f64> = pieces().flatten().flat_map(|v| v.0).collect();
    let shape = [corners.len() / 3, 3];
    Ok((
        arrays::image(py, ends, [found.len(), 2])?,
        arrays::vector(py, found.iter().map(|o| o.area)),
        arrays::image(py, corners, shape)?,
        arrays::vector(py, running(pieces().map(Vec::len))),
        arrays::vector(py, running(found.iter().map(|o| o.pieces.len()))),
    ))
}

type Spans<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray1<i64>>);

/// Pixels inside polygons: spans (y, first x, end x) of all, and where those of each start. Polygon k is the union of
/// the pieces `pieces[k]` to `pieces[k + 1]`, each with the vertices (x, y) that `starts` tells; `shapes[k]` is its
/// image's.
#[pyfunction]
pub fn fill_polygons<'py>(
    py: Python<'py>,
    vertices: PyReadonlyArray2<'py, f64>,
    starts: PyReadonlyArray1<'py, i64>,
    pieces: PyReadonlyArray1<'py, i64>,
    shapes: PyReadonlyArray2<'py, i64>,
    threads: usize,
) -> PyResult<Spans<'py>> {
    let (corners, _) = vertices.as_slice()?.as_chunks::<2>();
    let (starts, pieces) = (starts.as_slice()?, pieces.as_slice()?);
    let (shapes, _) = shapes.as_slice()?.as_chunks::<2>();
    let found = enter(py, || {
        let bounds = ranges("starts", starts, corners.len())?;
        let groups = ranges("pieces", pieces, bounds.len())?;
        if shapes.len() != groups.len() {
            let (got, expected) = (vec![shapes.len()], vec![groups.len()]);
            return Err(Error::Shape { name: "shapes", got, expected });
        }
        let shape = |k: usize| shapes[k].map(|n| usize::try_from(n).unwrap_or(0));
        Ok(par::map(groups.len(), threads, |k| {
            let pieces: Vec<_> =
                bounds[groups[k].clone()].iter().map(|range| &corners[range.clone()]).collect();
            fill::fill(&pieces, shape(k))
        }))
    })?;
    let spans: Vec<i64> = found
        .iter()
        .flatten()
        .flat_map(|span| [span.y, span.x.start, span.x.end])
        .map(|n| n as i64)
        .collect();
    let shape = [spans.len() / 3, 3];
    Ok((arrays::image(py, spans, shape)?, arrays::vector(py, running(found.iter().map(Vec::len)))))
}

type Levels<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>);

/// Clipped statistic, pixels of the last round and their standard deviation inside every region of an image; region k
/// has the spans (y, first x, end x) from `starts[k]` to `starts[k + 1]`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the flat list the Python layer fills by name")]
pub fn overlap_levels<'py>(
    py: Python<'py>,
    image: PyReadonlyArray2<'py, f32>,
    spans: PyReadonlyArray2<'py, i64>,
    starts: PyReadonlyArray1<'py, i64>,
    measure: &str,
    limits: (Option<f64>, Option<f64>),
    rounds: usize,
    thresholds: (f64, f64),
    width: f64,
    threads: usize,
) -> PyResult<Levels<'py>> {
    let &[ny, nx] = image.shape() else { unreachable!("a 2-d array has two axes") };
    let (image, starts) = (image.as_slice()?, starts.as_slice()?);
    let (spans, _) = spans.as_slice()?.as_chunks::<3>();
    let ((lower, upper), (below, above)) = (limits, thresholds);
    let clipping = Clipping { lower, upper, rounds, below, above, width };
    let found = enter(py, || {
        let place = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        let spans: Vec<Span> =
            spans.iter().map(|&[y, x, end]| Span { y: place(y), x: place(x)..place(end) }).collect();
        let regions: Vec<&[Span]> =
            ranges("starts", starts, spans.len())?.into_iter().map(|range| &spans[range]).collect();
        levels::levels(image, [ny, nx], &regions, stats::named(measure)?, &clipping, threads)
    })?;
    Ok((
        arrays::vector(py, found.iter().map(|level| level.value)),
        arrays::vector(py, found.iter().map(|level| level.count as i64)),
        arrays::vector(py, found.iter().map(|level| level.std)),
    ))
}

/// 0 and the running sums.
fn running(lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = i64> {
    let sums = lengths.scan(0, |sum, length| {
        *sum += length as i64;
        Some(*sum)
    });
    std::iter::once(0).chain(sums)
}
