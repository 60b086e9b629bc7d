//! ZSIGCORR: what bright sources had collected before the zeroth read.
//!
//! The zeroth read minus the super zero read of NLINFILE, where it exceeds four times its noise. The linearity
//! correction needs this signal, which subtracting the zeroth read takes away; where it is beyond saturation, the
//! pixel has no linear read at all. Levels are raw: the drift of the bias is not removed yet.

use super::noise::Amplifier;
use crate::dq::{SATPIXEL, ZEROSIG};

/// Significance that a signal must have, in sigma.
const THRESHOLD: f32 = 4.0;

/// Pixels of the NLINFILE.
#[derive(Debug, Clone, Copy)]
pub struct Zero<'a> {
    /// Level of saturation, DN.
    pub node: &'a [f32],
    /// Super zero read, DN.
    pub sci: &'a [f32],
    /// Its uncertainty.
    pub err: &'a [f32],
}

/// Signal of the zeroth read, for some pixels.
#[derive(Debug)]
pub struct Signal<'a> {
    /// DN; 0 where it is not significant.
    pub sci: &'a mut [f32],
    /// DQ of the zeroth read with 2048 (signal) and 256 (saturated) added.
    pub dq: &'a mut [u16],
}

/// Find the signal, add it to the zeroth read, flag zeroth and first read.
#[inline(always)]
pub fn detect(
    signal: Signal<'_>,
    zeroth: (&mut [f32], &mut [u16]),
    first: (&[f32], &mut [u16]),
    zero: &Zero<'_>,
    amp: Amplifier,
) {
    let n = signal.sci.len();
    let (zeroth_sci, zeroth_dq) = (&mut zeroth.0[..n], &mut zeroth.1[..n]);
    let (first_sci, first_dq) = (&first.0[..n], &mut first.1[..n]);
    let (node, zsci, zerr) = (&zero.node[..n], &zero.sci[..n], &zero.err[..n]);
    for p in 0..n {
        let mut found = zeroth_sci[p] - zsci[p];
        let err = amp.error(found);
        let noise = (err * err + zerr[p] * zerr[p]).sqrt();
        let mut flags = if found >= THRESHOLD * noise { ZEROSIG } else { 0 };
        if flags == 0 {
            found = 0.0;
        }
        signal.dq[p] = zeroth_dq[p] | flags;
        if found > node[p] {
            flags |= SATPIXEL | ZEROSIG;
            signal.dq[p] |= flags;
            first_dq[p] |= SATPIXEL;
        } else if first_sci[p] - zsci[p] > node[p] {
            signal.dq[p] |= SATPIXEL | ZEROSIG;
            first_dq[p] |= SATPIXEL;
        }
        zeroth_dq[p] |= flags;
        zeroth_sci[p] += found;
        signal.sci[p] = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_noise_signal_and_saturation_apart() {
        let amp = Amplifier { gain: 1.0, noise: 10.0 };
        let zero = Zero { node: &[1000.0; 4], sci: &[50.0; 4], err: &[0.0; 4] };
        // Noise; a source; one that saturates by the first read; one that is saturated at once.
        let mut zeroth = ([60.0, 250.0, 250.0, 2050.0], [1u16, 0, 0, 0]);
        let mut first = ([60.0, 300.0, 2050.0, 2050.0], [0u16; 4]);
        let (mut sci, mut dq) = ([0.0; 4], [0; 4]);
        let signal = Signal { sci: &mut sci, dq: &mut dq };
        detect(signal, (&mut zeroth.0, &mut zeroth.1), (&first.0, &mut first.1), &zero, amp);
        assert_eq!(sci, [0.0, 200.0, 200.0, 2000.0]);
        assert_eq!(dq, [1, 2048, 2048 + 256, 2048 + 256]);
        assert_eq!(zeroth.0, [60.0, 450.0, 450.0, 4050.0]);
        assert_eq!(zeroth.1, [1, 2048, 2048, 2048 + 256]);
        assert_eq!(first.1, [0, 0, 256, 256]);
    }
}
