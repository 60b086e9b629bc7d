//! Properties of the ramp fit: its fast path against its plain one, threads, edges, excluded reads.

use proptest::prelude::*;
use upramp_kernels::ramp::crcorr::{Fit, Params, Reads, Times, fit_crcorr};
use upramp_kernels::view::{Cube, Region};

/// A cube of random ramps.
#[derive(Debug, Clone)]
struct Ramps {
    shape: [usize; 3],
    sci: Vec<f32>,
    err: Vec<f32>,
    dq: Vec<u16>,
    times: Vec<f32>,
    excluded: Vec<bool>,
    breaks: Vec<bool>,
    to_dn: Option<Vec<f32>>,
    params: Params,
}

impl Ramps {
    fn fit(&self, threads: usize) -> Fit {
        self.fit_region(Region::whole([self.shape[1], self.shape[2]]), Path::Fast, threads)
    }

    fn fit_region(&self, region: Region, path: Path, threads: usize) -> Fit {
        let [nread, ny, nx] = self.shape;
        let each: Vec<f32> = self.times.iter().flat_map(|&time| std::iter::repeat_n(time, ny * nx)).collect();
        let reads = Reads {
            sci: Cube::new("sci", &self.sci, self.shape).unwrap(),
            err: Cube::new("err", &self.err, self.shape).unwrap(),
            dq: Cube::new("dq", &self.dq, self.shape).unwrap(),
            times: match path {
                Path::Fast => Times::PerRead(&self.times),
                // A time for every pixel: only the plain path can answer.
                Path::Plain => Times::PerPixel(Cube::new("times", &each, [nread, ny, nx]).unwrap()),
            },
            excluded: &self.excluded,
            breaks: &self.breaks,
            to_dn: self.to_dn.as_deref(),
        };
        fit_crcorr(&reads, &region, &self.params, threads).unwrap()
    }
}

#[derive(Clone, Copy)]
enum Path {
    Fast,
    Plain,
}

/// The same bits, NaN included.
fn same(a: &Fit, b: &Fit) -> bool {
    let numbers =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same_number(a, b));
    numbers(&a.rate, &b.rate)
        && numbers(&a.err, &b.err)
        && numbers(&a.time, &b.time)
        && (&a.dq, &a.samp, &a.read_dq, a.unstable) == (&b.dq, &b.samp, &b.read_dq, b.unstable)
}

fn same_number(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// A small generator, so that one seed makes a whole cube.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.next() * limit as f32) as usize).min(limit - 1)
    }

    fn noise(&mut self) -> f32 {
        (0..6).map(|_| self.next() - 0.5).sum::<f32>() * 1.4
    }
}

fn make(seed: u64, nread: usize, rate: bool, parity: bool, masks: bool) -> Ramps {
    let mut random = Random(seed);
    // Narrower than a block, and more than two blocks with a broken last.
    let shape = [nread, 11, [37, 300][random.below(2)]];
    let size = shape[1] * shape[2];
    let mut times = vec![0.0f32];
    for _ in 1..nread {
        times.push(times[times.len() - 1] + 3.0 + 40.0 * random.next());
    }
    let (mut sci, mut err) = (vec![0.0; nread * size], vec![0.0; nread * size]);
    let mut dq = vec![0u16; nread * size];
    let flags = [1u16, 4, 16, 32, 256, 512, 1024, 2048, 8192, 16384];
    for p in 0..size {
        let level = if random.next() < 0.1 { 300.0 } else { 2.0 } * random.next();
        let step =
            (random.below(nread), if random.next() < 0.3 { 2000.0 * (random.next() - 0.2) } else { 0.0 });
        let spike = (random.below(nread), if random.next() < 0.1 { 400.0 } else { 0.0 });
        let fixed = if random.next() < 0.15 { flags[random.below(flags.len())] } else { 0 };
        for r in 0..nread {
            let mut counts = level * times[r] + 8.0 * random.noise();
            counts += if r >= step.0 { step.1 } else { 0.0 } + if r == spike.0 { spike.1 } else { 0.0 };
            let error = (70.0 + counts.abs() / 2.35).sqrt();
            let scale = if rate && times[r] > 0.0 { times[r] } else { 1.0 };
            (sci[r * size + p], err[r * size + p]) = (counts / scale, error / scale);
            dq[r * size + p] = fixed;
            if random.next() < 0.01 {
                dq[r * size + p] |= flags[random.below(flags.len())];
            }
            match random.below(300) {
                0 => err[r * size + p] = 0.0,
                1 => sci[r * size + p] = f32::NAN,
                2 => err[r * size + p] = f32::NAN,
                3 => err[r * size + p] = -err[r * size + p],
                _ => {}
            }
        }
    }
    let mut excluded = vec![false; nread];
    if masks && nread > 3 {
        excluded[random.below(nread)] = true;
        excluded[random.below(nread - 1)] = true;
        excluded[nread - 1] = false;
    }
    let mut breaks = vec![false; nread];
    if masks && random.next() < 0.5 {
        breaks[random.below(nread)] = true;
        breaks[random.below(nread)] = true;
    }
    let to_dn = masks.then(|| {
        let flat = |random: &mut Random| if random.next() < 0.02 { 0.0 } else { 0.4 + 0.1 * random.next() };
        (0..size).map(|_| flat(&mut random)).collect()
    });
    let params =
        Params { crsigma: 4.0, bad_dq: 256, gain: 2.35, rate, zeroth_rescue: true, zeroth_time: 2.9, parity };
    Ramps { shape, sci, err, dq, times, excluded, breaks, to_dn, params }
}

