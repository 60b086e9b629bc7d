//! DARKCORR: the dark ramp of the same sequence, read by read.

/// Subtract the dark from one read, and add its error and flags.
#[inline(always)]
pub fn subtract([sci, err]: [&mut [f32]; 2], dq: &mut [u16], [dark, dark_err]: [&[f32]; 2], dark_dq: &[u16]) {
    let n = sci.len();
    let (err, dq) = (&mut err[..n], &mut dq[..n]);
    let (dark, dark_err, dark_dq) = (&dark[..n], &dark_err[..n], &dark_dq[..n]);
    for p in 0..n {
        err[p] = (err[p] * err[p] + dark_err[p] * dark_err[p]).sqrt();
        sci[p] -= dark[p];
        dq[p] |= dark_dq[p];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_add_in_quadrature() {
        let (mut sci, mut err, mut dq) = ([9.0], [3.0], [1u16]);
        subtract([&mut sci, &mut err], &mut dq, [&[2.5], &[4.0]], &[16]);
        assert_eq!((sci, err, dq), ([6.5], [5.0], [17]));
    }
}
