//! The same fits on differences that are given, with their covariance: what Brandt's code works on.
//!
//! Beside rate, error and chi square there is, on request, the answer to "what if?" for every difference and for every
//! two neighbours: rate, error and chi square without them ([`super::jumps`]), and the charge of a hit,
//!
//! ```text
//! one:  rate - (u_i / U) b,  chi2 - z_i b,  var = q_i / (U P_i);   b = z_i / P_i,  its variance 1 / P_i
//! two:  rate - (u_i b + u_{i+1} c) / U,  chi2 - z_i b - z_{i+1} c,
//!       1 / var = U - (u_i^2 q_{i+1} - 2 u_i u_{i+1} o_i + u_{i+1}^2 q_i) / (q_i q_{i+1} - o_i^2)
//! ```
//!
//! A masked difference changes nothing: the ramp without it is the ramp, and two neighbours are the other one.

use super::block::{self, Block, Plan, TILES};
use super::covariance::Covariance;
use super::jumps::Thresholds;
use super::pedestal::Pedestal;
use super::samples::SIZE;
use super::system::{Ramps, System};
use super::tile::{LANES, Tile};
use crate::{Error, Result, par, simd};
use std::ops::Range;

/// The covariance of differences: part from read noise, part from photons, and that of neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Coefficients<'a> {
    /// Of the squared read noise, on the diagonal.
    pub read: &'a [f64],
    /// Of the count rate, on the diagonal.
    pub photon: &'a [f64],
    /// Of the squared read noise, between neighbours.
    pub read_next: &'a [f64],
    /// Of the count rate, between neighbours.
    pub photon_next: &'a [f64],
    /// Whether neighbours share a sample that is a mean.
    pub averaged: &'a [bool],
    /// Mean time of the first sample if the first difference is that sample; else 0.
    pub first: f64,
}

impl Coefficients<'_> {
    fn covariance(&self) -> Result<Covariance> {
        let n = self.read.len();
        let last = n.saturating_sub(1);
        for (name, got, expected) in [
            ("alpha_phnoise", self.photon.len(), n),
            ("beta_readnoise", self.read_next.len(), last),
            ("beta_phnoise", self.photon_next.len(), last),
            ("averaged", self.averaged.len(), last),
        ] {
            if got != expected {
                return Err(Error::Shape { name, got: vec![got], expected: vec![expected] });
            }
        }
        if n == 0 {
            return Err(Error::value("differences", n, "at least one"));
        }
        let end = |values: &[f64]| [values, &[0.0]].concat();
        let mut dt = vec![1.0; n];
        dt[0] = if self.first > 0.0 { self.first } else { 1.0 };
        Ok(Covariance {
            dt,
            read: self.read.to_vec(),
            photon: self.photon.to_vec(),
            read_next: end(self.read_next),
            photon_next: end(self.photon_next),
            averaged: [self.averaged, &[false]].concat(),
        })
    }
}

/// Ramps: difference by difference, all pixels, `(n, npixel)`.
#[derive(Debug, Clone, Copy)]
pub struct Differences<'a> {
    /// Rate between two samples, electrons per second.
    pub rates: &'a [f64],
    /// Whether it is used; none: all are.
    pub used: Option<&'a [bool]>,
    /// Read noise of each pixel, electrons.
    pub noise: &'a [f64],
}

impl Differences<'_> {
    fn check(&self, n: usize) -> Result<usize> {
        let size = self.noise.len();
        for (name, got) in
            [("diffs", self.rates.len()), ("diffs2use", self.used.map_or(n * size, <[bool]>::len))]
        {
            if got != n * size {
                return Err(Error::Shape { name, got: vec![got], expected: vec![n, size] });
            }
        }
        Ok(size)
    }

    /// Difference `i` of `pixel`, and 1 if it is used.
    fn at(&self, i: usize, pixel: usize) -> (f64, f64) {
        let at = i * self.noise.len() + pixel;
        let rate = self.rates[at];
        let used = self.used.is_none_or(|used| used[at]) && rate.is_finite();
        if used { (rate, 1.0) } else { (0.0, 0.0) }
    }

    /// Squared read noise; pixels without one go along, and are not used.
    fn noise2(&self, pixel: usize) -> Option<f64> {
        let noise = self.noise[pixel];
        (noise >= 0.0 && noise.is_finite()).then_some(noise * noise)
    }
}