/// Ramps whose pixels nearly all have one step, up or down, at any place; some have a second one near the limit, a few a flag.
fn make_steps(seed: u64, nread: usize, rate: bool, parity: bool, masks: bool) -> Ramps {
    let mut ramps = make(seed, nread, rate, parity, masks);
    // Breaks are the plain path's alone.
    ramps.breaks.fill(false);
    let mut random = Random(!seed);
    let size = ramps.shape[1] * ramps.shape[2];
    let rare = [0u16, 1, 256, 512, 1024, 2048, 8192];
    for p in 0..size {
        let level = 3.0 * random.next();
        let [first, second] = [0; 2].map(|_| random.below(nread));
        let height = 4000.0 * (random.next() - 0.4);
        let more = if random.next() < 0.3 { 300.0 * (random.next() - 0.4) } else { 0.0 };
        // On any read: the zeroth and those left out of the fit as well.
        let flagged = (random.below(20 * nread), rare[random.below(rare.len())]);
        for r in 0..nread {
            let time = ramps.times[r];
            let steps = if r >= first { height } else { 0.0 } + if r >= second { more } else { 0.0 };
            let counts = level * time + 8.0 * random.noise() + steps;
            let scale = if rate && time > 0.0 { time } else { 1.0 };
            let at = r * size + p;
            ramps.sci[at] = counts / scale;
            ramps.err[at] = (70.0 + counts.abs() / 2.35).sqrt() / scale;
            ramps.dq[at] = if flagged.0 == r { flagged.1 } else { 0 };
        }
    }
    ramps
}

fn ramps() -> impl Strategy<Value = Ramps> {
    (any::<u64>(), 2usize..17, any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(seed, nread, rate, parity, masks)| make(seed, nread, rate, parity, masks))
        .no_shrink()
}

