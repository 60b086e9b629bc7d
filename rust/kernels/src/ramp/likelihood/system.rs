//! Generalised least squares with a tridiagonal covariance, for a tile of pixels.
//!
//! With `C = L D L^T` (`D_1 = alpha_1`, `l_i = beta_i / D_i`, `D_{i+1} = alpha_{i+1} - beta_i l_i`) both systems
//!
//! ```text
//! C u = w,    C v = w d        (w: 1 where a difference is used, else 0)
//! ```
//!
//! are solved by one sweep forward and one backward, which also yields the diagonal of the inverse,
//! `q_n = 1 / D_n`, `q_i = 1 / D_i + l_i^2 q_{i+1}`, and its neighbours, `o_i = -l_i q_{i+1}`. Masked differences have
//! no neighbours (`beta = 0`). Then, with `U = sum u`, `V = sum v`,
//!
//! ```text
//! rate = V / U,   var = 1 / U,   residual z = v - rate u,   chi2 = sum w (d - rate) z.
//! ```
//!
//! Where a background has been subtracted, the photons of a difference are those of the rate and of what was there:
//! their rate takes the place of the count rate in the covariance, difference by difference; between neighbours the
//! lower of both, which keeps the matrix positive definite.
//!
//! Brandt 2024a solves by determinants, which overflow, underflow and lose a case: D and l do neither.

use super::covariance::Covariance;
use super::tile::{LANES, Tile};

/// Rate that stands in for nothing at all, where a pixel has neither read noise nor signal.
const LEAST_RATE: f64 = 1e-30;

/// The ramps of a tile: difference by difference, all its pixels.
#[derive(Clone, Copy)]
pub(super) struct Ramps<'a> {
    /// Rate between two samples, electrons per second.
    pub rates: &'a [Tile],
    /// 1 where it is used, else 0.
    pub used: &'a [Tile],
    /// Square of the read noise, electrons.
    pub noise2: &'a Tile,
    /// Rate of charge between two samples that has been subtracted, electrons per second; empty: none.
    pub removed: &'a [Tile],
}

impl Ramps<'_> {
    /// Rate of all charge that came between two samples, given that of what is left.
    #[inline(always)]
    fn charge<const REMOVED: bool>(&self, i: usize, guess: &Tile) -> Tile {
        let mut sum = *guess;
        if REMOVED {
            for l in 0..LANES {
                let all = guess[l] + self.removed[i][l];
                sum[l] = if all > LEAST_RATE { all } else { LEAST_RATE };
            }
        }
        sum
    }
}