/// What is known of pedestals: value and uncertainty of each pixel.
#[derive(Debug, Clone, Copy)]
pub struct Priors<'a> {
    /// Value.
    pub value: &'a [f64],
    /// Uncertainty.
    pub sigma: &'a [f64],
}

/// Numbers of a solution, each `(rows, npixel)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Solution {
    /// Rate, its error, chi square.
    pub images: [Vec<f64>; 3],
    /// Weights of the differences.
    pub weights: Vec<f64>,
    /// Pedestal, its error, and its covariance with the rate; if asked for.
    pub pedestal: [Vec<f64>; 3],
    /// Without each difference: rate, error, chi square; charge of a hit and its error; if asked for.
    pub one: [Vec<f64>; 5],
    /// Without each two neighbours: rate, error, chi square.
    pub two: [Vec<f64>; 3],
}

/// Fit differences with the covariance for the rates of `guess`.
pub fn fit_differences(
    ramps: &Differences<'_>,
    cov: &Coefficients<'_>,
    guess: &[f64],
    priors: Option<Priors<'_>>,
    tables: bool,
    threads: usize,
) -> Result<Solution> {
    let cov = cov.covariance()?;
    let n = cov.len();
    let size = ramps.check(n)?;
    let priors_len = priors.map_or([size; 2], |priors| [priors.value.len(), priors.sigma.len()]);
    for (name, got) in
        [("countrateguess", guess.len()), ("resetval", priors_len[0]), ("resetsig", priors_len[1])]
    {
        if got != size {
            return Err(Error::Shape { name, got: vec![got], expected: vec![size] });
        }
    }
    if priors.is_some() && tables {
        return Err(Error::value("pedestal", "asked for", "none where hits are searched for"));
    }
    let job = Job { ramps, cov: &cov, guess, priors, tables };
    let parts = par::map(size.div_ceil(SIZE), threads, |part| {
        let pixels = part * SIZE..size.min((part + 1) * SIZE);
        simd::run(Solve { job: &job, pixels })
    });
    let mut all = Solution::default();
    let rows = |n: usize| vec![0.0; n * size];
    all.images = [(); 3].map(|()| rows(1));
    all.weights = rows(if priors.is_none() { n } else { 0 });
    all.pedestal = [(); 3].map(|()| rows(usize::from(priors.is_some())));
    all.one = [(); 5].map(|()| rows(if tables { n } else { 0 }));
    all.two = [(); 3].map(|()| rows(if tables { n - 1 } else { 0 }));
    for (part, found) in parts.iter().enumerate() {
        let (first, len) = (part * SIZE, found.images[0].len());
        for (into, from) in all.fields().into_iter().zip(found.clone().fields()) {
            for (into, from) in into.chunks_mut(size).zip(from.chunks(len)) {
                into[first..first + len].copy_from_slice(from);
            }
        }
    }
    Ok(all)
}

impl Solution {
    fn fields(&mut self) -> Vec<&mut Vec<f64>> {
        let Self { images, weights, pedestal, one, two } = self;
        images.iter_mut().chain([weights]).chain(pedestal).chain(one).chain(two).collect()
    }
}

#[derive(Clone, Copy)]
struct Job<'a> {
    ramps: &'a Differences<'a>,
    cov: &'a Covariance,
    guess: &'a [f64],
    priors: Option<Priors<'a>>,
    tables: bool,
}

struct Solve<'a> {
    job: &'a Job<'a>,
    pixels: Range<usize>,
}

