//! Generalised least squares against dense matrices and plain refits, one pixel at a time.

use proptest::prelude::*;
use upramp_kernels::ramp::likelihood::{
    Fit, Image, Params, Pattern, Reads, Removed, Rule, Thresholds, Wanted, fit_gls,
};
use upramp_kernels::view::{Cube, Region};

const LIMITS: Thresholds = Thresholds { one: 20.25, two: 23.8, fewest: 3, positive: false };
const RULE: Rule =
    Rule { bad: u16::MAX, lenient: 256, carried: 256, zeroth: 0, cleared: 0, passing: 0, hidden: 0, hit: 0 };

const ALL: Wanted = Wanted {
    err: true,
    variances: true,
    goodness: true,
    exposure: true,
    hits: true,
    flags: true,
    pedestal: None,
};

/// A cube of random ramps.
#[derive(Debug, Clone)]
struct Ramps {
    shape: [usize; 3],
    sci: Vec<f32>,
    untouched: Option<Vec<f32>>,
    dq: Vec<u16>,
    mask: Vec<bool>,
    excluded: Vec<bool>,
    /// Times of the reads that make a sample.
    times: Vec<Vec<f64>>,
    gain: Vec<f32>,
    noise: Vec<f32>,
    dark: f64,
}

impl Ramps {
    fn fit(&self, threads: usize) -> Fit {
        let [nread, ny, nx] = self.shape;
        let [mean, variance, count] = self.pattern();
        let cube = |data| Cube::new("sci", data, self.shape).unwrap();
        let (sci, untouched) = (cube(&self.sci), self.untouched.as_deref().map(cube));
        let dq = Cube::new("dq", &self.dq, self.shape).unwrap();
        let mask = Cube::new("mask", &self.mask, [nread - 1, ny, nx]).unwrap();
        let reads = Reads {
            sci: &sci,
            removed: match &untouched {
                Some(cube) => Removed::Untouched(cube),
                None => Removed::Nothing,
            },
            dq: Some(&dq),
            mask: Some(&mask),
            excluded: &self.excluded,
            scale: &vec![1.0; nread],
            pattern: Pattern { mean: &mean, variance: &variance, count: &count },
            gain: Image::Each(&self.gain),
            read_noise: Image::Each(&self.noise),
            dark: Image::Same(self.dark),
            guess: None,
        };
        let params = Params { thresholds: Some(LIMITS), rule: RULE, wanted: ALL };
        fit_gls(&reads, &Region::whole([ny, nx]), &params, threads).unwrap()
    }

    fn pattern(&self) -> [Vec<f64>; 3] {
        let mean = |t: &Vec<f64>| t.iter().sum::<f64>() / t.len() as f64;
        let variance = |t: &Vec<f64>| {
            let n = t.len();
            t.iter().enumerate().map(|(k, t)| (2 * (n - k) - 1) as f64 * t).sum::<f64>() / (n * n) as f64
        };
        let times = &self.times;
        [
            times.iter().map(mean).collect(),
            times.iter().map(variance).collect(),
            times.iter().map(|t| t.len() as f64).collect(),
        ]
    }

