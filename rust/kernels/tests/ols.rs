//! Segmented least squares and two-point jumps under random ramps: no panic, the same answer for any layout and thread
//! count, side by side and one by one, and what must be true of any answer.

use proptest::prelude::*;
use upramp_kernels::jump::{self, find_jumps};
use upramp_kernels::ramp::ols::{self, Bits, Fit, fit_ols};
use upramp_kernels::stack::{PerPixel, Stack};

const BITS: Bits =
    Bits { do_not_use: 1, saturated: 2, jump: 4, persistence: 32, charge_loss: 128, no_gain: 1 << 19 };

/// Pixels of a random exposure: with two integrations, on average, 128 cases are 135,000 ramps a test.
const SIDE: [usize; 2] = [16, 33];

/// An exposure of random ramps, some with numbers that no detector gives.
#[derive(Debug, Clone)]
struct Exposure {
    shape: [usize; 4],
    data: Vec<f32>,
    dq: Vec<u8>,
    gain: Vec<f32>,
    noise: Vec<f32>,
    dark: Vec<f32>,
    frames: Vec<f32>,
}

/// Small numbers in order, the same for the same seed.
fn stream(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

fn exposure(seed: u64, nints: usize, ngroups: usize, odd: bool) -> Exposure {
    let [ny, nx] = SIDE;
    let mut next = stream(seed);
    let odd_numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 1e38, 1e-38];
    let mut number = |low: f32, high: f32| {
        let roll = next();
        if odd && roll.is_multiple_of(31) {
            return odd_numbers[(roll / 31) as usize % odd_numbers.len()];
        }
        low + (high - low) * (roll % 10_007) as f32 / 10_007.0
    };
    let pixels = ny * nx;
    let mut image = |low, high| (0..pixels).map(|_| number(low, high)).collect::<Vec<f32>>();
    let (gain, noise, dark, rate) = (image(1.0, 3.0), image(4.0, 9.0), image(0.0, 0.1), image(0.0, 900.0));
    let mut data = Vec::new();
    for _ in 0..nints {
        for k in 0..ngroups {
            data.extend(rate.iter().map(|rate| rate * k as f32 + number(-9.0, 9.0)));
        }
    }
    let frames = (0..nints * pixels).map(|_| number(0.0, 3.0).floor()).collect();
    let words = [0, 0, 0, 0, 0, 0, 1, 2, 4, 4, 5, 32, 36, 129];
    let dq = (0..data.len()).map(|i| if i % nx < 6 { 0 } else { words[next() as usize % words.len()] });
    Exposure { shape: [nints, ngroups, ny, nx], dq: dq.collect(), data, gain, noise, dark, frames }
}

impl Exposure {
    fn groups<'a>(&'a self, data: Stack<'a, f32>, dq: Stack<'a, u8>) -> ols::Groups<'a, f32, u8> {
        ols::Groups {
            data,
            original: Some(dq.clone()),
            dq: Some(dq),
            pixel_dq: None,
            zeroframe: Some(&self.frames),
            gain: PerPixel::Each(&self.gain),
            read_noise: PerPixel::Each(&self.noise),
            dark: PerPixel::Each(&self.dark),
        }
    }

    fn fit(&self, params: &ols::Params, threads: usize) -> Fit {
        let data = Stack::whole("data", &self.data, self.shape).expect("whole");
        let dq = Stack::whole("dq", &self.dq, self.shape).expect("whole");
        fit_ols(&self.groups(data, dq), params, threads).expect("fits")
    }

    /// The same with rows that lie apart.
    fn fit_rows(&self, params: &ols::Params) -> Fit {
        let nx = self.shape[3];
        let data = Stack::new("data", self.data.chunks(nx).collect(), self.shape).expect("rows");
        let dq = Stack::new("dq", self.dq.chunks(nx).collect(), self.shape).expect("rows");
        fit_ols(&self.groups(data, dq), params, 2).expect("fits")
    }

    /// The largest finite number among the groups of one pixel.
    fn largest(&self, pixel: usize) -> f32 {
        let groups = self.data.iter().skip(pixel).step_by(SIDE[0] * SIDE[1]);
        groups.map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f32::max)
    }

    fn jumps(&self, params: &jump::Params, threads: usize, network: bool) -> jump::Found<u8> {
        let groups = jump::Groups {
            data: Stack::whole("data", &self.data, self.shape).expect("whole"),
            dq: network.then(|| Stack::whole("dq", &self.dq, self.shape).expect("whole")),
            gain: PerPixel::Each(&self.gain),
            read_noise: PerPixel::Each(&self.noise),
            time: &[1.0],
            reads: &[2.0],
        };
        find_jumps(&groups, params, threads).expect("searches")
    }
}

fn params(suppress: bool, segments: bool, parity: bool) -> ols::Params {
    ols::Params {
        group_time: 10.0,
        first_time: 6.0,
        frame_time: 2.0,
        pedestal: 0.6,
        bits: BITS,
        suppress,
        lone_first: !suppress,
        integrations: true,
        segments,
        parity,
    }
}

/// Equal, or both not numbers, to so many parts.
fn near(a: &[f32], b: &[f32], part: f32) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= part * b.abs())
}