impl simd::Loop for Solve<'_> {
    type Output = Solution;

    #[inline(always)]
    fn run(self) -> Solution {
        let Self { job, pixels } = self;
        let (n, len) = (job.cov.len(), pixels.len());
        let rows = |n: usize| vec![0.0; n * len];
        let mut part = Solution {
            images: [(); 3].map(|()| rows(1)),
            weights: rows(if job.priors.is_none() { n } else { 0 }),
            pedestal: [(); 3].map(|()| rows(usize::from(job.priors.is_some()))),
            one: [(); 5].map(|()| rows(if job.tables { n } else { 0 })),
            two: [(); 3].map(|()| rows(if job.tables { n - 1 } else { 0 })),
        };
        let room = || vec![[0.0; LANES]; n];
        let (mut rates, mut used) = (room(), room());
        let (mut system, mut pedestal) = (System::new(n), Pedestal::new(n));
        for start in (0..len).step_by(LANES) {
            let lanes = LANES.min(len - start);
            let (mut noise2, mut guess) = ([1.0; LANES], [0.0; LANES]);
            let mut prior = [[0.0; LANES], [f64::INFINITY; LANES]];
            for l in 0..lanes {
                let pixel = pixels.start + start + l;
                let noise = job.ramps.noise2(pixel);
                noise2[l] = noise.unwrap_or(1.0);
                guess[l] = if job.guess[pixel].is_finite() { job.guess[pixel] } else { 0.0 };
                for i in 0..n {
                    let (rate, use_it) = job.ramps.at(i, pixel);
                    (rates[i][l], used[i][l]) = if noise.is_some() { (rate, use_it) } else { (0.0, 0.0) };
                }
                if let Some(priors) = &job.priors {
                    (prior[0][l], prior[1][l]) = (priors.value[pixel], priors.sigma[pixel]);
                }
            }
            if job.priors.is_some() {
                let fit = pedestal.of(job.cov, &rates, &used, &noise2, &guess, &prior);
                for l in 0..lanes {
                    let to = start + l;
                    part.images[0][to] = fit.rate[l];
                    part.images[1][to] = fit.variance[l].sqrt();
                    part.images[2][to] = fit.chi2[l];
                    part.pedestal[0][to] = fit.pedestal[l];
                    part.pedestal[1][to] = fit.pedestal_variance[l].sqrt();
                    part.pedestal[2][to] = fit.covariance[l];
                }
                continue;
            }
            let ramps = Ramps { rates: &rates, used: &used, noise2: &noise2, removed: &[] };
            system.solve::<true, false>(job.cov, ramps, &guess);
            let [_, _, chi2] = system.noise::<false>(job.cov, ramps, &guess);
            for l in 0..lanes {
                let to = start + l;
                let share = 1.0 / system.weight[l];
                // Nothing to go by: nothing is a number.
                let nothing = if system.weight[l] > 0.0 { 0.0 } else { f64::NAN };
                part.images[0][to] = system.rate[l] + nothing;
                part.images[1][to] = share.sqrt() + nothing;
                part.images[2][to] = chi2[l] + nothing;
                for i in 0..n {
                    part.weights[i * len + to] = system.u[i][l] * share;
                }
                if job.tables {
                    tabulate(&system, &used, l, chi2[l], |table, i, value| match table {
                        0..5 => part.one[table][i * len + to] = value,
                        _ => part.two[table - 5][i * len + to] = value,
                    });
                }
            }
        }
        part
    }
}