    fn plain(&self, pixel: usize) -> Plain {
        let [nread, ny, nx] = self.shape;
        let at = |r: usize| r * ny * nx + pixel;
        let [mean, variance, count] = self.pattern();
        let n = nread - 1;
        let gain = f64::from(self.gain[pixel]);
        let dt: Vec<f64> = (0..n).map(|i| mean[i + 1] - mean[i]).collect();
        let rate_of =
            |cube: &[f32], i: usize| (f64::from(cube[at(i + 1)]) - f64::from(cube[at(i)])) / dt[i] * gain;
        let rates: Vec<f64> = (0..n).map(|i| rate_of(&self.sci, i)).collect();
        let removed: Vec<f64> =
            (0..n).map(|i| self.untouched.as_ref().map_or(0.0, |u| rate_of(u, i) - rates[i])).collect();
        // The rule, said anew: strict unless that leaves nothing after the first; saturation lasts.
        let strict = (1..nread).any(|r| !self.excluded[r] && self.dq[at(r)] == 0);
        let bad = if strict { u16::MAX } else { 256 };
        let saturated = (0..nread).find(|&r| self.dq[at(r)] & 256 != 0).unwrap_or(nread);
        let usable = |r: usize| !self.excluded[r] && self.dq[at(r)] & bad == 0 && r < saturated;
        let used = (0..n).filter(|&i| {
            usable(i) && usable(i + 1) && !self.mask[at(i)] && rates[i].is_finite() && gain > 0.0
        });
        Plain {
            used: used.collect(),
            averaged: (0..n).map(|i| i + 1 < n && count[i + 1] > 1.0).collect(),
            noise2: f64::from(self.noise[pixel]).powi(2),
            dark: self.dark,
            gain,
            dt,
            rates,
            removed,
            variance,
            mean,
            count,
        }
    }
}

/// By how much leaving out a loss of charge must be better than leaving out a gain.
const DOUBT: f64 = 16.0;

/// A ramp, and all that is to be known of it.
#[derive(Clone)]
struct Plain {
    used: Vec<usize>,
    averaged: Vec<bool>,
    noise2: f64,
    dark: f64,
    gain: f64,
    dt: Vec<f64>,
    rates: Vec<f64>,
    removed: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: Vec<f64>,
}

impl Plain {
    fn covariance(&self, rate: f64, i: usize, j: usize) -> f64 {
        let charge = |i: usize| (rate + self.removed[i]).max(0.0);
        if i == j {
            let read = self.noise2 * (1.0 / self.count[i] + 1.0 / self.count[i + 1]);
            let photons = charge(i) * (self.variance[i] + self.variance[i + 1] - 2.0 * self.mean[i]);
            (read + photons) / self.dt[i].powi(2)
        } else if i.abs_diff(j) == 1 {
            let m = i.max(j);
            let photons = charge(i).min(charge(j)) * (self.mean[m] - self.variance[m]);
            (photons - self.noise2 / self.count[m]) / (self.dt[i] * self.dt[j])
        } else {
            0.0
        }
    }

