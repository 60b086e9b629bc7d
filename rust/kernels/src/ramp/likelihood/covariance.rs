//! Covariance of the differences between successive samples.
//!
//! Sample i is the mean of `N_i` reads at mean time `tbar_i`; its photon noise behaves as at the *variance time*
//!
//! ```text
//! tau_i = sum_{k=1..N} (2 (N - k) + 1) t_ik / N^2      (one read: tau = tbar = t).
//! ```
//!
//! The rates `d_i = (R_{i+1} - R_i) / dt_i`, `dt_i = tbar_{i+1} - tbar_i`, then have a tridiagonal covariance, linear
//! in the squared read noise `s2` and in the count rate `a` (Brandt 2024a, PASP 136, 045004, equations 28 and 29):
//!
//! ```text
//! alpha_i = s2 (1/N_i + 1/N_{i+1}) / dt_i^2 + a (tau_i + tau_{i+1} - 2 tbar_i) / dt_i^2
//! beta_i  = -s2 / (N_{i+1} dt_i dt_{i+1})   + a (tbar_{i+1} - tau_{i+1}) / (dt_i dt_{i+1})
//! ```

use crate::{Error, Result};

/// When the samples of a ramp were taken.
#[derive(Debug, Clone, Copy)]
pub struct Pattern<'a> {
    /// Mean time of each sample, seconds, increasing.
    pub mean: &'a [f64],
    /// Variance time of each sample, seconds.
    pub variance: &'a [f64],
    /// Reads averaged into each sample.
    pub count: &'a [f64],
}

impl Pattern<'_> {
    /// Refuse what is not the pattern of `nread` samples.
    pub(in crate::ramp) fn check(&self, nread: usize) -> Result<()> {
        let Pattern { mean, variance, count } = *self;
        for (name, got) in
            [("times", mean.len()), ("variance times", variance.len()), ("read counts", count.len())]
        {
            if got != nread {
                return Err(Error::Shape { name, got: vec![got], expected: vec![nread] });
            }
        }
        if mean.windows(2).any(|t| !(t[1] > t[0] && t[1].is_finite() && t[0].is_finite())) {
            return Err(Error::value("times", format!("{mean:?}"), "finite numbers that increase"));
        }
        if !count.iter().all(|&n| n >= 1.0 && n.is_finite()) || variance.iter().any(|tau| !tau.is_finite()) {
            return Err(Error::value("read pattern", format!("{count:?}"), "at least one read a sample"));
        }
        Ok(())
    }
}

/// Coefficients of the covariance, one of each per difference.
#[derive(Debug, Clone)]
pub(super) struct Covariance {
    /// Seconds between the samples.
    pub dt: Vec<f64>,
    /// Of the squared read noise, on the diagonal.
    pub read: Vec<f64>,
    /// Of the count rate, on the diagonal.
    pub photon: Vec<f64>,
    /// Of the squared read noise, with the next difference (0 for the last).
    pub read_next: Vec<f64>,
    /// Of the count rate, with the next difference.
    pub photon_next: Vec<f64>,
    /// The sample shared with the next difference is a mean: a hit within it spoils both.
    pub averaged: Vec<bool>,
}