/// Tables of one pixel, given to `put` with their number: five for single differences, three for neighbours.
fn tabulate(system: &System, used: &[Tile], l: usize, chi2: f64, mut put: impl FnMut(usize, usize, f64)) {
    let (sum, rate, share) = (system.weight[l], system.rate[l], 1.0 / system.weight[l]);
    let n = used.len();
    let u = |i: usize| system.u[i][l];
    let q = |i: usize| system.q[i][l] * used[i][l];
    let z = |i: usize| system.v[i][l] - rate * u(i);
    let p = |i: usize| q(i) - u(i) * u(i) * share;
    let single = |i: usize| -> [f64; 5] {
        if used[i][l] == 0.0 {
            return [rate, share.sqrt(), chi2, f64::NAN, f64::INFINITY];
        }
        let b = z(i) / p(i);
        [rate - u(i) * share * b, (q(i) * share / p(i)).sqrt(), chi2 - z(i) * b, b, (1.0 / p(i)).sqrt()]
    };
    for i in 0..n {
        for (table, value) in single(i).into_iter().enumerate() {
            put(table, i, value);
        }
    }
    for i in 0..n - 1 {
        let values = if used[i][l] == 0.0 {
            let [rate, err, chi2, ..] = single(i + 1);
            [rate, err, chi2]
        } else if used[i + 1][l] == 0.0 {
            let [rate, err, chi2, ..] = single(i);
            [rate, err, chi2]
        } else {
            let j = i + 1;
            let off = -system.low[i][l] * q(j);
            let both = off - u(i) * u(j) * share;
            let det = p(i) * p(j) - both * both;
            let (b, c) = ((z(i) * p(j) - z(j) * both) / det, (z(j) * p(i) - z(i) * both) / det);
            let inner = q(i) * q(j) - off * off;
            let known = sum - (u(i) * u(i) * q(j) - 2.0 * u(i) * u(j) * off + u(j) * u(j) * q(i)) / inner;
            [rate - (u(i) * b + u(j) * c) * share, (1.0 / known).sqrt(), chi2 - z(i) * b - z(j) * c]
        };
        for (table, value) in values.into_iter().enumerate() {
            put(5 + table, i, value);
        }
    }
}

/// Search differences for hits; returns those left in use, and the rates.
pub fn search_differences(
    ramps: &Differences<'_>,
    cov: &Coefficients<'_>,
    limits: &Thresholds,
    threads: usize,
) -> Result<(Vec<bool>, Vec<f64>)> {
    let cov = cov.covariance()?;
    let n = cov.len();
    let size = ramps.check(n)?;
    limits.check()?;
    let plan = Plan::new(cov, None, false);
    let parts = par::map(size.div_ceil(SIZE), threads, |part| {
        let pixels = part * SIZE..size.min((part + 1) * SIZE);
        simd::run(Search { ramps, plan: &plan, limits, pixels })
    });
    let (mut left, mut rates) = (vec![false; n * size], vec![0.0; size]);
    for (part, (used, found)) in parts.iter().enumerate() {
        let (first, len) = (part * SIZE, found.len());
        rates[first..first + len].copy_from_slice(found);
        for (into, from) in left.chunks_mut(size).zip(used.chunks(len)) {
            into[first..first + len].copy_from_slice(from);
        }
    }
    Ok((left, rates))
}

struct Search<'a> {
    ramps: &'a Differences<'a>,
    plan: &'a Plan,
    limits: &'a Thresholds,
    pixels: Range<usize>,
}

impl simd::Loop for Search<'_> {
    type Output = (Vec<bool>, Vec<f64>);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { ramps, plan, limits, pixels } = self;
        let (n, len) = (plan.cov.len(), pixels.len());
        let mut block = Block::new(n + 1, false, false);
        block.noise2 = [[1.0; LANES]; TILES];
        for (p, pixel) in pixels.enumerate() {
            let (t, l) = (p / LANES, p % LANES);
            let noise = ramps.noise2(pixel);
            block.noise2[t][l] = noise.unwrap_or(1.0);
            for i in 0..n {
                let (rate, used) = if noise.is_some() { ramps.at(i, pixel) } else { (0.0, 0.0) };
                (block.rates[t * n + i][l], block.used[t * n + i][l]) = (rate, used);
                block.left[t][l] += used;
            }
        }
        block::find::<false>(plan, Some(limits), len, &mut block);
        let mut left = vec![false; n * len];
        let mut rates = vec![0.0; len];
        for p in 0..len {
            let (t, l) = (p / LANES, p % LANES);
            rates[p] = if block.left[t][l] > 0.0 { block.rate[t][l] } else { f64::NAN };
            for i in 0..n {
                left[i * len + p] = block.used[t * n + i][l] > 0.0;
            }
        }
        (left, rates)
    }
}
