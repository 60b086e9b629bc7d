//! Likelihood-ratio search for hits.
//!
//! A hit between two samples adds an unknown charge to one difference: leaving the difference out is the same as
//! fitting that charge. By how much chi square falls follows from the solution of the whole ramp alone (see
//! [`super::system`]; Brandt 2024b, PASP 136, 045005). With `P_i = q_i - u_i^2 / U`, `Q_i = o_i - u_i u_{i+1} / U`,
//!
//! ```text
//! one:  dchi2 = z_i^2 / P_i,                                              size b = z_i / P_i
//! two:  dchi2 = (z_i^2 P_{i+1} - 2 z_i z_{i+1} Q_i + z_{i+1}^2 P_i) / (P_i P_{i+1} - Q_i^2)
//! ```
//!
//! where two neighbours go together if the sample they share is a mean of several reads: a hit within it spoils
//! both. What exceeds its threshold by most is left out (of two differences against two, nearly as good, those that have
//! gained charge, as hits do: the published search often leaves out the others), and the search starts anew with the same covariance,
//! until nothing exceeds it or few differences are left. The forms above have no removable 0/0, unlike the
//! published ones: symmetric ramps without signal keep their hits found.
//!
//! Hits add charge, and no light takes any away. Where only such hits are wanted (`positive`), chi square is the least
//! for a rate `a >= 0`, with sizes above 0 and without them. If the rate beside a hit came out negative it is 0, and
//!
//! ```text
//! one:  dchi2 = v_i^2 / q_i - U a^2,
//! ```
//!
//! two likewise with `v` and `(q, o)` in place of `z` and `(P, Q)`; if the rate of the whole ramp is negative, `U a^2` is
//! added to every `dchi2`. Noise that looks like a hit has about half the chances, and in ramps without signal far fewer: it
//! takes a negative rate to look so.

use super::covariance::Covariance;
use super::system::System;
use super::tile::{LANES, Tile};
use crate::{Error, Result};

/// Information that remains of a difference once the others set the rate: below it is rounding.
const ROUNDING: f64 = 1e-10;

/// Where no more differences remain than go, it is open which of them are the wrong ones: by how much leaving out a loss
/// of charge must then be better than leaving out a gain. Hits do not take charge away.
const DOUBT: f64 = 16.0;

/// Least fall of chi square that leaves one difference out, and two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// One.
    pub one: f64,
    /// Two neighbours.
    pub two: f64,
    /// Nothing is left out of so few differences.
    pub fewest: u16,
    /// Only what adds charge to a rate that is not negative.
    pub positive: bool,
}

impl Thresholds {
    pub(super) fn check(&self) -> Result<()> {
        let Self { one, two, fewest, positive: _ } = *self;
        if fewest < 2 {
            return Err(Error::value("fewest", fewest, "2 or more: which of two is wrong could not be told"));
        }
        if one > 0.0 && two > 0.0 {
            return Ok(());
        }
        Err(Error::value("thresholds", format!("{one}, {two}"), "positive numbers"))
    }
}

/// Differences to leave out: the first, how many, and the rates that the hits have added to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drop {
    pub first: usize,
    pub sizes: [f64; 2],
    pub pair: bool,
}

impl Drop {
    fn count(&self) -> usize {
        1 + usize::from(self.pair)
    }

    /// What the hits have added in all.
    fn charge(&self, cov: &Covariance) -> f64 {
        let second = if self.pair { self.sizes[1] * cov.dt[self.first + 1] } else { 0.0 };
        self.sizes[0] * cov.dt[self.first] + second
    }
}

/// Lanes in which something exceeds its threshold, one bit each.
#[inline(always)]
pub(super) fn suspects(system: &System, cov: &Covariance, limits: &Thresholds, left: &Tile) -> u32 {
    let n = cov.len();
    let (u, v, q, low) = (&system.u[..n], &system.v[..n], &system.q[..n], &system.low[..n]);
    let least = if limits.positive { 0.0 } else { f64::NEG_INFINITY };
    let rate: Tile = std::array::from_fn(|l| if system.rate[l] < least { least } else { system.rate[l] });
    let share: Tile = std::array::from_fn(|l| 1.0 / system.weight[l]);
    let mut over = [0.0; LANES];
    let (mut z_before, mut p_before) = ([0.0; LANES], [0.0; LANES]);
    for i in 0..n {
        let (mut z, mut p) = ([0.0; LANES], [0.0; LANES]);
        for l in 0..LANES {
            z[l] = v[i][l] - rate[l] * u[i][l];
            p[l] = q[i][l] - u[i][l] * u[i][l] * share[l];
            // Larger by the factor only: the exact test follows where it matters.
            over[l] = if z[l] * z[l] > limits.one * p[l] { 1.0 } else { over[l] };
        }
        if i > 0 && cov.averaged[i - 1] {
            for l in 0..LANES {
                let both = -low[i - 1][l] * q[i][l] - u[i - 1][l] * u[i][l] * share[l];
                let det = p_before[l] * p[l] - both * both;
                let fall = z_before[l] * z_before[l] * p[l] - 2.0 * z_before[l] * z[l] * both
                    + z[l] * z[l] * p_before[l];
                over[l] = if fall > limits.two * det { 1.0 } else { over[l] };
            }
        }
        (z_before, p_before) = (z, p);
    }
    let mut bits = 0;
    for l in 0..LANES {
        bits |= u32::from(over[l] > 0.0 && left[l] > f64::from(limits.fewest)) << l;
    }
    bits
}

