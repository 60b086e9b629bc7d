//! FLATCORR: divide by the flat field, propagate its error, multiply by the mean gain.
//!
//! ```text
//! sci' = g sci / f,     err' = g sqrt(err^2 / f^2 + sci^2 ferr^2 / f^4)
//! ```

use super::frame::{self, Band, RUN, Reads};
use super::image::Image;
use crate::view::Region;
use crate::{par, simd};
use std::ops::Range;

/// A flat field.
#[derive(Debug, Clone, Copy)]
pub struct Flat<'a> {
    /// Relative response.
    pub sci: Image<'a, f32>,
    /// Its uncertainty.
    pub err: Image<'a, f32>,
    /// Its data-quality bits.
    pub dq: Image<'a, u16>,
}

/// Flat-field all reads in place: the flat inside `region`, the gain everywhere. A response of zero gives zero.
pub fn divide(reads: Reads<'_>, region: &Region, flat: &Flat<'_>, gain: f32, threads: usize) {
    let nx = reads.shape[2];
    par::for_each(
        reads.bands(),
        threads,
        || (),
        |(), mut band| {
            for y in band.y.clone() {
                for x in frame::runs(y, nx, region, 0) {
                    simd::run(Run { flat, gain, region, nx, y, x, band: &mut band });
                }
            }
        },
    );
}

/// One run of pixels of all reads: their flat stays in cache.
struct Run<'a, 'b, 'f> {
    flat: &'a Flat<'f>,
    gain: f32,
    region: &'a Region,
    nx: usize,
    y: usize,
    x: Range<usize>,
    band: &'a mut Band<'b>,
}

impl simd::Loop for Run<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { flat, gain, region, nx, y, x, band } = self;
        let row = (y - band.y.start) * nx;
        let here = row + x.start..row + x.end;
        let lit = region.y.contains(&y) && region.x.contains(&x.start);
        let (mut response, mut response_err, mut flags) = ([0.0; RUN], [0.0; RUN], [0; RUN]);
        if lit {
            let (v, u) = (y - region.y.start, x.start - region.x.start..x.end - region.x.start);
            flat.sci.read(v, u.clone(), &mut response);
            flat.err.read(v, u.clone(), &mut response_err);
            flat.dq.read(v, u, &mut flags);
        }
        for r in 0..band.sci.len() {
            let sci = &mut band.sci[r][here.clone()];
            let err = &mut band.err[r][here.clone()];
            if lit {
                apply(
                    [&mut *sci, &mut *err],
                    &mut band.dq[r][here.clone()],
                    [&response, &response_err],
                    &flags,
                );
            }
            sci.iter_mut().for_each(|value| *value *= gain);
            err.iter_mut().for_each(|value| *value *= gain);
        }
    }
}

#[inline(always)]
fn apply([sci, err]: [&mut [f32]; 2], dq: &mut [u16], [flat, flat_err]: [&[f32]; 2], flags: &[u16]) {
    let n = sci.len();
    let (err, dq) = (&mut err[..n], &mut dq[..n]);
    let (flat, flat_err, flags) = (&flat[..n], &flat_err[..n], &flags[..n]);
    for p in 0..n {
        let (f, e, s) = (flat[p], flat_err[p], sci[p]);
        let own = err[p] * err[p] / (f * f);
        let flats = s * s * e * e / ((f * f) * (f * f));
        err[p] = if f == 0.0 { 0.0 } else { (own + flats).sqrt() };
        sci[p] = if f == 0.0 { 0.0 } else { s / f };
        dq[p] |= flags[p];
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::Pixels;
    use super::*;

    #[test]
    fn divides_and_propagates_the_flats_error() {
        let (mut sci, mut err, mut dq) = (vec![8.0f32; 3], vec![3.0f32; 3], vec![1u16; 3]);
        let image = |data| Image::new("flat", Pixels::Native(data), [1, 2], [0, 0], [1, 2]).unwrap();
        let flags = Image::new("flat", Pixels::Native(&[0, 512]), [1, 2], [0, 0], [1, 2]).unwrap();
        let flat = Flat { sci: image(&[2.0, 0.0]), err: image(&[0.5, 0.5]), dq: flags };
        let region = Region { y: 0..1, x: 1..3 };
        let reads = Reads::new([&mut sci, &mut err], &mut dq, [1, 1, 3]).unwrap();
        divide(reads, &region, &flat, 2.0, 1);
        assert_eq!(sci, [16.0, 8.0, 0.0]);
        assert_eq!(err[1], 2.0 * (9.0f32 / 4.0 + 64.0 * 0.25 / 16.0).sqrt());
        assert_eq!(dq, [1, 1, 513]);
    }
}
