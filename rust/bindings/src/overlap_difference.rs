use crate::arrays;
use crate::enter::{enter, refuse};
use numpy::{
    PyArray1, PyArray2, PyReadonlyArray2, PyReadonlyArray3, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use upramp_kernels::overlap::Vector;
use upramp_kernels::overlap::brightness;
use upramp_kernels::overlap::difference::{Sight, difference};
use upramp_kernels::overlap::grid::Grid;
use upramp_kernels::{Error, par};

/// Turn pixels, NaN where they are bad, to surface brightness (`factor` of one unit), NaN also where they are steep;
/// the noise of a pixel and how many are good.
#[pyfunction]
pub fn sky_brightness(
    py: Python<'_>,
    mut pixels: PyReadwriteArray2<'_, f32>,
    factor: f64,
) -> PyResult<(f64, usize)> {
    let &[ny, nx] = pixels.shape() else { unreachable!("a 2-d array has two axes") };
    let pixels = pixels.as_slice_mut()?;
    let found = enter(py, || brightness::brightness(pixels, [ny, nx], factor))?;
    Ok((found.noise, found.good))
}

type Cells<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray2<f64>>);

/// Differences of pairs (i, j) of images in cells: (n, mean, x_i, y_i, x_j, y_j) of all, where those of each pair
/// start, and for every pair (clipped pixels, spread, pixels of j in one of i).
///
/// `nodes[k]`, (my, mx, 3), are unit vectors to places evenly from the first to the last pixel of `images[k]`.
#[pyfunction]
pub fn image_differences<'py>(
    py: Python<'py>,
    images: Vec<PyReadonlyArray2<'py, f32>>,
    nodes: Vec<PyReadonlyArray3<'py, f64>>,
    pairs: PyReadonlyArray2<'py, i64>,
    stride: usize,
    clip: f64,
    threads: usize,
) -> PyResult<Cells<'py>> {
    if images.len() != nodes.len() {
        let (got, expected) = (vec![nodes.len()], vec![images.len()]);
        return Err(refuse(Error::Shape { name: "nodes", got, expected }));
    }
    let mut given = Vec::with_capacity(images.len());
    for (image, nodes) in images.iter().zip(&nodes) {
        let (&[ny, nx], &[my, mx, three]) = (image.shape(), nodes.shape()) else {
            unreachable!("arrays of two and three axes")
        };
        if three != 3 {
            let (got, expected) = (vec![my, mx, three], vec![my, mx, 3]);
            return Err(refuse(Error::Shape { name: "nodes", got, expected }));
        }
        given.push((image.as_slice()?, [ny, nx], nodes.as_slice()?, [my, mx]));
    }
    let (pairs, _) = pairs.as_slice()?.as_chunks::<2>();
    let found = enter(py, || {
        let grid = |&(_, shape, nodes, count): &(&[f32], [usize; 2], &[f64], [usize; 2])| {
            let vectors: Vec<Vector> = nodes.as_chunks::<3>().0.iter().map(|&v| Vector(v)).collect();
            Grid::new(&vectors, count, shape)
        };
        let grids = given.iter().map(grid).collect::<upramp_kernels::Result<Vec<_>>>()?;
        let sight = |k: i64| {
            let k = usize::try_from(k).ok().filter(|&k| k < grids.len());
            let k = k.ok_or_else(|| Error::value("pairs", format!("{pairs:?}"), "numbers of images"))?;
            Sight::new(given[k].0, &grids[k])
        };
        let sights = pairs.iter().map(|&[i, j]| Ok((sight(i)?, sight(j)?)));
        let sights = sights.collect::<upramp_kernels::Result<Vec<_>>>()?;
        let results = par::map(sights.len(), threads, |k| difference(sights[k].0, sights[k].1, stride, clip));
        results.into_iter().collect::<upramp_kernels::Result<Vec<_>>>()
    })?;
    let number = |c: &upramp_kernels::overlap::difference::Cell| {
        [c.count as f64, c.mean, c.place_i[0], c.place_i[1], c.place_j[0], c.place_j[1]]
    };
    let cells: Vec<f64> = found.iter().flat_map(|d| &d.cells).flat_map(number).collect();
    let shape = [cells.len() / 6, 6];
    let starts = found.iter().scan(0, |sum, d| {
        *sum += d.cells.len() as i64;
        Some(*sum)
    });
    let pairs: Vec<f64> = found.iter().flat_map(|d| [d.clipped as f64, d.spread, d.ratio]).collect();
    let count = found.len();
    Ok((
        arrays::image(py, cells, shape)?,
        arrays::vector(py, std::iter::once(0).chain(starts)),
        arrays::image(py, pairs, [count, 3])?,
    ))
}