    /// Rate, variance and chi square of some differences, by elimination.
    fn least_squares(&self, rate: f64, used: &[usize]) -> [f64; 3] {
        let n = used.len();
        // Columns: the matrix, ones, the data.
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|a| {
                let mut row: Vec<f64> = used.iter().map(|&j| self.covariance(rate, used[a], j)).collect();
                row.extend([1.0, self.rates[used[a]]]);
                row
            })
            .collect();
        for k in 0..n {
            let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs())).unwrap();
            rows.swap(k, pivot);
            for a in (0..n).filter(|&a| a != k) {
                let factor = rows[a][k] / rows[k][k];
                for b in k..n + 2 {
                    rows[a][b] -= factor * rows[k][b];
                }
            }
        }
        let solved = |b: usize| (0..n).map(move |k| (k, b));
        let ones: Vec<f64> = solved(n).map(|(k, b)| rows[k][b] / rows[k][k]).collect();
        let data: Vec<f64> = solved(n + 1).map(|(k, b)| rows[k][b] / rows[k][k]).collect();
        let weight: f64 = ones.iter().sum();
        let fit = data.iter().sum::<f64>() / weight;
        let chi2 = (0..n).map(|k| (self.rates[used[k]] - fit) * (data[k] - fit * ones[k])).sum();
        [fit, 1.0 / weight, chi2]
    }

    /// Charge of hits in `out`: where chi square, quadratic in them, is least.
    fn charge(&self, guess: f64, used: &[usize], out: &[usize]) -> f64 {
        let unit = self.covariance(guess, out[0], out[0]).sqrt();
        let chi2 = |sizes: [f64; 2]| {
            let mut rates = self.rates.clone();
            out.iter().zip(sizes).for_each(|(&i, size)| rates[i] -= size * unit);
            Self { rates, ..self.clone() }.least_squares(guess, used)[2]
        };
        let none = chi2([0.0; 2]);
        let [xp, xm, yp, ym] = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]].map(chi2);
        let (gx, hx) = ((xp - xm) / 2.0, (xp + xm) / 2.0 - none);
        if out.len() == 1 {
            return -gx / (2.0 * hx) * unit * self.dt[out[0]];
        }
        let (gy, hy) = ((yp - ym) / 2.0, (yp + ym) / 2.0 - none);
        let hxy = chi2([1.0, 1.0]) - none - gx - gy - hx - hy;
        let det = 4.0 * hx * hy - hxy * hxy;
        let (x, y) = ((hxy * gy - 2.0 * hy * gx) / det, (hxy * gx - 2.0 * hx * gy) / det);
        unit * (x * self.dt[out[0]] + y * self.dt[out[1]])
    }

    /// The whole search, by refits, then the final fit: rate, variance, chi square, differences left out. None if
    /// a decision hangs on rounding.
    fn solve(&self) -> Option<([f64; 3], Vec<usize>)> {
        let mut left = self.used.clone();
        let mut sorted: Vec<f64> = left.iter().map(|&i| self.rates[i]).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let guess = (0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])).max(0.0) + self.dark;
        let mut dropped = Vec::new();
        while left.len() > usize::from(LIMITS.fewest) {
            let [_, _, chi2] = self.least_squares(guess, &left);
            let without = |out: &[usize]| {
                let rest: Vec<usize> = left.iter().copied().filter(|i| !out.contains(i)).collect();
                chi2 - self.least_squares(guess, &rest)[2]
            };
            let ones = left.iter().map(|&i| (without(&[i]) - LIMITS.one, vec![i]));
            let pairs = left
                .iter()
                .filter(|&&i| self.averaged[i] && left.contains(&(i + 1)))
                .map(|&i| (without(&[i, i + 1]) - LIMITS.two, vec![i, i + 1]));
            let mut all: Vec<_> = ones.chain(pairs).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            // Of nearly equals, what has added charge.
            let gain = all.iter().find(|(excess, out)| {
                let open = left.len() <= 2 * out.len() && self.charge(guess, &left, &all[0].1) <= 0.0;
                open && *excess > 0.0 && self.charge(guess, &left, out) > 0.0
            });
            let close = 1e-7 * chi2;
            if let Some(gain) = gain.cloned() {
                let lead = all[0].0 - gain.0;
                if (lead - DOUBT).abs() < close || self.charge(guess, &left, &all[0].1).abs() < 1e-6 {
                    return None;
                }
                if lead < DOUBT {
                    all.retain(|other| *other == gain || gain.0 - other.0 < close && other.0 < gain.0);
                    all.sort_by(|a, b| b.0.total_cmp(&a.0));
                    all.push((f64::NEG_INFINITY, vec![]));
                }
            }
            if all[0].0.abs() < close || (all[0].0 > 0.0 && all[0].0 - all[1].0 < close) {
                return None;
            }
            if all[0].0 <= 0.0 {
                break;
            }
            left.retain(|i| !all[0].1.contains(i));
            dropped.extend(&all[0].1);
        }
        let [rate, _, _] = self.least_squares(guess, &left);
        dropped.sort_unstable();
        Some((self.least_squares(rate.max(0.0) + self.dark, &left), dropped))
    }
}