fn steps() -> impl Strategy<Value = Ramps> {
    (any::<u64>(), 2usize..17, any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(seed, nread, rate, parity, masks)| make_steps(seed, nread, rate, parity, masks))
        .no_shrink()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_gives_the_bits_of_the_plain_one(ramps in ramps()) {
        let whole = Region::whole([ramps.shape[1], ramps.shape[2]]);
        let fast = ramps.fit_region(whole.clone(), Path::Fast, 1);
        let plain = ramps.fit_region(whole, Path::Plain, 1);
        prop_assert!(same(&fast, &plain));
    }

    #[test]
    fn pixels_with_one_hit_get_the_bits_of_the_plain_path(ramps in steps()) {
        let whole = Region::whole([ramps.shape[1], ramps.shape[2]]);
        let fast = ramps.fit_region(whole.clone(), Path::Fast, 1);
        let plain = ramps.fit_region(whole, Path::Plain, 1);
        prop_assert!(same(&fast, &plain));
        // Hits were found, or the test would say nothing.
        prop_assert!(ramps.shape[0] < 6 || fast.read_dq.iter().any(|flags| flags & 8192 != 0));
        prop_assert!(same(&fast, &ramps.fit(3)));
    }

    #[test]
    fn threads_do_not_change_the_answer(ramps in ramps()) {
        let one = ramps.fit(1);
        for threads in [2, 7] {
            prop_assert!(same(&one, &ramps.fit(threads)));
        }
    }

    #[test]
    fn a_pixel_does_not_depend_on_where_the_region_ends(ramps in ramps(), y in 0usize..5, x in 0usize..20) {
        let whole = ramps.fit(1);
        let [_, ny, nx] = ramps.shape;
        let region = Region::new(y..ny - 1, x..nx - 3, [ny, nx]).unwrap();
        let part = ramps.fit_region(region.clone(), Path::Fast, 1);
        for (row, y) in region.y.clone().enumerate() {
            for (column, x) in region.x.clone().enumerate() {
                let (p, q) = (y * nx + x, row * region.x.len() + column);
                prop_assert!(same_number(whole.rate[p], part.rate[q]));
                prop_assert!(same_number(whole.err[p], part.err[q]));
                prop_assert!(same_number(whole.time[p], part.time[q]));
                prop_assert_eq!((whole.dq[p], whole.samp[p]), (part.dq[q], part.samp[q]));
            }
        }
        // The reads' flags have the whole frame: fitted inside, passed on outside.
        for (at, flags) in part.read_dq.iter().enumerate() {
            let inside = region.y.contains(&(at / nx % ny)) && region.x.contains(&(at % nx));
            prop_assert_eq!(*flags, if inside { whole.read_dq[at] } else { ramps.dq[at] });
        }
    }

    #[test]
    fn excluded_reads_have_no_influence(
        seed in any::<u64>(), rate in any::<bool>(), parity in any::<bool>(),
        wild in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(0.0f32), -1e30f32..1e30]) {
        const OUT: [usize; 3] = [3, 4, 8];
        let mut ramps = make(seed, 12, rate, parity, false);
        OUT.iter().for_each(|&r| ramps.excluded[r] = true);
        // A hit found earlier spreads to later reads, and 4 or 32 of one read alone are those of a fit: such
        // flags concern the whole ramp, whichever read carries them.
        ramps.dq.iter_mut().for_each(|flags| *flags &= !(16384 | 8192 | 1024 | 4 | 32));
        let before = ramps.fit(1);
        let size = ramps.shape[1] * ramps.shape[2];
        for p in OUT.iter().flat_map(|r| r * size..(r + 1) * size) {
            (ramps.sci[p], ramps.err[p]) = (wild, -wild);
            ramps.dq[p] ^= 512 | 256 | 16;
        }
        let after = ramps.fit(1);
        let flags = |fit: &Fit, r: usize| fit.read_dq[r * size..(r + 1) * size].to_vec();
        for r in (0..12).filter(|r| !OUT.contains(r)) {
            prop_assert_eq!(flags(&before, r), flags(&after, r));
        }
        let stripped = |fit: Fit| Fit { read_dq: vec![], ..fit };
        let equal = same(&stripped(before), &stripped(after));
        prop_assert!(equal);
    }

    #[test]
    fn hits_of_an_earlier_fit_are_cleared_first(ramps in ramps(), seed in any::<u64>()) {
        let mut ramps = ramps;
        ramps.params.parity = false;
        ramps.dq.iter_mut().for_each(|flags| *flags &= !8192);
        let fresh = ramps.fit(1);
        let mut random = Random(seed);
        ramps.dq.iter_mut().for_each(|flags| *flags |= if random.next() < 0.2 { 8192 } else { 0 });
        prop_assert!(same(&fresh, &ramps.fit(1)));
    }

    #[test]
    fn flags_of_an_earlier_fit_make_no_difference(seed in any::<u64>(), rate in any::<bool>()) {
        let mut ramps = make(seed, 10, rate, false, false);
        ramps.dq.iter_mut().for_each(|flags| *flags &= !(8192 | 4 | 32));
        let fresh = ramps.fit(1);
        ramps.dq.clone_from(&fresh.read_dq);
        // Unstable in every read looks like a bad pixel of the detector: those may differ.
        let size = ramps.shape[1] * ramps.shape[2];
        let again = ramps.fit(1);
        for p in 0..size {
            let everywhere = (0..10).all(|r| fresh.read_dq[r * size + p] & 32 != 0);
            prop_assert!(everywhere || same_number(fresh.rate[p], again.rate[p]));
        }
    }
}