impl Covariance {
    pub fn new(pattern: &Pattern<'_>) -> Result<Self> {
        let Pattern { mean, variance, count } = *pattern;
        pattern.check(mean.len())?;
        if mean.len() < 2 {
            return Err(Error::value("nread", mean.len(), "at least 2"));
        }
        let dt: Vec<f64> = mean.windows(2).map(|t| t[1] - t[0]).collect();
        let n = dt.len();
        // Between neighbours; the last has none.
        let next = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..n).map(|i| if i + 1 < n { f(i) / (dt[i] * dt[i + 1]) } else { 0.0 }).collect()
        };
        Ok(Self {
            read: (0..n).map(|i| (1.0 / count[i] + 1.0 / count[i + 1]) / (dt[i] * dt[i])).collect(),
            photon: (0..n)
                .map(|i| (variance[i] + variance[i + 1] - 2.0 * mean[i]) / (dt[i] * dt[i]))
                .collect(),
            read_next: next(&|i| -1.0 / count[i + 1]),
            photon_next: next(&|i| mean[i + 1] - variance[i + 1]),
            averaged: (0..n).map(|i| i + 1 < n && count[i + 1] > 1.0).collect(),
            dt,
        })
    }

    /// The same with the first sample in front, as a difference to a signal at time 0 ([`super::pedestal`]).
    pub fn with_first(&self, pattern: &Pattern<'_>) -> Result<Self> {
        let (span, variance, count) = (pattern.mean[0], pattern.variance[0], pattern.count[0]);
        if !(span > 0.0 && variance > 0.0) {
            return Err(Error::value(
                "times",
                span,
                "a first sample after time 0, where a pedestal is fitted",
            ));
        }
        let front = |first: f64, rest: &[f64]| [&[first][..], rest].concat();
        let both = span * self.dt[0];
        Ok(Self {
            dt: front(span, &self.dt),
            read: front(1.0 / (count * span * span), &self.read),
            photon: front(variance / (span * span), &self.photon),
            read_next: front(-1.0 / (count * both), &self.read_next),
            photon_next: front((span - variance) / both, &self.photon_next),
            averaged: [&[false][..], &self.averaged].concat(),
        })
    }

    /// Number of differences.
    pub fn len(&self) -> usize {
        self.dt.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of the single reads, and what they make of a pattern.
    fn pattern(reads: &[&[f64]]) -> [Vec<f64>; 3] {
        let of = |f: &dyn Fn(&[f64]) -> f64| reads.iter().map(|t| f(t)).collect();
        [
            of(&|t| t.iter().sum::<f64>() / t.len() as f64),
            of(&|t| {
                let n = t.len();
                let sum: f64 = t.iter().enumerate().map(|(k, t)| (2 * (n - k) - 1) as f64 * t).sum();
                sum / (n * n) as f64
            }),
            of(&|t| t.len() as f64),
        ]
    }

    /// From first principles: the covariance of two reads is the charge that both hold.
    #[test]
    fn coefficients_are_those_of_the_reads() {
        let reads: [&[f64]; 4] = [&[1.0], &[2.0, 3.0, 4.0], &[6.0, 7.5], &[11.0]];
        let [mean, variance, count] = pattern(&reads);
        let made = Covariance::new(&Pattern { mean: &mean, variance: &variance, count: &count }).unwrap();
        let (rate, noise) = (3.0, 5.0);
        let cov = |i: usize, j: usize| -> f64 {
            let pairs = reads[i].iter().flat_map(|a| reads[j].iter().map(move |b| (a, b)));
            let photons: f64 = pairs.map(|(a, b)| rate * a.min(*b)).sum();
            let size = (reads[i].len() * reads[j].len()) as f64;
            photons / size + if i == j { noise * noise / reads[i].len() as f64 } else { 0.0 }
        };
        let of_differences = |i: usize, j: usize| {
            let sum = cov(i + 1, j + 1) - cov(i + 1, j) - cov(i, j + 1) + cov(i, j);
            sum / (made.dt[i] * made.dt[j])
        };
        for i in 0..3 {
            let alpha = noise * noise * made.read[i] + rate * made.photon[i];
            assert!((alpha - of_differences(i, i)).abs() < 1e-12 * alpha);
        }
        for i in 0..2 {
            let beta = noise * noise * made.read_next[i] + rate * made.photon_next[i];
            assert!((beta - of_differences(i, i + 1)).abs() < 1e-12);
        }
        assert_eq!(made.averaged, [true, true, false]);
    }

    #[test]
    fn times_that_do_not_increase_are_refused() {
        for mean in [vec![0.0], vec![0.0, 0.0], vec![0.0, f64::NAN], vec![1.0, 0.5, 2.0]] {
            let ones = vec![1.0; mean.len()];
            assert!(Covariance::new(&Pattern { mean: &mean, variance: &mean, count: &ones }).is_err());
        }
    }
}
