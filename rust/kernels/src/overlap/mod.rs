//! Where footprints on the sphere overlap, and which pixels lie there.
//!
//! A footprint is a simple polygon of great-circle arcs, smaller than a hemisphere, its vertices unit vectors. All
//! is done on these vectors: no projection, so poles and the wrap of the right ascension are places like any other.
//!
//! [`vector`] the arithmetic, [`polygon`] convex parts and areas, [`clip`] intersections that no degenerate case
//! upsets, [`candidates`] pairs worth a look without looking at all, [`fill`] pixels inside a polygon, [`levels`] their sky.
//!
//! What images differ by where they overlap: [`brightness`] which pixels are fit, [`grid`] where on the sky they are,
//! [`difference`] the differences.

pub mod brightness;
mod candidates;
mod clip;
pub mod difference;
pub mod fill;
pub mod grid;
pub mod levels;
mod polygon;
mod vector;

pub use candidates::candidates;
pub use polygon::Polygon;
pub use vector::Vector;

use crate::{Result, par};

/// Width of what rounding of the vertices may make of footprints that only touch: no overlap.
const ROUNDING: f64 = 1e-15;

/// The region two footprints share.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    /// First footprint.
    pub i: usize,
    /// Second footprint, i < j.
    pub j: usize,
    /// Solid angle, steradian.
    pub area: f64,
    /// Convex pieces that cover it without overlapping; one where both footprints are convex.
    pub pieces: Vec<Vec<Vector>>,
}

/// The region `a` and `b` share: solid angle and convex pieces.
pub fn intersect(a: &Polygon, b: &Polygon) -> (f64, Vec<Vec<Vector>>) {
    let mut area = 0.0;
    let mut pieces = Vec::new();
    for part in a.parts() {
        for other in b.parts() {
            let piece = clip::clip(part, other);
            let size = polygon::area(&piece);
            if size > ROUNDING * polygon::perimeter(&piece) {
                area += size;
                pieces.push(piece);
            }
        }
    }
    (area, pieces)
}

/// All overlaps of positive area between footprints of different groups, in the order of (i, j).
pub fn overlaps(footprints: &[Polygon], groups: &[i64], threads: usize) -> Result<Vec<Overlap>> {
    /// Pairs worked at a time: few enough to share out, many enough to pay for the sharing.
    const BATCH: usize = 64;
    let pairs = candidates(footprints, groups)?;
    let batches = pairs.chunks(BATCH).collect::<Vec<_>>();
    let found = par::map(batches.len(), threads, |k| {
        let overlap = |&(i, j): &(usize, usize)| {
            let (area, pieces) = intersect(&footprints[i], &footprints[j]);
            (area > 0.0).then_some(Overlap { i, j, area, pieces })
        };
        batches[k].iter().filter_map(overlap).collect::<Vec<_>>()
    });
    Ok(found.into_iter().flatten().collect())
}
