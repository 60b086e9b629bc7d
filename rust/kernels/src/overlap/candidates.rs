//! Pairs of footprints that may overlap: bounding caps, swept along one axis.
//!
//! Caps sorted by their lower end along the axis on which the centres spread most; a cap is compared with those that
//! have begun and not yet ended. In a mosaic these are a strip of it: N^1.5 cheap tests instead of N^2 clippings.

use super::polygon::Polygon;
use crate::{Error, Result};

/// Room for the rounding of unit vectors.
const SLACK: f64 = 1e-14;

/// Pairs (i, j), i < j, sorted, of different groups whose bounding caps meet.
pub fn candidates(footprints: &[Polygon], groups: &[i64]) -> Result<Vec<(usize, usize)>> {
    if groups.len() != footprints.len() {
        return Err(Error::Shape {
            name: "groups",
            got: vec![groups.len()],
            expected: vec![footprints.len()],
        });
    }
    let caps: Vec<_> = footprints.iter().map(Polygon::cap).collect();
    let spread = |axis: usize| {
        let along = || caps.iter().map(|(centre, _)| centre.0[axis]);
        along().fold(f64::MIN, f64::max) - along().fold(f64::MAX, f64::min)
    };
    let axis = (0..3).max_by(|&a, &b| spread(a).total_cmp(&spread(b))).unwrap_or(0);
    // A cap lies in the ball around its centre whose radius is the chord to its rim.
    let ends = |k: usize| {
        let (centre, radius) = caps[k];
        let reach = chord(radius);
        (centre.0[axis] - reach, centre.0[axis] + reach)
    };
    let mut order: Vec<usize> = (0..caps.len()).filter(|&k| !footprints[k].parts().is_empty()).collect();
    order.sort_by(|&a, &b| ends(a).0.total_cmp(&ends(b).0));
    let mut open: Vec<usize> = Vec::new();
    let mut pairs = Vec::new();
    for k in order {
        let (begin, _) = ends(k);
        open.retain(|&m| ends(m).1 >= begin);
        let (centre, radius) = caps[k];
        for &m in &open {
            let (other, reach) = caps[m];
            if groups[k] != groups[m] && (centre - other).norm() <= chord(radius + reach) {
                pairs.push((k.min(m), k.max(m)));
            }
        }
        open.push(k);
    }
    pairs.sort_unstable();
    Ok(pairs)
}

/// Chord of an angle up to pi, rounded up.
fn chord(angle: f64) -> f64 {
    2.0 * (angle.min(std::f64::consts::PI) / 2.0).sin() + SLACK
}

#[cfg(test)]
mod tests {
    use super::super::Vector;
    use super::*;

    #[test]
    fn neighbours_in_a_row_but_not_of_one_group() {
        let cell = |k: f64| {
            let corner = |x: f64, y: f64| Vector([1.0, 0.01 * k + x, y]).unit();
            Polygon::new(&[corner(0.0, 0.0), corner(0.008, 0.0), corner(0.008, 0.008), corner(0.0, 0.008)])
                .unwrap()
        };
        // Caps are wider than the cells: those next to each other are candidates.
        let row: Vec<Polygon> = [3.0, 0.0, 2.0, 1.0, 20.0].map(cell).into();
        assert_eq!(candidates(&row, &[0, 1, 2, 3, 4]).unwrap(), [(0, 2), (1, 3), (2, 3)]);
        assert_eq!(candidates(&row, &[0, 1, 0, 3, 4]).unwrap(), [(1, 3), (2, 3)]);
        assert!(candidates(&row, &[0]).is_err());
    }
}
