//! Pixels inside a polygon, by the scan-line rule of stsci.skypac and stcal.
//!
//! Vertices are rounded to whole pixels (halves to even). On line y count the
//! edges with y_min <= y < y_max, on the last line those of the line before; they are met at ceil(x), and pixels
//! from every odd meeting to the next, both included, are inside. That grows a polygon by up to a pixel to the
//! right and to the top; it is the rule behind published numbers, kept bit for bit.

use std::ops::Range;

/// Pixels of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Row.
    pub y: usize,
    /// Columns.
    pub x: Range<usize>,
}

/// Pixels of an image of `shape` (ny, nx) inside the union of `pieces` given in pixels (x, y), row by row, spans of
/// a row apart and in order.
pub fn fill(pieces: &[&[[f64; 2]]], shape: [usize; 2]) -> Vec<Span> {
    let mut spans: Vec<Span> = pieces.iter().flat_map(|piece| fill_one(piece, shape)).collect();
    spans.sort_by_key(|span| (span.y, span.x.start));
    spans.dedup_by(|next, last| {
        let joined = next.y == last.y && next.x.start <= last.x.end;
        if joined {
            last.x.end = last.x.end.max(next.x.end);
        }
        joined
    });
    spans
}

/// An edge between whole pixels.
#[derive(Clone, Copy)]
struct Edge {
    start: [i64; 2],
    stop: [i64; 2],
}

impl Edge {
    /// Whether it counts on line `y`.
    fn is_active(self, y: i64) -> bool {
        (self.start[1].min(self.stop[1])..self.start[1].max(self.stop[1])).contains(&y)
    }

    /// First whole pixel at or right of its meeting with line `y`.
    fn meet(self, y: i64) -> i64 {
        let [dx, dy] = [self.stop[0] - self.start[0], self.stop[1] - self.start[1]];
        // One division, then the product: where the result is near a whole number its rounding decides.
        let along = (y - self.start[1]) as f64 / dy as f64;
        (along * dx as f64 + self.start[0] as f64).ceil() as i64
    }
}

fn fill_one(vertices: &[[f64; 2]], shape: [usize; 2]) -> Vec<Span> {
    // Beyond any image; keeps whole numbers exact as f64 and as i64. NaN becomes a corner at zero.
    const FAR: f64 = 1e9;
    let whole = |v: &[f64; 2]| v.map(|x| x.clamp(-FAR, FAR).round_ties_even() as i64);
    let mut corners: Vec<[i64; 2]> = vertices.iter().map(whole).collect();
    // Meetings are found from a place that makes all corners positive: it has a say in their rounding.
    let shift = [0, 1].map(|axis| corners.iter().map(|v| v[axis]).fold(0, i64::min));
    corners.iter_mut().for_each(|v| *v = [v[0] - shift[0], v[1] - shift[1]]);
    let edges: Vec<Edge> = (0..corners.len())
        .map(|k| Edge { start: corners[k], stop: corners[(k + 1) % corners.len()] })
        .filter(|edge| edge.start[1] != edge.stop[1])
        .collect();
    let Some(top) = corners.iter().map(|v| v[1]).max() else { return Vec::new() };
    let bottom = corners.iter().map(|v| v[1]).min().unwrap_or(top);
    let width =
        corners.iter().map(|v| v[0]).max().unwrap_or(0) - corners.iter().map(|v| v[0]).min().unwrap_or(0);
    if width == 0 {
        return Vec::new();
    }
    let [ny, nx] = shape.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let mut spans = Vec::new();
    let mut meetings = Vec::new();
    for y in bottom.max(-shift[1])..=top.min(ny - 1 - shift[1]) {
        let line = if y == top { y - 1 } else { y };
        meetings.clear();
        meetings.extend(edges.iter().filter(|edge| edge.is_active(line)).map(|edge| edge.meet(y)));
        meetings.sort_unstable();
        for pair in meetings.chunks_exact(2) {
            let first = (pair[0] + shift[0]).max(0);
            let end = (pair[1] + shift[0] + 1).min(nx);
            if first < end {
                spans.push(Span { y: (y + shift[1]) as usize, x: first as usize..end as usize });
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_and_the_top_row_are_inside() {
        let square = [[2.0, 2.0], [12.0, 2.0], [12.0, 9.0], [2.0, 9.0]];
        let spans = fill(&[&square], [16, 20]);
        assert_eq!(spans, (2..10).map(|y| Span { y, x: 2..13 }).collect::<Vec<_>>());
    }

    #[test]
    fn pieces_that_touch_are_filled_once() {
        let [left, right] = [
            [[0.0, 0.0], [5.0, 0.0], [5.0, 4.0], [0.0, 4.0]],
            [[5.0, 0.0], [9.0, 0.0], [9.0, 4.0], [5.0, 4.0]],
        ];
        assert_eq!(fill(&[&left, &right], [3, 8]), (0..3).map(|y| Span { y, x: 0..8 }).collect::<Vec<_>>());
    }

    #[test]
    fn outside_flat_or_not_a_number_is_empty() {
        let far = [[1e300, 0.0], [1e300, 5.0], [2e300, 5.0]];
        let left = [[-9.0, 0.0], [-4.0, 0.0], [-4.0, 5.0]];
        let flat = [[1.0, 1.0], [7.0, 1.0], [3.0, 1.0]];
        for vertices in [&far[..], &left, &flat, &[], &[[1.0, 1.0]], &[[f64::NAN; 2]; 3]] {
            assert!(fill(&[vertices], [8, 8]).is_empty(), "{vertices:?}");
        }
    }
}
