//! UNITCORR: accumulated counts to counts per second.

/// Exposure time of a run of pixels.
#[derive(Debug, Clone, Copy)]
pub enum Time<'a> {
    /// The zeroth read has no exposure time of its own: it is multiplied by the reciprocal of the reset overhead,
    /// in float32 as the reference program does.
    Zeroth(f64),
    /// The same for all.
    Same(f32),
    /// One for each.
    Each(&'a [f32]),
}

/// Divide a run of pixels by its exposure time; a time of zero gives zero.
#[inline(always)]
pub fn to_rate(values: &mut [f32], time: Time<'_>) {
    match time {
        Time::Zeroth(zeroth) => {
            let per_second = (1.0 / zeroth) as f32;
            values.iter_mut().for_each(|value| *value *= per_second);
        }
        Time::Same(0.0) => values.fill(0.0),
        Time::Same(time) => values.iter_mut().for_each(|value| *value /= time),
        Time::Each(times) => {
            for (value, &time) in values.iter_mut().zip(times) {
                *value = if time == 0.0 { 0.0 } else { *value / time };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_time_gives_zero() {
        for (time, expected) in [
            (Time::Same(3.0), [2.0, 1.0]),
            (Time::Same(0.0), [0.0, 0.0]),
            (Time::Each(&[3.0, 0.0]), [2.0, 0.0]),
            (Time::Zeroth(0.5), [12.0, 6.0]),
        ] {
            let mut values = [6.0, 3.0];
            to_rate(&mut values, time);
            assert_eq!(values, expected);
        }
    }
}
