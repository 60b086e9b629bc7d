//! FLATCORR: divide by the flat field, propagate its error, multiply by the mean gain.

use crate::view::Region;

/// A flat field of the same shape as the image it divides.
#[derive(Debug, Clone, Copy)]
pub struct Flat<'a> {
    /// Relative response.
    pub sci: &'a [f32],
    /// Its uncertainty.
    pub err: &'a [f32],
    /// Its data-quality bits.
    pub dq: &'a [u16],
}

/// Flat-field one read in place: the flat inside `region`, the gain everywhere (rows are `nx` wide).
///
/// `sci / f`, `err = sqrt(err^2 / f^2 + sci^2 ferr^2 / f^4)`; a response of zero gives zero.
/// The flat has the shape of the region.
pub fn divide(
    [sci, err]: [&mut [f32]; 2],
    dq: &mut [u16],
    flat: &Flat<'_>,
    gain: f32,
    region: &Region,
    nx: usize,
) {
    for (row, y) in region.y.clone().enumerate() {
        let width = region.x.len();
        for column in 0..width {
            let (p, q) = (y * nx + region.x.start + column, row * width + column);
            let (f, e) = (flat.sci[q], flat.err[q]);
            if f == 0.0 {
                (sci[p], err[p]) = (0.0, 0.0);
            } else {
                let own = err[p] * err[p] / (f * f);
                let flats = sci[p] * sci[p] * e * e / ((f * f) * (f * f));
                err[p] = (own + flats).sqrt();
                sci[p] /= f;
            }
            dq[p] |= flat.dq[q];
        }
    }
    sci.iter_mut().for_each(|value| *value *= gain);
    err.iter_mut().for_each(|value| *value *= gain);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_and_propagates_the_flats_error() {
        let (mut sci, mut err, mut dq) = (vec![8.0f32; 3], vec![3.0f32; 3], vec![1u16; 3]);
        let flat = Flat { sci: &[2.0, 0.0], err: &[0.5, 0.5], dq: &[0, 512] };
        let region = Region { y: 0..1, x: 1..3 };
        divide([&mut sci, &mut err], &mut dq, &flat, 2.0, &region, 3);
        assert_eq!(sci, [16.0, 8.0, 0.0]);
        assert_eq!(err[1], 2.0 * (9.0f32 / 4.0 + 64.0 * 0.25 / 16.0).sqrt());
        assert_eq!(dq, [1, 1, 513]);
    }
}