#[inline(always)]
fn least(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Solution of a tile, and room for it.
pub(super) struct System {
    /// `beta_i / D_i`.
    pub low: Vec<Tile>,
    /// `u`, half-way solved before.
    pub u: Vec<Tile>,
    /// `v`, likewise.
    pub v: Vec<Tile>,
    /// `q`; `1 / D` before.
    pub q: Vec<Tile>,
    /// `U`.
    pub weight: Tile,
    /// Count rate.
    pub rate: Tile,
}

impl System {
    pub fn new(len: usize) -> Self {
        let room = || vec![[0.0; LANES]; len];
        Self { low: room(), u: room(), v: room(), q: room(), weight: [0.0; LANES], rate: [0.0; LANES] }
    }

    /// Solve for the rates, given what they are thought to be; `INVERSE`: find `q` too; `REMOVED`: a background has
    /// been subtracted.
    #[inline(always)]
    pub fn solve<const INVERSE: bool, const REMOVED: bool>(
        &mut self,
        cov: &Covariance,
        ramps: Ramps<'_>,
        guess: &Tile,
    ) {
        let n = cov.len();
        let (read, photon) = (&cov.read[..n], &cov.photon[..n]);
        let (read_next, photon_next) = (&cov.read_next[..n], &cov.photon_next[..n]);
        let (rates, used) = (&ramps.rates[..n], &ramps.used[..n]);
        let (low, q) = (&mut self.low[..n], &mut self.q[..n]);
        let (u, v) = (&mut self.u[..n], &mut self.v[..n]);
        let noise2 = *ramps.noise2;
        let guess: Tile = std::array::from_fn(|l| {
            let least = if noise2[l] > 0.0 { 0.0 } else { LEAST_RATE };
            if guess[l] > least { guess[l] } else { least }
        });
        let (mut beta, mut l_before) = ([0.0; LANES], [0.0; LANES]);
        let (mut u_before, mut v_before) = ([0.0; LANES], [0.0; LANES]);
        let (mut now, mut charge) = (used[0], ramps.charge::<REMOVED>(0, &guess));
        for i in 0..n {
            let next = used[(i + 1).min(n - 1)];
            let after = ramps.charge::<REMOVED>((i + 1).min(n - 1), &guess);
            for l in 0..LANES {
                let alpha = read[i] * noise2[l] + photon[i] * charge[l];
                let inverse = 1.0 / (alpha - beta[l] * l_before[l]);
                u_before[l] = now[l] - l_before[l] * u_before[l];
                v_before[l] = now[l] * rates[i][l] - l_before[l] * v_before[l];
                let shared = if REMOVED { least(charge[l], after[l]) } else { charge[l] };
                beta[l] = (read_next[i] * noise2[l] + photon_next[i] * shared) * (now[l] * next[l]);
                l_before[l] = beta[l] * inverse;
                q[i][l] = inverse;
            }
            (low[i], u[i], v[i]) = (l_before, u_before, v_before);
            (now, charge) = (next, after);
        }
        let (mut weight, mut sum) = ([0.0; LANES], [0.0; LANES]);
        let (mut u_after, mut v_after, mut q_after) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for i in (0..n).rev() {
            for l in 0..LANES {
                let inverse = q[i][l];
                u_after[l] = u[i][l] * inverse - low[i][l] * u_after[l];
                v_after[l] = v[i][l] * inverse - low[i][l] * v_after[l];
                weight[l] += u_after[l];
                sum[l] += v_after[l];
                if INVERSE {
                    q_after[l] = inverse + low[i][l] * low[i][l] * q_after[l];
                }
            }
            (u[i], v[i]) = (u_after, v_after);
            if INVERSE {
                q[i] = q_after;
            }
        }
        self.weight = weight;
        self.rate = std::array::from_fn(|l| if weight[l] > 0.0 { sum[l] / weight[l] } else { 0.0 });
    }

    /// Photon and read noise of the rates (variances), and chi square, after [`Self::solve`].
    #[inline(always)]
    pub fn noise<const REMOVED: bool>(&self, cov: &Covariance, ramps: Ramps<'_>, guess: &Tile) -> [Tile; 3] {
        let n = cov.len();
        let (u, v) = (&self.u[..n], &self.v[..n]);
        let (rates, used) = (&ramps.rates[..n], &ramps.used[..n]);
        let (mut photon, mut read, mut chi2) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let mut charge = ramps.charge::<REMOVED>(0, guess);
        for i in 0..n {
            let next = u[(i + 1).min(n - 1)];
            let after = ramps.charge::<REMOVED>((i + 1).min(n - 1), guess);
            for l in 0..LANES {
                let (own, shared) = (u[i][l] * u[i][l], 2.0 * u[i][l] * next[l]);
                let both = if REMOVED { least(charge[l], after[l]) } else { charge[l] };
                photon[l] += cov.photon[i] * own * charge[l] + cov.photon_next[i] * shared * both;
                read[l] += cov.read[i] * own + cov.read_next[i] * shared;
                chi2[l] += used[i][l] * (rates[i][l] - self.rate[l]) * (v[i][l] - self.rate[l] * u[i][l]);
            }
            charge = after;
        }
        for l in 0..LANES {
            let weight2 = self.weight[l] * self.weight[l];
            photon[l] /= weight2;
            read[l] *= ramps.noise2[l] / weight2;
        }
        [photon, read, chi2]
    }
}
