//! The sky of an image inside each of its overlaps.

use super::fill::Span;
use crate::stats::imagestats::{Clipping, Found, Measure, measure_pieces};
use crate::{Error, Result, par};

/// Statistic of the finite pixels of an image inside every region, each a list of spans within the image of `shape`
/// (ny, nx).
pub fn levels(
    image: &[f32],
    shape: [usize; 2],
    regions: &[&[Span]],
    measure: Measure,
    clipping: &Clipping,
    threads: usize,
) -> Result<Vec<Found>> {
    let [ny, nx] = shape;
    if image.len() != ny * nx {
        return Err(Error::Shape { name: "image", got: vec![image.len()], expected: vec![ny, nx] });
    }
    if let Some(span) =
        regions.iter().copied().flatten().find(|s| s.y >= ny || s.x.end > nx || s.x.start > s.x.end)
    {
        return Err(Error::value("spans", format!("{span:?}"), "rows and columns of the image"));
    }
    let level = |k: usize| {
        let row = |span: &Span| &image[span.y * nx + span.x.start..span.y * nx + span.x.end];
        let pieces: Vec<&[f32]> = regions[k].iter().map(row).collect();
        measure_pieces(&pieces, measure, clipping)
    };
    par::map(regions.len(), threads, level).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlap::fill::fill;

    const CLIPPING: Clipping =
        Clipping { lower: None, upper: None, rounds: 1, below: 4.0, above: 4.0, width: 0.1 };

    #[test]
    fn only_pixels_inside_count() {
        let image: Vec<f32> = (0..12 * 9)
            .map(|i| {
                if i % 9 < 4 {
                    5.0
                } else if i % 2 == 0 {
                    7.0
                } else {
                    f32::NAN
                }
            })
            .collect();
        let left = fill(&[&[[0.0, 0.0], [3.0, 0.0], [3.0, 11.0], [0.0, 11.0]]], [12, 9]);
        let right = fill(&[&[[5.0, 2.0], [8.0, 2.0], [8.0, 6.0], [5.0, 6.0]]], [12, 9]);
        for threads in [1, 2] {
            let regions = [&left[..], &right, &[]];
            let found = levels(&image, [12, 9], &regions, Measure::Mean, &CLIPPING, threads).unwrap();
            assert_eq!((found[0].value, found[0].count), (5.0, 48));
            assert_eq!((found[1].value, found[1].count), (7.0, 10));
            assert!(found[2].value.is_nan() && found[2].count == 0);
        }
    }

    #[test]
    fn spans_outside_are_refused() {
        let beyond = [Span { y: 1, x: 3..5 }];
        let error = levels(&[0.0; 8], [2, 4], &[&beyond], Measure::Mean, &CLIPPING, 1).unwrap_err();
        assert!(error.to_string().starts_with("spans"), "{error}");
    }
}