#[test]
fn what_falls_in_at_a_break_changes_nothing() {
    let mut ramps = make(5, 12, false, false, false);
    ramps.dq.fill(0);
    ramps.breaks[5] = true;
    let size = ramps.shape[1] * ramps.shape[2];
    for p in 0..size {
        for r in 0..12 {
            let counts = 2.0 * ramps.times[r] + ((p * 12 + r) % 7) as f32;
            (ramps.sci[r * size + p], ramps.err[r * size + p]) = (counts, (70.0 + counts / 2.35).sqrt());
        }
    }
    let quiet = ramps.fit(2);
    ramps.sci[5 * size..].iter_mut().for_each(|signal| *signal += 5000.0);
    let disturbed = ramps.fit(2);
    assert!(disturbed.read_dq.iter().all(|&flags| flags == 0));
    assert!(quiet.samp.iter().all(|&samp| samp == 12));
    let covered = ramps.times[4] + ramps.times[11] - ramps.times[5];
    for p in 0..size {
        assert!((quiet.time[p] - covered).abs() < 1e-3);
        assert!((quiet.rate[p] / quiet.time[p] - 2.0).abs() < 0.1);
        assert!((disturbed.rate[p] - quiet.rate[p]).abs() < 0.01 * quiet.err[p]);
    }
    ramps.breaks.fill(false);
    assert!(ramps.fit(2).read_dq[11 * size..].iter().all(|&flags| flags & 8192 != 0));
}

#[test]
fn a_last_read_alone_after_a_break_is_left_out() {
    let mut ramps = make(6, 8, false, false, false);
    ramps.dq.fill(0);
    let size = ramps.shape[1] * ramps.shape[2];
    for p in 0..size {
        for r in 0..8 {
            (ramps.sci[r * size + p], ramps.err[r * size + p]) = (3.0 * ramps.times[r], 9.0);
        }
    }
    ramps.breaks[7] = true;
    ramps.sci[7 * size..].fill(1e6);
    let fit = ramps.fit(1);
    assert!(fit.samp.iter().all(|&samp| samp == 7) && fit.dq.iter().all(|&dq| dq == 0));
    assert!(fit.rate.iter().zip(&fit.time).all(|(rate, time)| (rate / time - 3.0).abs() < 1e-3));
}

#[test]
fn refusals_name_the_argument() {
    let ramps = make(1, 4, true, false, false);
    let sci = Cube::new("sci", &ramps.sci, ramps.shape).unwrap();
    let err = Cube::new("err", &ramps.err, ramps.shape).unwrap();
    let dq = Cube::new("dq", &ramps.dq, ramps.shape).unwrap();
    let good = Reads {
        sci,
        err,
        dq,
        times: Times::PerRead(&ramps.times),
        excluded: &ramps.excluded,
        breaks: &[false; 4],
        to_dn: None,
    };
    let whole = Region::whole([ramps.shape[1], ramps.shape[2]]);
    let said =
        |reads: &Reads<'_>, params: &Params| fit_crcorr(reads, &whole, params, 1).unwrap_err().to_string();
    let short = Cube::new("err", &ramps.err[..37], [1, 1, 37]).unwrap();
    assert_eq!(
        said(&Reads { err: short, ..good }, &ramps.params),
        "err has shape [1, 1, 37], expected [4, 11, 37]"
    );
    assert!(
        said(&Reads { excluded: &[true; 4], ..good }, &ramps.params).starts_with("excluded is every read")
    );
    assert!(
        said(&Reads { times: Times::PerRead(&[0.0]), ..good }, &ramps.params).starts_with("times has shape")
    );
    assert!(said(&good, &Params { gain: 0.0, ..ramps.params.clone() }).starts_with("gain is 0"));
    assert!(Region::new(3..3, 0..1, [5, 5]).is_err());
    assert!(Cube::new("dq", &[0u16; 5], [1, 2, 3]).is_err());
}
