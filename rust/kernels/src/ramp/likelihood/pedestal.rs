//! Rate and pedestal together.
//!
//! The first sample, `d_0 = R_0 / T` with `T = tbar_0`, is one more difference: to the reset, at time 0. The signal
//! `b` at that time enters it alone, as `b / T`. Its covariance with the others (Brandt 2024a, section 5):
//!
//! ```text
//! alpha_0 = s2 / (N_0 T^2) + a tau_0 / T^2,    beta_0 = -s2 / (N_0 T dt_1) + a (T - tau_0) / (T dt_1).
//! ```
//!
//! What is known of `b` beforehand, `r` with uncertainty `s`, is a measurement like the others. With `U`, `V`, `u`,
//! `v` of [`super::system`] for the longer ramp and `g` the first column of the inverse covariance,
//!
//! ```text
//! b = (v_0 U T - V u_0 T + T^2 U r / s^2) / (U g_0 - u_0^2 + T^2 U / s^2),    a = (V - b u_0 / T) / U,
//! ```
//!
//! and the inverse of their covariance matrix is `[[U, u_0 / T], [u_0 / T, g_0 / T^2 + 1 / s^2]]`. If nothing is known
//! of `b` the first sample tells nothing of the rate, and only `b` is new.

use super::covariance::Covariance;
use super::system::{Ramps, System};
use super::tile::{LANES, Tile};

/// What is known of the pedestal, units of the signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Value.
    pub value: f64,
    /// Its uncertainty; infinite: nothing is known.
    pub sigma: f64,
}

impl Prior {
    pub(super) fn in_electrons(&self, gain: &Tile) -> [Tile; 2] {
        [gain.map(|gain| self.value * gain), gain.map(|gain| self.sigma * gain)]
    }
}

/// Answers for a tile, in electrons.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joint {
    /// 1 where the first sample, or what is known of the pedestal, tells something; else 0.
    pub determined: Tile,
    pub rate: Tile,
    pub variance: Tile,
    /// The part of it from photons; the rest is from read noise and from what is not known of the pedestal.
    pub photon: Tile,
    /// Of the samples.
    pub chi2: Tile,
    pub pedestal: Tile,
    pub pedestal_variance: Tile,
    pub covariance: Tile,
}

/// Room for the longer ramps.
pub(super) struct Pedestal {
    rates: Vec<Tile>,
    used: Vec<Tile>,
    column: Vec<Tile>,
    system: System,
}

const NOTHING: Tile = [0.0; LANES];

impl Pedestal {
    pub fn new(nread: usize) -> Self {
        let room = || vec![NOTHING; nread];
        Self { rates: room(), used: room(), column: room(), system: System::new(nread) }
    }

    /// Fit rate and pedestal. `cov` is that of the longer ramp, `first` the first samples in electrons (not a number:
    /// unusable), `guess` the rate that the covariance is for, `prior` value and uncertainty.
    #[inline(always)]
    pub fn fit(
        &mut self,
        cov: &Covariance,
        ramps: Ramps<'_>,
        first: &Tile,
        guess: &Tile,
        prior: &[Tile; 2],
    ) -> Joint {
        let n = cov.len();
        let per_second = 1.0 / cov.dt[0];
        for l in 0..LANES {
            let usable = first[l] * 0.0 == 0.0;
            self.used[0][l] = if usable { 1.0 } else { 0.0 };
            self.rates[0][l] = if usable { first[l] * per_second } else { 0.0 };
        }
        self.rates[1..n].copy_from_slice(ramps.rates);
        self.used[1..n].copy_from_slice(ramps.used);
        self.solve(cov, ramps.noise2, guess, prior)
    }

    /// The same for differences, the first of which is the first sample.
    #[inline(always)]
    pub fn of(
        &mut self,
        cov: &Covariance,
        rates: &[Tile],
        used: &[Tile],
        noise2: &Tile,
        guess: &Tile,
        prior: &[Tile; 2],
    ) -> Joint {
        self.rates.copy_from_slice(rates);
        self.used.copy_from_slice(used);
        self.solve(cov, noise2, guess, prior)
    }

    #[inline(always)]
    fn solve(&mut self, cov: &Covariance, noise2: &Tile, guess: &Tile, prior: &[Tile; 2]) -> Joint {
        let n = cov.len();
        let span = cov.dt[0];
        let (rates, used, column) = (&self.rates[..n], &self.used[..n], &mut self.column[..n]);
        self.system.solve::<false, false>(cov, Ramps { rates, used, noise2, removed: &[] }, guess);
        let System { low, u, v, q: pivot, weight, .. } = &self.system;
        // C g = e_0, by the factors that the solution has left.
        column[0] = used[0];
        for i in 1..n {
            for l in 0..LANES {
                column[i][l] = -low[i - 1][l] * column[i - 1][l];
            }
        }
        let mut after = NOTHING;
        for i in (0..n).rev() {
            for l in 0..LANES {
                after[l] = column[i][l] * pivot[i][l] - low[i][l] * after[l];
            }
            column[i] = after;
        }
        let mut joint = Joint {
            determined: NOTHING,
            rate: NOTHING,
            variance: NOTHING,
            photon: NOTHING,
            chi2: NOTHING,
            pedestal: NOTHING,
            pedestal_variance: NOTHING,
            covariance: NOTHING,
        };
        let (mut of_rate, mut of_column) = (NOTHING, NOTHING);
        for l in 0..LANES {
            let (u0, v0, g0, sum) = (u[0][l], v[0][l], column[0][l], weight[l]);
            let known = 1.0 / (prior[1][l] * prior[1][l]);
            let total = self.system.rate[l] * sum;
            let bottom = sum * g0 - u0 * u0 + span * span * sum * known;
            let b = (span * (v0 * sum - total * u0) + span * span * sum * prior[0][l] * known) / bottom;
            let a = (total - b * u0 / span) / sum;
            let (cross, own) = (u0 / span, g0 / (span * span) + known);
            let det = sum * own - cross * cross;
            // One sample alone, without knowledge of the pedestal, tells neither.
            let enough = det > 1e-12 * sum * own;
            joint.determined[l] = if enough { 1.0 } else { 0.0 };
            let keep = |value: f64| if enough { value } else { f64::NAN };
            joint.rate[l] = keep(a);
            joint.variance[l] = keep(own / det);
            joint.pedestal[l] = keep(b);
            joint.pedestal_variance[l] = keep(sum / det);
            joint.covariance[l] = keep(-cross / det);
            // a = sum of (of_rate u_i + of_column g_i) d_i, and what the prior adds.
            of_rate[l] = (1.0 + u0 * u0 / bottom) / sum;
            of_column[l] = -u0 / bottom;
        }
        let mut before = NOTHING;
        for i in 0..n {
            let shared = if i > 0 { cov.photon_next[i - 1] } else { 0.0 };
            for l in 0..LANES {
                let k = of_rate[l] * u[i][l] + of_column[l] * column[i][l];
                joint.photon[l] += guess[l] * (cov.photon[i] * k * k + 2.0 * shared * before[l] * k);
                before[l] = k;
                let residual = used[i][l] * (rates[i][l] - joint.rate[l]);
                joint.chi2[l] += residual * (v[i][l] - joint.rate[l] * u[i][l]);
            }
        }
        for l in 0..LANES {
            // The pedestal's part of the first residual.
            let part = joint.pedestal[l] / span;
            let z0 = v[0][l] - joint.rate[l] * u[0][l];
            joint.chi2[l] += part * (part * column[0][l] - 2.0 * z0);
        }
        joint
    }
}
