//! Weights of the samples of a segment: the brighter, the more its ends count (Fixsen et al. 2000, PASP 112, 1350).
//!
//! w_k = |(k - m) / m|^P with m = (n - 1) / 2 and P from the signal to noise ratio of the segment, in six classes.
//! The weights are symmetric, so a slope is a sum over pairs of samples equally far from the middle,
//! sum c_k (y_(n-1-k) - y_k), c_k = w_k (m - k) / (2 sum w_k (m - k)^2) over k < n / 2; where the segment starts does
//! not matter. Powers are taken in single precision, as the peer does.

/// Powers of the six classes.
pub(super) const POWERS: [f32; CLASSES] = [0.0, 0.4, 1.0, 3.0, 6.0, 10.0];
/// Number of classes.
pub(super) const CLASSES: usize = 6;
/// Least signal to noise ratio of each class but the first.
pub(super) const LEAST: [f64; CLASSES - 1] = [5.0, 10.0, 20.0, 50.0, 100.0];

/// Signal to noise ratio of a segment whose signal grows by `growth` data units. `noise`: electrons.
#[inline(always)]
pub(super) fn signal_to_noise(growth: f64, gain: f64, noise: f64) -> f64 {
    let charge = growth * gain;
    let variance = noise * noise + charge;
    // Not-a-number goes on as such.
    if variance <= 0.0 || charge < 0.0 || gain == 0.0 { 0.0 } else { charge / variance.sqrt() }
}

/// Class of a signal to noise ratio; not-a-number is in the last.
#[inline(always)]
pub(super) fn class(ratio: f64) -> usize {
    LEAST.iter().position(|&least| ratio < least).unwrap_or(CLASSES - 1)
}

/// Weight of each of `n` samples, 3 or more, in `class`.
pub(super) fn weights(n: usize, class: usize) -> impl Iterator<Item = f64> {
    let middle = (n - 1) as f64 / 2.0;
    (0..n).map(move |k| {
        let off = ((k as f64 - middle) * (1.0 / middle)).abs();
        f64::from((off as f32).powf(POWERS[class]))
    })
}

/// Factors c_k of the pairs of `n` samples, 3 or more, in `class`.
fn factors(n: usize, class: usize) -> Vec<f64> {
    let middle = (n - 1) as f64 / 2.0;
    let pairs: Vec<_> =
        weights(n, class).take(n / 2).enumerate().map(|(k, w)| (w, middle - k as f64)).collect();
    let sum: f64 = pairs.iter().map(|(w, x)| w * x * x).sum();
    pairs.into_iter().map(|(w, x)| w * x / (2.0 * sum)).collect()
}

/// The factors of segments of every length and class, computed when first asked for.
#[derive(Debug, Default)]
pub(super) struct Factors(Vec<Vec<f64>>);

impl Factors {
    /// For segments of up to `longest` samples.
    pub fn new(longest: usize) -> Self {
        Self(vec![Vec::new(); (longest + 1) * CLASSES])
    }

    /// Those of `n` samples, 3 or more, in `class`.
    pub fn of(&mut self, n: usize, class: usize) -> &[f64] {
        let place = &mut self.0[n * CLASSES + class];
        if place.is_empty() {
            *place = factors(n, class);
        }
        place
    }
}

/// Factors of whole ramps of `n` samples, those of all classes side by side.
pub(super) fn table(n: usize) -> Vec<[f64; CLASSES]> {
    let mut table = vec![[0.0; CLASSES]; n / 2];
    for class in 0..CLASSES {
        for (row, factor) in table.iter_mut().zip(factors(n, class)) {
            row[class] = factor;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook form of the weighted slope.
    fn plain(y: &[f64], class: usize, start: f64) -> f64 {
        let (mut s, mut sx, mut sxx, mut sy, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (k, w) in weights(y.len(), class).enumerate() {
            let x = k as f64 + start;
            (s, sx, sxx) = (s + w, sx + w * x, sxx + w * x * x);
            (sy, sxy) = (sy + w * y[k], sxy + w * x * y[k]);
        }
        (s * sxy - sx * sy) / (s * sxx - sx * sx)
    }

    #[test]
    fn pairs_give_the_textbook_slope() {
        let mut factors = Factors::new(12);
        for n in 3..12 {
            let y: Vec<f64> = (0..n).map(|k| 7.0 * k as f64 + ((k * 37) % 11) as f64).collect();
            for class in 0..CLASSES {
                let c = factors.of(n, class);
                let slope: f64 = c.iter().enumerate().map(|(k, c)| c * (y[n - 1 - k] - y[k])).sum();
                let expected = plain(&y, class, 5.0);
                assert!((slope - expected).abs() < 1e-10 * expected, "{n} {class}: {slope} {expected}");
                assert_eq!(table(n)[n / 2 - 1][class], c[n / 2 - 1]);
            }
        }
    }

    #[test]
    fn the_middle_counts_without_a_power_only() {
        assert_eq!(weights(3, 0).collect::<Vec<_>>(), [1.0, 1.0, 1.0]);
        assert_eq!(weights(3, 5).collect::<Vec<_>>(), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn classes_begin_at_their_least_ratio() {
        assert_eq!([4.9, 5.0, 10.0, 20.0, 50.0, 99.9, 100.0, f64::NAN].map(class), [0, 1, 2, 3, 4, 4, 5, 5]);
        assert_eq!(signal_to_noise(10.0, 2.0, 4.0), 20.0 / 6.0);
        assert_eq!(signal_to_noise(-10.0, 2.0, 9.0), 0.0);
        assert_eq!(signal_to_noise(-10.0, 2.0, 1.0), 0.0);
        assert!(signal_to_noise(f64::NAN, 2.0, 1.0).is_nan());
    }
}
