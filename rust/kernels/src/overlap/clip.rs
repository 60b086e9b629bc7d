//! Intersection of two convex polygons on the sphere.
//!
//! One edge after the other of the second, the half of the sphere on its left is kept of the first (Sutherland and
//! Hodgman 1974, Communications of the ACM 17, 32). A new vertex a + t (b - a), t = s_a / (s_a - s_b), arises only
//! between vertices whose sides s differ in sign: t is between 0 and 1 whatever rounding does, so identical, nearly
//! identical and touching edges need no case of their own. At worst a sliver as wide as the rounding is misjudged.

use super::vector::Vector;

/// The part of convex `subject` inside convex `clip`, both counter-clockwise; empty if there is none.
pub fn clip(subject: &[Vector], clip: &[Vector]) -> Vec<Vector> {
    let mut kept = subject.to_vec();
    let mut next = Vec::with_capacity(subject.len() + clip.len());
    for (k, &start) in clip.iter().enumerate() {
        let end = clip[(k + 1) % clip.len()];
        let normal = start.normal(end);
        // start . normal is zero: the difference keeps the digits that count.
        let side = |p: Vector| normal.dot(p - start);
        next.clear();
        for (m, &b) in kept.iter().enumerate() {
            let a = kept[(m + kept.len() - 1) % kept.len()];
            let (side_a, side_b) = (side(a), side(b));
            if (side_a < 0.0 && side_b > 0.0) || (side_a > 0.0 && side_b < 0.0) {
                next.push((a + (b - a) * (side_a / (side_a - side_b))).unit());
            }
            if side_b >= 0.0 {
                next.push(b);
            }
        }
        std::mem::swap(&mut kept, &mut next);
    }
    kept.dedup();
    while kept.len() > 1 && kept.first() == kept.last() {
        kept.pop();
    }
    if kept.len() < 3 {
        kept.clear();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::{Polygon, intersect};
    use super::*;
    use proptest::prelude::*;

    /// A quadrilateral of about `size` around a place far from the axes.
    fn quad(size: f64, x: f64, y: f64, turn: f64) -> Vec<Vector> {
        let corner = |k: f64| {
            let angle = turn + k * std::f64::consts::FRAC_PI_2;
            Vector([0.3 + x + size * angle.cos(), 0.5 + y + size * angle.sin(), 0.8]).unit()
        };
        [0.0, 1.0, 2.0, 3.0].map(corner).to_vec()
    }

    #[test]
    fn edges_and_corners_that_touch_share_nothing() {
        let square = quad(0.01, 0.0, 0.0, 0.0);
        let [a, b, ..] = square[..] else { unreachable!() };
        let beyond = (a + b + Vector([0.01, 0.01, 0.0])).unit();
        let [first, second] = [square.clone(), vec![b, a, beyond]].map(|v| Polygon::new(&v).unwrap());
        assert_eq!(intersect(&first, &second).0, 0.0);
    }

    #[test]
    fn the_inner_one_comes_back_itself() {
        let [outer, inner] = [quad(0.02, 0.0, 0.0, 0.3), quad(0.01, 0.001, 0.0, 0.1)];
        assert_eq!(clip(&inner, &outer), inner);
        // Of one on itself rounding may move every vertex, by as much.
        for vertex in clip(&inner, &inner) {
            assert!(inner.iter().any(|&v| (v - vertex).norm() < 4e-16));
        }
    }

    proptest! {
        #[test]
        fn no_more_than_either_and_the_same_from_both_sides(
            size in 1e-6..0.1f64, ratio in 0.1..10.0f64, x in -1.0..1.0f64, y in -1.0..1.0f64, turn in 0.0..1.6f64,
        ) {
            let [a, b] = [quad(size, 0.0, 0.0, 0.0), quad(size * ratio, size * x, size * y, turn)];
            let [a, b] = [a, b].map(|v| Polygon::new(&v).unwrap());
            let [(there, _), (back, _)] = [intersect(&a, &b), intersect(&b, &a)];
            let rounding = 1e-14 * size;
            prop_assert!((there - back).abs() <= 1e-10 * there + rounding);
            prop_assert!(there <= a.area().min(b.area()) * (1.0 + 1e-10) + rounding);
        }
    }
}