/// What to leave out of the ramp in lane `l`, if anything.
pub(super) fn choose(
    system: &System,
    cov: &Covariance,
    used: &[Tile],
    l: usize,
    limits: &Thresholds,
) -> Option<Drop> {
    let share = 1.0 / system.weight[l];
    let z = |i: usize| system.v[i][l] - system.rate[l] * system.u[i][l];
    let p = |i: usize| system.q[i][l] - system.u[i][l] * system.u[i][l] * share;
    let tells = |i: usize| used[i][l] > 0.0 && p(i) > ROUNDING * system.q[i][l];
    let left = used.iter().filter(|used| used[l] > 0.0).count();
    // The best of all, and the best of those that add charge, where that decides.
    let (mut best, mut best_gain) = ((0.0, None), (0.0, None));
    let mut weigh = |excess: f64, drop: Drop| {
        if excess > best.0 {
            best = (excess, Some(drop));
        }
        if excess > best_gain.0 && left <= 2 * drop.count() && drop.charge(cov) > 0.0 {
            best_gain = (excess, Some(drop));
        }
    };
    // What the rate explains, and what more a negative one does, which is not to be had.
    let explained = system.weight[l] * system.rate[l] * system.rate[l];
    let forbidden = if limits.positive && system.rate[l] < 0.0 { explained } else { 0.0 };
    let is_negative = |without: f64| limits.positive && system.rate[l] - without * share < 0.0;
    for i in (0..cov.len()).filter(|&i| tells(i)) {
        let (size, mut fall) = (z(i) / p(i), z(i) * z(i) / p(i));
        let mut least = size;
        if is_negative(system.u[i][l] * size) {
            let (v, q) = (system.v[i][l], system.q[i][l]);
            (least, fall) = (v / q, v * v / q - explained);
        }
        if !limits.positive || least > 0.0 {
            weigh(fall + forbidden - limits.one, Drop { first: i, sizes: [size, 0.0], pair: false });
        }
    }
    for i in (0..cov.len() - 1).filter(|&i| cov.averaged[i] && tells(i) && tells(i + 1)) {
        let (own, next) = (-system.low[i][l] * system.q[i + 1][l], i + 1);
        let both = own - system.u[i][l] * system.u[next][l] * share;
        if p(i) * p(next) - both * both <= ROUNDING * p(i) * p(next) {
            continue;
        }
        let (sizes, mut fall) = two([z(i), z(next)], [p(i), p(next)], both);
        let mut least = sizes;
        if is_negative(system.u[i][l] * sizes[0] + system.u[next][l] * sizes[1]) {
            let (v, q) = ([system.v[i][l], system.v[next][l]], [system.q[i][l], system.q[next][l]]);
            (least, fall) = two(v, q, own);
            fall -= explained;
        }
        if !limits.positive || least.iter().all(|&size| size > 0.0) {
            weigh(fall + forbidden - limits.two, Drop { first: i, sizes, pair: true });
        }
    }
    let loss = best.1.is_some_and(|drop| drop.charge(cov) <= 0.0);
    if loss && best.0 - best_gain.0 < DOUBT { best_gain.1.or(best.1) } else { best.1 }
}

/// Sizes of two hits and the fall of chi square, of the form `z^T M^-1 z` with `both` beside the diagonal of M.
fn two([z0, z1]: [f64; 2], [p0, p1]: [f64; 2], both: f64) -> ([f64; 2], f64) {
    let det = p0 * p1 - both * both;
    let sizes = [(z0 * p1 - z1 * both) / det, (z1 * p0 - z0 * both) / det];
    (sizes, (z0 * z0 * p1 - 2.0 * z0 * z1 * both + z1 * z1 * p0) / det)
}
