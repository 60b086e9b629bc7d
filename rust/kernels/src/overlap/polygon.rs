//! Simple polygons on the sphere: convex parts and area.
//!
//! The area is the sum over the fan of triangles from the first vertex of the spherical excess E,
//! tan(E / 2) = a . (b x c) / (1 + a . b + b . c + c . a) (Eriksson 1990, Mathematics Magazine 63, 184), signed.
//! Polygons that are not convex are cut into triangles, ear by ear.

use super::vector::Vector;
use crate::{Error, Result};

/// What rounding of unit vectors may do to a turn, per unit of the longer leg.
const STRAIGHT: f64 = 1e-15;

/// A simple polygon, counter-clockwise seen from outside the sphere, without repeated vertices.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    parts: Vec<Vec<Vector>>,
    area: f64,
    centre: Vector,
    radius: f64,
}

impl Polygon {
    /// A polygon from its vertices in either sense, the last joined to the first (which may be repeated there).
    pub fn new(vertices: &[Vector]) -> Result<Self> {
        if let Some(bad) = vertices.iter().find(|v| v.norm().is_nan() || (v.norm() - 1.0).abs() > 1e-9) {
            return Err(Error::value("vertices", format!("{:?}", bad.0), "unit vectors"));
        }
        let mut corners = vertices.to_vec();
        corners.dedup();
        while corners.len() > 1 && corners.first() == corners.last() {
            corners.pop();
        }
        let centre = corners.iter().fold(Vector([0.0; 3]), |sum, &v| sum + v).unit();
        let radius = corners.iter().map(|&v| angle(centre, v)).fold(0.0, f64::max);
        if radius >= std::f64::consts::FRAC_PI_2 {
            let radius = format!("a polygon of radius {:.1} deg", radius.to_degrees());
            return Err(Error::value("vertices", radius, "one smaller than a hemisphere"));
        }
        let signed = area(&corners);
        if signed < 0.0 {
            corners.reverse();
        }
        let parts = match corners.len() {
            0..3 => Vec::new(),
            _ if is_convex(&corners) => vec![corners],
            _ => triangles(corners),
        };
        Ok(Self { parts, area: signed.abs(), centre, radius })
    }

    /// Solid angle, steradian.
    pub fn area(&self) -> f64 {
        self.area
    }

    /// Convex polygons that make it up.
    pub fn parts(&self) -> &[Vec<Vector>] {
        &self.parts
    }

    /// A cap it lies in: centre and angular radius.
    pub fn cap(&self) -> (Vector, f64) {
        (self.centre, self.radius)
    }
}

/// Angle between unit vectors, accurate for small ones too.
fn angle(a: Vector, b: Vector) -> f64 {
    2.0 * ((a - b).norm()).atan2((a + b).norm())
}

/// Signed solid angle of a polygon: positive if it is counter-clockwise.
pub fn area(corners: &[Vector]) -> f64 {
    let Some((&first, rest)) = corners.split_first() else { return 0.0 };
    let excess = |leg: &[Vector]| {
        let (b, c) = (leg[0], leg[1]);
        2.0 * first.turn(b, c).atan2(1.0 + first.dot(b) + b.dot(c) + c.dot(first))
    };
    rest.windows(2).map(excess).sum()
}

/// Length of the way around.
pub fn perimeter(corners: &[Vector]) -> f64 {
    (0..corners.len()).map(|k| (corners[(k + 1) % corners.len()] - corners[k]).norm()).sum()
}

/// Whether every turn is to the left, or straight as far as can be told.
fn is_convex(corners: &[Vector]) -> bool {
    let n = corners.len();
    (0..n).all(|k| {
        let [a, b, c] = [0, 1, 2].map(|step| corners[(k + step) % n]);
        a.turn(b, c) >= -STRAIGHT * (b - a).norm().max((c - b).norm())
    })
}