fn ramps() -> impl Strategy<Value = Ramps> {
    let averaged = prop_oneof![Just(1_usize), 1..4_usize];
    (2..9_usize, 1..4_usize, 1..40_usize, averaged, 0.0..300.0_f64, any::<u64>(), any::<bool>()).prop_map(
        |(nread, ny, nx, most, rate, seed, subtracted)| {
            let mut state = seed;
            // A generator of its own: the strategy shrinks its few arguments, not every sample.
            let mut uniform = move || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let mut clock = 0.0;
            let times: Vec<Vec<f64>> = (0..nread)
                .map(|_| {
                    clock += 10.0 * uniform();
                    let reads = 1 + (uniform() * most as f64) as usize;
                    (0..reads.min(most))
                        .map(|_| {
                            clock += 0.5 + 3.0 * uniform();
                            clock
                        })
                        .collect()
                })
                .collect();
            let size = ny * nx;
            let mut sci = vec![0.0_f32; nread * size];
            let (mut dq, mut mask) = (vec![0; nread * size], vec![false; (nread - 1) * size]);
            for p in 0..size {
                let mut sum = 0.0;
                for r in 0..nread {
                    let t = times[r][0] - if r > 0 { times[r - 1][0] } else { 0.0 };
                    let noise = (uniform() + uniform() + uniform() - 1.5) * 2.0;
                    sum += rate * t + noise * (rate * t).sqrt();
                    sum += if uniform() < 0.1 { 3000.0 * uniform() } else { 0.0 };
                    let read = (uniform() + uniform() - 1.0) * 30.0;
                    sci[r * size + p] = (sum + read) as f32;
                    let luck = uniform();
                    dq[r * size + p] = match luck {
                        _ if luck < 0.02 => 256,
                        _ if luck < 0.06 => 4,
                        _ => 0,
                    };
                    if uniform() < 0.02 {
                        sci[r * size + p] = f32::NAN;
                    }
                    if r > 0 {
                        mask[(r - 1) * size + p] = uniform() < 0.05;
                    }
                }
                if uniform() < 0.1 {
                    (0..nread).for_each(|r| dq[r * size + p] |= 16);
                }
            }
            let untouched = subtracted.then(|| {
                let more = |(k, &v): (usize, &f32)| v + (40.0 * times[k / size][0].powf(1.3)) as f32;
                sci.iter().enumerate().map(more).collect()
            });
            Ramps {
                shape: [nread, ny, nx],
                untouched,
                dq,
                mask,
                excluded: (0..nread).map(|_| uniform() < 0.08).collect(),
                gain: (0..size)
                    .map(|_| if uniform() < 0.05 { 0.0 } else { 1.0 + uniform() as f32 })
                    .collect(),
                noise: (0..size).map(|_| 5.0 + 10.0 * uniform() as f32).collect(),
                dark: if uniform() < 0.5 { 0.0 } else { uniform() },
                sci,
                times,
            }
        },
    )
}

