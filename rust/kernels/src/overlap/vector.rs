//! Vectors of three.

use std::ops::{Add, Mul, Sub};

/// A vector; on the sky a unit vector towards (ra, dec).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vector(pub [f64; 3]);

impl Vector {
    /// Scalar product.
    pub fn dot(self, other: Self) -> f64 {
        let (a, b) = (self.0, other.0);
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    }

    /// Vector product.
    pub fn cross(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
    }

    /// Length.
    pub fn norm(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// The vector of length one, or itself if it has no length.
    pub fn unit(self) -> Self {
        let norm = self.norm();
        if norm > 0.0 { self * (1.0 / norm) } else { self }
    }

    /// Normal of the great circle from here to `other`, positive on the left of the way.
    ///
    /// a x b = a x (b - a): the difference of near vectors is exact, their product would cancel.
    pub fn normal(self, other: Self) -> Self {
        self.cross(other - self)
    }

    /// Determinant of (self, b, c): six times the volume they span, positive if the turn is to the left.
    pub fn turn(self, b: Self, c: Self) -> f64 {
        self.dot((b - self).cross(c - self))
    }
}

impl Add for Vector {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|k| self.0[k] + other.0[k]))
    }
}

impl Sub for Vector {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|k| self.0[k] - other.0[k]))
    }
}

impl Mul<f64> for Vector {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0.map(|x| x * factor))
    }
}