/// Whether `p` lies in the triangle, its edges included.
fn contains(triangle: [Vector; 3], p: Vector) -> bool {
    let [a, b, c] = triangle;
    a.turn(b, p) >= 0.0 && b.turn(c, p) >= 0.0 && c.turn(a, p) >= 0.0
}

/// Triangles of a counter-clockwise polygon: ears are cut off until three vertices are left.
fn triangles(mut corners: Vec<Vector>) -> Vec<Vec<Vector>> {
    let mut found = Vec::new();
    while corners.len() > 2 {
        let n = corners.len();
        let ear = |k: usize| [corners[(k + n - 1) % n], corners[k], corners[(k + 1) % n]];
        let is_free = |k: usize| {
            let triangle = ear(k);
            triangle[0].turn(triangle[1], triangle[2]) > 0.0
                && !corners.iter().any(|&p| !triangle.contains(&p) && contains(triangle, p))
        };
        // Rounding may leave no clean ear; then what is left is flat, and the flattest vertex goes.
        let flattest = || {
            let turn = |k: usize| ear(k)[0].turn(ear(k)[1], ear(k)[2]).abs();
            (0..n).min_by(|&i, &j| turn(i).total_cmp(&turn(j))).unwrap_or(0)
        };
        let cut = (0..n).find(|&k| is_free(k)).unwrap_or_else(flattest);
        let triangle = ear(cut);
        if triangle[0].turn(triangle[1], triangle[2]) > 0.0 {
            found.push(triangle.to_vec());
        }
        corners.remove(cut);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{FRAC_PI_2, PI};

    fn at(ra: f64, dec: f64) -> Vector {
        let (ra, dec) = (ra.to_radians(), dec.to_radians());
        Vector([dec.cos() * ra.cos(), dec.cos() * ra.sin(), dec.sin()])
    }

    #[test]
    fn an_octant_is_an_eighth_of_the_sphere() {
        let octant = Polygon::new(&[at(0.0, 0.0), at(90.0, 0.0), at(0.0, 90.0)]).unwrap();
        assert!((octant.area() - FRAC_PI_2).abs() < 1e-15);
        assert_eq!(octant.parts().len(), 1);
    }

    #[test]
    fn sense_closure_and_repeats_do_not_matter() {
        let square = [at(359.0, -1.0), at(1.0, -1.0), at(1.0, 1.0), at(359.0, 1.0)];
        let closed = [square[3], square[2], square[2], square[1], square[0], square[3]];
        let [first, second] = [&square[..], &closed[..]].map(|v| Polygon::new(v).unwrap());
        assert!((first.area() - second.area()).abs() < 1e-15);
        // A square with edges tangent to the parallels: 4 asin(tan^2 h) in its own tangent plane, to second order.
        let side = 2.0 * PI / 180.0;
        assert!((first.area() / (side * side) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_polygon_with_a_notch_is_cut_into_triangles_of_its_area() {
        let notched = [at(10.0, 0.0), at(12.0, 0.0), at(11.0, 0.5), at(12.0, 2.0), at(10.0, 2.0)];
        let polygon = Polygon::new(&notched).unwrap();
        assert_eq!(polygon.parts().len(), 3);
        let sum: f64 = polygon.parts().iter().map(|part| area(part)).sum();
        assert!((sum / polygon.area() - 1.0).abs() < 1e-13);
    }

    #[test]
    fn nothing_flat_or_huge() {
        assert!(Polygon::new(&[]).unwrap().parts().is_empty());
        let line = Polygon::new(&[at(1.0, 0.0), at(2.0, 0.0), at(3.0, 0.0)]).unwrap();
        assert!(line.area() < 1e-16);
        assert!(Polygon::new(&[at(0.0, 0.0), at(120.0, 0.0), at(240.0, 0.0)]).is_err());
        assert!(Polygon::new(&[Vector([f64::NAN; 3])]).is_err());
        assert!(Polygon::new(&[Vector([0.0, 0.0, 2.0])]).is_err());
    }
}