fn close(got: f32, expected: f64, what: f64) -> bool {
    (f64::from(got) - expected).abs() <= 2e-6 * expected.abs() + 1e-6 * what
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn fits_and_searches_are_those_of_plain_refits(ramps in ramps()) {
        let fit = ramps.fit(1);
        let [nread, ny, nx] = ramps.shape;
        let size = ny * nx;
        for p in 0..size {
            let plain = ramps.plain(p);
            let hits = fit.hits.iter().filter(|hit| hit.pixel as usize == p);
            let found: Vec<usize> = hits.map(|hit| usize::from(hit.after)).collect();
            if plain.used.is_empty() {
                prop_assert!(fit.rate[p].is_nan() && fit.err[p].is_nan() && fit.dof[p] == -1);
                prop_assert!(fit.samples[p] == 0 && fit.time[p] == 0.0 && found.is_empty());
                continue;
            }
            let Some(([rate, variance, chi2], dropped)) = plain.solve() else { continue };
            prop_assert_eq!(&found, &dropped, "pixel {}", p);
            let err = variance.sqrt();
            prop_assert!(close(fit.rate[p], rate / plain.gain, err), "{} {}", fit.rate[p], rate / plain.gain);
            prop_assert!(close(fit.err[p], err / plain.gain, 0.0), "{} {}", fit.err[p], err / plain.gain);
            prop_assert!(close(fit.chi2[p], chi2, 1.0), "{} {chi2}", fit.chi2[p]);
            let sum = f64::from(fit.var_poisson[p]) + f64::from(fit.var_rnoise[p]);
            prop_assert!((sum * plain.gain.powi(2) / variance - 1.0).abs() < 1e-6);
            let left: Vec<usize> = plain.used.iter().copied().filter(|i| !dropped.contains(i)).collect();
            prop_assert_eq!(fit.dof[p] as usize + 1, left.len());
            let time: f64 = left.iter().map(|&i| plain.dt[i]).sum();
            prop_assert!(close(fit.time[p], time, 0.0));
            let touched = (0..nread).filter(|&r| left.contains(&r) || r > 0 && left.contains(&(r - 1)));
            prop_assert_eq!(usize::from(fit.samples[p]), touched.count());
        }
        prop_assert!(fit.hits.iter().all(|hit| hit.size != 0.0));
    }

    #[test]
    fn threads_change_nothing(ramps in ramps()) {
        let bits = |fit: &Fit| -> Vec<u32> {
            let images = [&fit.rate, &fit.err, &fit.chi2, &fit.var_poisson, &fit.time];
            images.iter().flat_map(|image| image.iter().map(|v| v.to_bits())).collect()
        };
        let (one, three) = (ramps.fit(1), ramps.fit(3));
        prop_assert_eq!(bits(&one), bits(&three));
        prop_assert_eq!((one.read_dq, one.dq, one.unstable), (three.read_dq, three.dq, three.unstable));
        prop_assert_eq!(one.hits, three.hits);
    }
}

/// One pixel of single reads, 10 s apart.
fn one(counts: &[f32], noise: f32) -> Fit {
    let n = counts.len();
    let ramps = Ramps {
        shape: [n, 1, 1],
        sci: counts.to_vec(),
        untouched: None,
        dq: vec![0; n],
        mask: vec![false; n - 1],
        excluded: vec![false; n],
        times: (0..n).map(|r| vec![10.0 * r as f64]).collect(),
        gain: vec![1.0],
        noise: vec![noise],
        dark: 0.0,
    };
    ramps.fit(1)
}

/// Worked by hand: without signal the slope is that of a straight line, its variance 12 s^2 / (t^2 (n^3 - n)).
#[test]
fn read_noise_alone_gives_a_straight_line() {
    let fit = one(&[3.0, -3.0, 3.0, -3.0, 0.0], 10.0);
    assert!((fit.rate[0] - -0.06).abs() < 1e-6, "{}", fit.rate[0]);
    assert!((fit.err[0] - (12.0_f32 * 100.0 / (100.0 * 120.0)).sqrt()).abs() < 1e-6);
    assert_eq!(fit.var_poisson[0], 0.0);
}

/// Worked by hand: with photons alone only first and last sample count.
#[test]
fn photons_alone_leave_the_ends() {
    let fit = one(&[0.0, 1000.0, 2040.0, 2960.0, 4000.0], 0.0);
    assert!((fit.rate[0] - 100.0).abs() < 1e-4);
    assert!((fit.err[0] - (100.0_f32 / 40.0).sqrt()).abs() < 1e-5);
}

#[test]
fn a_dead_pixel_without_noise_has_an_answer() {
    let fit = one(&[0.0; 6], 0.0);
    assert!(fit.rate[0] == 0.0 && fit.err[0].is_finite() && fit.hits.is_empty());
}

