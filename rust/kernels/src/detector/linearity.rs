//! NLINCORR: a polynomial in the signal, up to the level of saturation.
//!
//! ```text
//! sci' = sci (1 + sum_k c_k sci^k)
//! ```
//!
//! with the zeroth read's signal added first and taken off again. Terms are formed in float64 and their sum is
//! narrowed after each, as the reference program does.

use super::frame::RUN;
use crate::dq::{SATPIXEL, ZEROSIG};

/// Pixels of the NLINFILE.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Level of saturation, DN.
    pub node: &'a [f32],
    /// Flags.
    pub dq: &'a [u16],
}

/// The zeroth read's signal and flags, where they have to be added.
pub type Zeroth<'a> = Option<(&'a [f32], &'a [u16])>;

/// Correct up to [`RUN`] pixels of one read, and flag those beyond saturation; `coefs` are c_0 onwards.
#[inline(always)]
pub fn correct<'a>(
    sci: &mut [f32],
    dq: &mut [u16],
    response: &Response<'_>,
    coefs: impl Iterator<Item = &'a [f32]>,
    zeroth: Zeroth<'_>,
) {
    let n = sci.len();
    let dq = &mut dq[..n];
    let (node, flags) = (&response.node[..n], &response.dq[..n]);
    let (mut signal, mut power, mut factor) = ([0.0f32; RUN], [1.0f64; RUN], [1.0f32; RUN]);
    let (signal, power, factor) = (&mut signal[..n], &mut power[..n], &mut factor[..n]);
    signal.copy_from_slice(sci);
    if let Some((zeroth, zeroth_dq)) = zeroth {
        for p in 0..n {
            signal[p] += zeroth[..n][p];
            dq[p] |= zeroth_dq[..n][p] & ZEROSIG;
        }
    }
    for coef in coefs {
        let coef = &coef[..n];
        for p in 0..n {
            factor[p] = (f64::from(factor[p]) + f64::from(coef[p]) * power[p]) as f32;
            power[p] *= f64::from(signal[p]);
        }
    }
    for p in 0..n {
        factor[p] *= signal[p];
    }
    if let Some((zeroth, _)) = zeroth {
        for p in 0..n {
            factor[p] -= zeroth[..n][p];
        }
    }
    for p in 0..n {
        let found = dq[p] | flags[p];
        // A signal that is not a number is neither below nor above.
        let linear = (found & SATPIXEL == 0) & (signal[p] <= node[p]);
        sci[p] = if linear { factor[p] } else { sci[p] };
        dq[p] = found | if signal[p] > node[p] { SATPIXEL } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrects_below_saturation_and_flags_above() {
        let response = Response { node: &[500.0; 4], dq: &[0, 8, 0, 0] };
        let coefs: [&[f32]; 2] = [&[0.5; 4], &[0.25; 4]];
        let (mut sci, mut dq) = ([2.0, 4.0, 501.0, 8.0], [0u16, 0, 0, SATPIXEL]);
        correct(&mut sci, &mut dq, &response, coefs.into_iter(), None);
        assert_eq!(sci, [4.0, 10.0, 501.0, 8.0]);
        assert_eq!(dq, [0, 8, SATPIXEL, SATPIXEL]);
    }

    #[test]
    fn signal_of_the_zeroth_read_counts_but_does_not_stay() {
        let response = Response { node: &[500.0; 2], dq: &[0; 2] };
        let coefs: [&[f32]; 2] = [&[0.0; 2], &[0.25; 2]];
        let (mut sci, mut dq) = ([2.0, 450.0], [0u16; 2]);
        let zeroth: (&[f32], &[u16]) = (&[6.0, 60.0], &[ZEROSIG, ZEROSIG]);
        correct(&mut sci, &mut dq, &response, coefs.into_iter(), Some(zeroth));
        assert_eq!(sci, [8.0 + 0.25 * 64.0 - 6.0, 450.0]);
        assert_eq!(dq, [ZEROSIG, ZEROSIG + SATPIXEL]);
    }
}
