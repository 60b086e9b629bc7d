//! UNITCORR: accumulated counts to counts per second.

use crate::view::Region;

/// Divide signal and error of one read by its exposure time, in place, inside `region` of rows `nx` wide.
///
/// The zeroth read (`zeroth_time` given) has no exposure time of its own: it is multiplied by the reciprocal
/// of the reset overhead, in float32 as the reference program does. A time of zero gives zero.
pub fn to_rate(
    sci: &mut [f32],
    err: &mut [f32],
    time: &[f32],
    zeroth_time: Option<f64>,
    region: &Region,
    nx: usize,
) {
    for y in region.y.clone() {
        let row = y * nx + region.x.start..y * nx + region.x.end;
        for p in row {
            let (per_second, divide) = match zeroth_time {
                Some(zeroth) => ((1.0 / zeroth) as f32, false),
                None => (time.get(p).copied().unwrap_or_else(|| time[0]), true),
            };
            for value in [&mut sci[p], &mut err[p]] {
                *value = match (divide, per_second == 0.0) {
                    (false, _) => *value * per_second,
                    (true, true) => 0.0,
                    (true, false) => *value / per_second,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_inside_the_region_only_and_zero_time_gives_zero() {
        let region = Region { y: 0..1, x: 1..3 };
        let (mut sci, mut err) = (vec![6.0; 4], vec![3.0; 4]);
        to_rate(&mut sci, &mut err, &[9.0, 3.0, 0.0, 9.0], None, &region, 4);
        assert_eq!((sci, err), (vec![6.0, 2.0, 0.0, 6.0], vec![3.0, 1.0, 0.0, 3.0]));
        let (mut sci, mut err) = (vec![6.0; 4], vec![3.0; 4]);
        to_rate(&mut sci, &mut err, &[0.0], Some(0.5), &region, 4);
        assert_eq!(sci[1], 12.0);
    }
}
