//! Combined frames against a plain sort of every column.

use proptest::prelude::*;
use upramp_kernels::combine::{
    Centre, Deviation, Frame, Outputs, Rejection, SigmaClip, Statistic, Word, combine,
};

/// Data, uncertainty and count.
type Answer = (Vec<f32>, Vec<f32>, Vec<u16>);

fn frame<T>(words: &[T]) -> Frame<'_, T> {
    Frame { words, swapped: false, flipped: false, bad: None, sigma: None, scale: 1.0, zero: 0.0 }
}

fn run<T: Word>(
    frames: &[Frame<'_, T>],
    statistic: Statistic,
    rejection: Rejection,
    threads: usize,
) -> Result<Answer, upramp_kernels::Error> {
    let len = frames.first().map_or(0, |frame| frame.words.len());
    let (mut data, mut error, mut count) = (vec![0.0; len], vec![0.0; len], vec![0; len]);
    let outputs = Outputs { data: &mut data, uncertainty: Some(&mut error), count: Some(&mut count) };
    combine(frames, statistic, rejection, outputs, threads)?;
    Ok((data, error, count))
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// One column, plainly.
fn plain(mut values: Vec<f64>, statistic: Statistic, rejection: Rejection) -> (f64, f64, u16) {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    match rejection {
        Rejection::None => {}
        Rejection::Extremes(low, high) => {
            let n = values.len();
            values = if low + high >= n { Vec::new() } else { values[low..n - high].to_vec() };
        }
        Rejection::Sigma(clip) => {
            for _ in 0..clip.max_iter {
                let (middle, about) = (median(&values), mean(&values));
                let mut off: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
                off.sort_by(f64::total_cmp);
                let squares: Vec<f64> = values.iter().map(|value| (value - about).powi(2)).collect();
                let width = match clip.deviation {
                    Deviation::Std => mean(&squares).sqrt(),
                    Deviation::Mad => 1.482_602_218_505_602 * median(&off),
                };
                let centre = if clip.centre == Centre::Mean { about } else { middle };
                // A hair's breadth: a value at the threshold itself may fall to either side of it.
                let hair = 1e-9 * (1.0 + width + centre.abs());
                let (least, most) = (centre - clip.lower * width - hair, centre + clip.upper * width + hair);
                values.retain(|&value| value >= least && value <= most);
            }
        }
    }
    let n = values.len() as f64;
    let about = mean(&values);
    let variance = values.iter().map(|value| (value - about).powi(2)).sum::<f64>() / (n - 1.0);
    let factor =
        if statistic == Statistic::Median && n > 2.0 { std::f64::consts::FRAC_PI_2.sqrt() } else { 1.0 };
    let value = if statistic == Statistic::Mean { about } else { median(&values) };
    (value, factor * (variance / n).sqrt(), values.len() as u16)
}

fn near(got: f32, expected: f64) -> bool {
    (got.is_nan() && expected.is_nan()) || (f64::from(got) - expected).abs() <= 2e-6 * (1.0 + expected.abs())
}

fn rejections() -> impl Strategy<Value = Rejection> {
    let clips = (0.7..4.0f64, 0.7..4.0f64, 0..6usize, any::<bool>(), any::<bool>());
    prop_oneof![
        Just(Rejection::None),
        (0..3usize, 0..3usize).prop_map(|(low, high)| Rejection::Extremes(low, high)),
        clips.prop_map(|(lower, upper, max_iter, mean, mad)| {
            let centre = if mean { Centre::Mean } else { Centre::Median };
            let deviation = if mad { Deviation::Mad } else { Deviation::Std };
            Rejection::Sigma(SigmaClip { lower, upper, max_iter, centre, deviation })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn numbers_agree(
        count in 5..24usize,
        len in 1..150usize,
        seed in any::<u64>(),
        median in any::<bool>(),
        rejection in rejections(),
        mask in any::<bool>(),
    ) {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u64 << 31) as f32
        };
        let cube: Vec<Vec<f32>> = (0..count).map(|_| (0..len).map(|_| match next() {
            u if u < 0.02 => f32::NAN,
            u if u < 0.05 => 300.0 * next(),
            // Few levels, so that there are ties.
            u if u < 0.4 => (8.0 * next()).floor(),
            _ => 8.0 * next(),
        }).collect()).collect();
        let bad: Vec<Vec<bool>> =
            (0..count).map(|_| (0..len).map(|_| mask && next() < 0.2).collect()).collect();
        let frames: Vec<_> =
            cube.iter().zip(&bad).map(|(words, bad)| Frame { bad: Some(bad), ..frame(words) }).collect();
        let statistic = if median { Statistic::Median } else { Statistic::Mean };
        let (data, error, used) = run(&frames, statistic, rejection, 1).unwrap();
        for p in 0..len {
            let column = (0..count).filter(|&k| !bad[k][p]).map(|k| f64::from(cube[k][p])).collect();
            let (value, sigma, n) = plain(column, statistic, rejection);
            prop_assert_eq!(used[p], n);
            prop_assert!(near(data[p], value), "{} {}", data[p], value);
            prop_assert!(near(error[p], sigma), "{} {}", error[p], sigma);
        }
    }

    #[test]
    fn words_agree(count in 1..40usize, len in 1..300usize, seed in any::<u32>(), swapped in any::<bool>(), flipped in any::<bool>()) {
        let value = |k: usize, p: usize| {
            (seed as usize).wrapping_add(k * 7919 + p * 104_729).wrapping_mul(2_654_435_761) as u16
        };
        let stored = |v: u16| {
            let v = if flipped { v ^ 0x8000 } else { v };
            if swapped { v.swap_bytes() } else { v }
        };
        let cube: Vec<Vec<u16>> = (0..count).map(|k| (0..len).map(|p| stored(value(k, p))).collect()).collect();
        let frames: Vec<_> = cube.iter().map(|words| Frame { swapped, flipped, ..frame(words) }).collect();
        let (data, error, used) = run(&frames, Statistic::Median, Rejection::None, 1).unwrap();
        for p in 0..len {
            let column = (0..count).map(|k| f64::from(value(k, p))).collect();
            let (middle, sigma, _) = plain(column, Statistic::Median, Rejection::None);
            prop_assert_eq!(f64::from(data[p]), middle);
            prop_assert!(near(error[p], sigma));
            prop_assert_eq!(usize::from(used[p]), count);
        }
    }
}

#[test]
fn threads_and_order_of_frames_change_nothing() {
    let cube: Vec<Vec<f32>> = (0..9usize)
        .map(|k| (0..40_000usize).map(|p| ((p * (k + 3) * 7919) % 1013) as f32).collect())
        .collect();
    let clip =
        SigmaClip { lower: 2.0, upper: 2.0, max_iter: 5, centre: Centre::Median, deviation: Deviation::Std };
    let frames: Vec<_> = cube.iter().map(|words| frame(words)).collect();
    let backwards: Vec<_> = cube.iter().rev().map(|words| frame(words)).collect();
    for rejection in [Rejection::None, Rejection::Sigma(clip), Rejection::Extremes(1, 2)] {
        let one = run(&frames, Statistic::Median, rejection, 1).unwrap();
        let bits = |answer: &Answer| answer.1.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for threads in [2, 7] {
            let more = run(&frames, Statistic::Median, rejection, threads).unwrap();
            assert_eq!((&more.0, bits(&more), &more.2), (&one.0, bits(&one), &one.2));
        }
        let other = run(&backwards, Statistic::Median, rejection, 1).unwrap();
        assert_eq!((&other.0, &other.2), (&one.0, &one.2));
    }
}

#[test]
fn refused() {
    let words = [1.0f32; 8];
    let none: [Frame<'_, f32>; 0] = [];
    let message = |frames: &[Frame<'_, f32>], rejection| {
        run(frames, Statistic::Mean, rejection, 1).unwrap_err().to_string()
    };
    assert!(message(&none, Rejection::None).starts_with("frames is 0, expected"));
    assert!(
        message(&[frame(&words), frame(&words[1..])], Rejection::None).contains("shape [7], expected [8]")
    );
    assert!(message(&[frame(&words)], Rejection::Extremes(1, 0)).starts_with("minmax is (1, 0)"));
    let clip = SigmaClip {
        lower: f64::NAN,
        upper: 1.0,
        max_iter: 1,
        centre: Centre::Mean,
        deviation: Deviation::Std,
    };
    assert!(message(&[frame(&words)], Rejection::Sigma(clip)).starts_with("sigma_clip is (NaN, 1)"));
}
