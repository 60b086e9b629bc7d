//! A hundred thousand random ramps, most of them nonsense: nothing panics, and every answer is one.

use upramp_kernels::ramp::casertano::{self, Threshold, fit_casertano};
use upramp_kernels::ramp::likelihood::{
    Coefficients, Differences, Image, Params, Pattern, Prior, Reads, Removed, Rule, Thresholds, Wanted,
    fit_differences, fit_gls, search_differences,
};
use upramp_kernels::view::{Cube, Region};

/// Random numbers, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> usize {
        (self.bits() % n) as usize
    }

    /// Any number, rarely one that is none.
    fn any(&mut self) -> f32 {
        match self.below(40) {
            0 => f32::from_bits(self.bits() as u32),
            1 => f32::NAN,
            2 => f32::INFINITY,
            3 => -1e30,
            4 => 0.0,
            5..10 => (1e6 * (self.unit() - 0.5)) as f32,
            _ => (200.0 * self.unit()) as f32,
        }
    }

    fn per_pixel(&mut self, size: usize) -> Vec<f32> {
        let plain = self.unit() < 0.5;
        (0..size).map(|_| if plain { 1.0 + 20.0 * self.unit() as f32 } else { self.any() }).collect()
    }
}

const PIXELS: usize = 250;
const CUBES: usize = 400;

#[test]
fn a_hundred_thousand_ramps_of_any_kind_have_defined_answers() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut answered = 0;
    for _ in 0..CUBES {
        let nread = 2 + random.below(11);
        let shape = [nread, 5, PIXELS / 5];
        let size = nread * PIXELS;
        let smooth = random.unit() < 0.5;
        let mut sci: Vec<f32> = (0..size).map(|_| random.any()).collect();
        if smooth {
            for at in PIXELS..size {
                let step = 50.0 * random.unit() as f32;
                sci[at] = sci[at - PIXELS] + if random.unit() < 0.05 { random.any() } else { step };
            }
        }
        let flag = |random: &mut Random| if random.unit() < 0.1 { random.bits() as u16 & 7 } else { 0 };
        let dq: Vec<u16> = (0..size).map(|_| flag(&mut random)).collect();
        let mask: Vec<bool> = (0..size - PIXELS).map(|_| random.unit() < 0.05).collect();
        let count: Vec<f64> = (0..nread).map(|_| 1.0 + random.below(4) as f64).collect();
        let (mut mean, mut variance, mut time) = (vec![], vec![], 0.5);
        for n in &count {
            // Reads a second apart.
            let middle = time + (n - 1.0) / 2.0;
            mean.push(middle);
            variance.push(middle - (n * n - 1.0) / (6.0 * n));
            time += n + 5.0 * random.unit();
        }
        let pattern = Pattern { mean: &mean, variance: &variance, count: &count };
        let (gain, noise, dark) =
            (random.per_pixel(PIXELS), random.per_pixel(PIXELS), random.per_pixel(PIXELS));
        let sigma = if random.unit() < 0.5 { f64::INFINITY } else { 10.0 };
        let sci = Cube::new("sci", &sci, shape).unwrap();
        let dq = Cube::new("dq", &dq, shape).unwrap();
        let mask = Cube::new("mask", &mask, [nread - 1, shape[1], shape[2]]).unwrap();
        let reads = Reads {
            sci: &sci,
            removed: Removed::Nothing,
            dq: Some(&dq),
            mask: Some(&mask),
            excluded: &vec![false; nread],
            scale: &vec![1.0; nread],
            pattern,
            gain: Image::Each(&gain),
            read_noise: Image::Each(&noise),
            dark: Image::Each(&dark),
            guess: None,
        };
        let limits = Thresholds {
            one: 20.25,
            two: 23.8,
            fewest: 2 + random.below(3) as u16,
            positive: random.below(2) == 1,
        };
        let params = Params {
            thresholds: Some(limits),
            rule: Rule { bad: 3, lenient: 3, carried: 2, hit: 4, ..Rule::default() },
            wanted: Wanted {
                err: true,
                variances: true,
                goodness: true,
                exposure: true,
                hits: true,
                flags: false,
                pedestal: (random.unit() < 0.3).then_some(Prior { value: 5.0, sigma }),
            },
        };
        let fit = fit_gls(&reads, &Region::whole([shape[1], shape[2]]), &params, 1).unwrap();
        for p in 0..PIXELS {
            let none = fit.rate[p].is_nan();
            answered += usize::from(!none);
            if fit.dof[p] >= 0 {
                assert!(!none && gain[p] > 0.0 && noise[p] >= 0.0);
                assert!(fit.err[p] >= 0.0 && fit.var_poisson[p] >= -1e-6 * fit.err[p].powi(2));
            }
            if none {
                assert!(fit.err[p].is_nan() && fit.var_poisson[p].is_nan() && fit.chi2[p].is_nan());
            }
        }
        for hit in &fit.hits {
            let (p, i) = (hit.pixel as usize, usize::from(hit.after));
            assert!(fit.dof[p] >= 0 && !mask.plane(i)[p] && dq.plane(i + 1)[p] == 0);
        }
        let pieces = casertano::Reads {
            sci: &sci,
            dq: Some(&dq),
            bad: 3,
            hit: 4,
            mask: Some(&mask),
            pattern,
            gain: Image::Each(&gain),
            read_noise: Image::Each(&noise),
            power: None,
        };
        let search = Threshold { intercept: 5.5, constant: 1.0 / 3.0 };
        let fit = fit_casertano(&pieces, Some(search), 1).unwrap();
        assert!((0..PIXELS).all(|p| fit.rate[p].is_nan() || gain[p] > 0.0));
        assert!(fit.hits.iter().all(|&(_, sample)| usize::from(sample) + 1 < nread));
        differences(&sci, &noise);
    }
    assert!(answered > 30_000, "{answered}");
}

/// The numbers as if they were differences, a second apart.
fn differences(sci: &Cube<'_, f32>, noise: &[f32]) {
    let [n, ..] = sci.shape();
    let rates: Vec<f64> = sci.data().iter().map(|&value| f64::from(value)).collect();
    let noise: Vec<f64> = noise.iter().map(|&value| f64::from(value)).collect();
    let ramps = Differences { rates: &rates, used: None, noise: &noise };
    let (twos, ones, minus) = (vec![2.0; n], vec![1.0; n], vec![-1.0; n - 1]);
    let cov = Coefficients {
        read: &twos,
        photon: &ones,
        read_next: &minus,
        photon_next: &vec![0.0; n - 1],
        averaged: &vec![true; n - 1],
        first: 0.0,
    };
    let limits = Thresholds { one: 20.25, two: 23.8, fewest: 3, positive: false };
    let (left, found) = search_differences(&ramps, &cov, &limits, 1).unwrap();
    let guess: Vec<f64> = found.iter().map(|rate| rate.max(0.0)).collect();
    let ramps = Differences { used: Some(&left), ..ramps };
    let fit = fit_differences(&ramps, &cov, &guess, None, true, 1).unwrap();
    for p in 0..noise.len() {
        let some = (0..n).any(|i| left[i * noise.len() + p]);
        assert_eq!(fit.images[0][p].is_nan(), !some);
    }
}