/// A hit stays in the ramp, a spike does not; both are named for what they are.
#[test]
fn hits_and_spikes_are_told_apart() {
    let line = |r: usize| 20.0 * r as f32;
    let hit: Vec<f32> = (0..10).map(|r| line(r) + if r >= 4 { 500.0 } else { 0.0 }).collect();
    let fit = one(&hit, 10.0);
    let marked = |fit: &Fit, bit: u16| (0..10).filter(|&r| fit.read_dq[r] & bit != 0).collect::<Vec<_>>();
    assert_eq!((marked(&fit, 8192), marked(&fit, 4)), ((4..10).collect(), vec![]));
    assert!((fit.rate[0] - 2.0).abs() < 1e-5 && (fit.hits[0].size - 500.0).abs() < 1e-3);
    assert_eq!((fit.samples[0], fit.time[0]), (10, 80.0));
    for sign in [1.0, -1.0] {
        let spike: Vec<f32> = (0..10).map(|r| line(r) + if r == 4 { sign * 500.0 } else { 0.0 }).collect();
        let fit = one(&spike, 10.0);
        assert_eq!((marked(&fit, 8192), marked(&fit, 4)), (vec![], vec![4]));
        assert!((fit.rate[0] - 2.0).abs() < 1e-5);
        assert_eq!((fit.samples[0], fit.time[0]), (9, 70.0));
    }
}

/// Four hits and more: unstable, all reads say so, and there is a rate still.
#[test]
fn many_hits_make_a_pixel_unstable() {
    let counts: Vec<f32> = (0..12).map(|r| 20.0 * r as f32 + 500.0 * (r / 2) as f32).collect();
    let fit = one(&counts, 10.0);
    assert_eq!(fit.unstable, 1);
    assert!(fit.dq[0] & 32 != 0 && fit.read_dq.iter().all(|dq| dq & (32 | 8192) == 32));
    assert!(fit.rate[0].is_finite());
}

#[test]
fn a_background_told_by_its_rates_is_that_of_the_reads_before() {
    let shape = [9, 4, 40];
    let size = shape[1] * shape[2];
    // Golden-ratio steps: numbers from 0 to 1 that are spread evenly.
    let mut place = 0.0_f64;
    let mut next = || {
        place = (place + 0.618_034).fract();
        place
    };
    let times: Vec<f64> = (0..9).map(|r| 30.0 * r as f64 + 3.0).collect();
    let rates: Vec<f64> = (0..8).map(|i| 0.5 * i as f64 - 1.0).collect();
    let response: Vec<f32> = (0..size).map(|_| 0.8 + 0.4 * next() as f32).collect();
    let mut straight = vec![0.0f32; 9 * size];
    let mut before = straight.clone();
    for p in 0..size {
        let (mut sum, mut extra) = (0.0, 0.0);
        for r in 1..9 {
            let span = times[r] - times[r - 1];
            sum += 2.0 * span + 15.0 * (next() - 0.5);
            extra += rates[r - 1] * span * f64::from(response[p]);
            straight[r * size + p] = sum as f32;
            before[r * size + p] = (sum + extra) as f32;
        }
    }
    let count = [1.0; 9];
    let (sci, untouched) =
        (Cube::new("sci", &straight, shape).unwrap(), Cube::new("untouched", &before, shape).unwrap());
    let fit = |removed| {
        let reads = Reads {
            sci: &sci,
            removed,
            dq: None,
            mask: None,
            excluded: &[false; 9],
            scale: &[1.0; 9],
            pattern: Pattern { mean: &times, variance: &times, count: &count },
            gain: Image::Same(2.0),
            read_noise: Image::Same(10.0),
            dark: Image::Same(0.0),
            guess: None,
        };
        let params = Params {
            thresholds: Some(LIMITS),
            rule: Rule::default(),
            wanted: Wanted { flags: false, ..ALL },
        };
        fit_gls(&reads, &Region::whole([4, 40]), &params, 1).unwrap()
    };
    let [short, long, without] =
        [Removed::Rates(&rates, Some(&response)), Removed::Untouched(&untouched), Removed::Nothing].map(fit);
    for p in 0..size {
        assert!((short.rate[p] - long.rate[p]).abs() < 1e-3 * long.err[p]);
        assert!((short.err[p] / long.err[p] - 1.0).abs() < 1e-4);
        assert!((without.err[p] / long.err[p] - 1.0).abs() > 1e-3);
    }
}