fn same(a: &Fit, b: &Fit, part: f32) -> bool {
    [(&a.exposure, &b.exposure), (&a.integrations, &b.integrations)].iter().all(|(a, b)| {
        a.dq == b.dq
            && near(&a.slope, &b.slope, part)
            && near(&a.var_poisson, &b.var_poisson, part)
            && near(&a.var_rnoise, &b.var_rnoise, part)
            && near(&a.err, &b.err, part)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn fits_agree_whatever_the_way(
        seed in any::<u64>(), nints in 1usize..4, ngroups in 1usize..14, odd in any::<bool>(),
        suppress in any::<bool>(), parity in any::<bool>(),
    ) {
        let ramps = exposure(seed, nints, ngroups, odd);
        let plain = params(suppress, false, parity);
        let fit = ramps.fit(&plain, 1);
        prop_assert!(same(&fit, &ramps.fit(&plain, 3), 0.0), "threads");
        prop_assert!(same(&fit, &ramps.fit_rows(&plain), 0.0), "layout");
        // Where segments are wanted, every ramp is worked by itself, and sums in another order.
        let alone = ramps.fit(&params(suppress, true, parity), 2);
        prop_assert_eq!(&fit.exposure.dq, &alone.exposure.dq);
        prop_assert_eq!(&fit.integrations.dq, &alone.integrations.dq);
        // So are the median rates near 0 that variances are made of.
        prop_assert!(near(&fit.integrations.var_poisson, &alone.integrations.var_poisson, 1e-5));
        prop_assert!(near(&fit.exposure.err, &alone.exposure.err, 1e-5));
        for (p, (a, b)) in fit.exposure.slope.iter().zip(&alone.exposure.slope).enumerate() {
            // Slopes near 0 are differences of large numbers: what is left of those is rounding.
            let tolerance = 1e-6 * b.abs().max(1e-3) + 1e-12 * ramps.largest(p);
            prop_assert!(a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan()), "{} {}", a, b);
        }
        prop_assert_eq!(&fit.suppressed, &alone.suppressed);
        if !parity {
            for (p, slope) in fit.exposure.slope.iter().enumerate() {
                // No rate, no variance; and no rate without the flag that says so.
                prop_assert_eq!(slope.is_nan(), fit.exposure.var_rnoise[p].is_nan());
                prop_assert!(!slope.is_nan() || fit.exposure.dq[p] & 3 != 0 || odd, "{}", p);
            }
        }
    }

    #[test]
    fn jumps_agree_whatever_the_way(
        seed in any::<u64>(), nints in 1usize..4, ngroups in 1usize..14, odd in any::<bool>(), flagged in any::<bool>(),
        single_pass in 2usize..12, clip in prop_oneof![Just(2usize), Just(100)], across in any::<bool>(),
    ) {
        let ramps = exposure(seed, nints, ngroups, odd);
        let params = jump::Params {
            thresholds: [4.0, 5.0, 6.0],
            neighbours: Some((5.0, 1000.0)),
            after: vec![(50.0, 1), (500.0, 3)],
            single_pass,
            fewest: 3,
            clip,
            across,
            clear: true,
            bits: BITS,
        };
        let found = ramps.jumps(&params, 1, flagged);
        prop_assert_eq!(&found, &ramps.jumps(&params, 3, flagged));
        if found.primary.is_none() {
            return Ok(());
        }
        for (i, &word) in found.dq.iter().enumerate() {
            let before = if flagged { ramps.dq[i] } else { 0 };
            // Nothing but the bit for jumps changes, and no group that cannot be used has it.
            prop_assert_eq!(word & !4, before & !4);
            prop_assert!(word & 4 == 0 || word & 3 == 0);
        }
    }
}

#[test]
fn a_hand_worked_ramp() {
    // 0, 10, 20, 30 with a jump of 100 at the fourth group: segments of three and of one.
    let data = [0.0, 10.0, 20.0, 130.0];
    let dq = [0_u8, 0, 0, 4];
    let groups = ols::Groups::<f32, u8> {
        data: Stack::whole("data", &data, [1, 4, 1, 1]).expect("whole"),
        dq: Some(Stack::whole("dq", &dq, [1, 4, 1, 1]).expect("whole")),
        original: None,
        pixel_dq: None,
        zeroframe: None,
        gain: PerPixel::Same(2.0),
        read_noise: PerPixel::Same(3.0),
        dark: PerPixel::Same(0.5),
    };
    let fit = fit_ols(&groups, &params(true, true, false), 1).expect("fits");
    assert_eq!(fit.exposure.slope, [1.0]);
    // (1 + 0.5) / (2 * 10 * 2), and 12 * 9 / (4 * 100 * 24).
    assert_eq!(fit.exposure.var_poisson, [0.0375]);
    assert_eq!(fit.exposure.var_rnoise, [0.01125]);
    assert_eq!((fit.segments.most, fit.segments.most_hits), (1, 1));
    assert_eq!(fit.segments.hits, [110.0]);
    // The mean of the first group is 0.6 groups after the start.
    assert_eq!(fit.segments.pedestal, [-6.0]);
    assert_eq!(fit.exposure.dq, [4]);
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let ramps = exposure(1, 1, 4, false);
    let data = || Stack::whole("data", &ramps.data, ramps.shape).expect("whole");
    let dq = Stack::whole("dq", &ramps.dq[1..], ramps.shape);
    assert!(dq.is_err_and(|error| error.to_string().starts_with("dq has shape")));
    let flags = Stack::whole("dq", &ramps.dq, [1, 2, 32, 33]).expect("whole");
    let groups = ramps.groups(data(), flags);
    let error = fit_ols(&groups, &params(true, false, false), 1).expect_err("another shape").to_string();
    assert_eq!(error, "dq has shape [1, 2, 32, 33], expected [1, 4, 16, 33]");
}
