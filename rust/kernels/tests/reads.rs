//! Levels of reads against sorting and clipping done plainly.

use proptest::prelude::*;
use upramp_kernels::reads::{Selection, read_stats};
use upramp_kernels::stats::clipped::{Clip, Statistics};
use upramp_kernels::view::{Cube, Region};

/// Statistics of values that are kept as astropy's `sigma_clip` keeps them: what is out stays out.
fn plain(mut values: Vec<f64>, clip: Option<Clip>) -> Statistics {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let mut found = describe(&values);
    let Some(Clip { lower, upper, max_iter }) = clip else { return found };
    for _ in 0..max_iter {
        let (low, high) = (found.median - lower * found.std, found.median + upper * found.std);
        values.retain(|&value| value >= low && value <= high);
        if values.len() == found.count {
            break;
        }
        found = describe(&values);
    }
    found
}

fn describe(sorted: &[f64]) -> Statistics {
    let count = sorted.len();
    if count == 0 {
        return Statistics { count, median: f64::NAN, mean: f64::NAN, std: f64::NAN };
    }
    let mean = sorted.iter().sum::<f64>() / count as f64;
    let variance = sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    let median = 0.5 * (sorted[(count - 1) / 2] + sorted[count / 2]);
    Statistics { count, median, mean, std: variance.sqrt() }
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * scale.max(1e-300)
}

/// Reads of a background with outliers, flags and pixels that are not numbers.
#[derive(Debug, Clone)]
struct Frames {
    shape: [usize; 3],
    data: Vec<f32>,
    dq: Vec<u16>,
    masked: Vec<bool>,
}

fn frames() -> impl Strategy<Value = Frames> {
    let shape = (1usize..4, 1usize..30, prop_oneof![1usize..40, Just(700usize)]);
    shape.prop_flat_map(|(nread, ny, nx)| {
        let value = prop_oneof![
            80 => 0.0f32..2.0, 10 => -1e3f32..1e3, 5 => Just(1.0f32), 1 => Just(f32::NAN), 1 => Just(-0.0f32),
            1 => Just(f32::INFINITY), 1 => Just(f32::NEG_INFINITY)];
        let pixels = nread * ny * nx;
        let data = prop::collection::vec(value, pixels);
        let dq = prop::collection::vec(prop_oneof![9 => Just(0u16), 1 => any::<u16>()], pixels);
        let masked = prop::collection::vec(prop::bool::weighted(0.1), ny * nx);
        (data, dq, masked).prop_map(move |(data, dq, masked)| Frames {
            shape: [nread, ny, nx],
            data,
            dq,
            masked,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn levels_are_those_of_sorting(
        frames in frames(), bad_dq in prop_oneof![Just(0u16), Just(u16::MAX), Just(4u16 | 16)],
        use_dq in any::<bool>(), use_mask in any::<bool>(), clipped in any::<bool>(),
        lower in 1.5f64..5.0, upper in 1.5f64..5.0, max_iter in 1usize..6) {
        let [nread, ny, nx] = frames.shape;
        let clip = clipped.then_some(Clip { lower, upper, max_iter });
        let cube = Cube::new("cube", &frames.data, frames.shape).unwrap();
        let dq = Cube::new("dq", &frames.dq, frames.shape).unwrap();
        let region = Region::new(ny / 4..ny, 0..nx - nx / 5, [ny, nx]).unwrap();
        let masked = use_mask.then_some(frames.masked.as_slice());
        let selection = Selection { region: region.clone(), bad_dq, masked, clip, response: None };
        let found = read_stats(&cube, use_dq.then_some(&dq), &selection, 1).unwrap();
        prop_assert_eq!(found.len(), nread);
        for threads in [2, 7] {
            let again = read_stats(&cube, use_dq.then_some(&dq), &selection, threads).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{found:?}"));
        }
        for (r, found) in found.iter().enumerate() {
            let chosen = (0..ny * nx).filter(|&p| {
                let good = !use_dq || frames.dq[r * ny * nx + p] & bad_dq == 0;
                let shown = !use_mask || !frames.masked[p];
                good && shown && region.y.contains(&(p / nx)) && region.x.contains(&(p % nx))
            });
            let exact = plain(chosen.map(|p| f64::from(frames.data[r * ny * nx + p])).collect(), clip);
            prop_assert_eq!(found.count, exact.count);
            prop_assert!(found.median == exact.median || exact.median.is_nan() && found.median.is_nan());
            // Deviations reach 1e3: rounding is relative to that, not to what cancels.
            let scale = exact.std.max(exact.mean.abs()).max(1.0);
            prop_assert!(close(found.mean, exact.mean, scale), "{found:?} {exact:?}");
            prop_assert!((found.std.powi(2) - exact.std.powi(2)).abs() <= 1e-9 * scale * scale || exact.std.is_nan(),
                "{found:?} {exact:?}");
        }
    }
}

#[test]
fn refusals_name_the_argument() {
    let cube = Cube::new("cube", &[0.0f32; 12], [3, 2, 2]).unwrap();
    let region = Region::whole([2, 2]);
    let selection = Selection { region, bad_dq: 0, masked: None, clip: None, response: None };
    let short = Cube::new("dq", &[0u16; 4], [1, 2, 2]).unwrap();
    let said = read_stats(&cube, Some(&short), &selection, 1).unwrap_err().to_string();
    assert_eq!(said, "dq has shape [1, 2, 2], expected [3, 2, 2]");
    let wrong = Selection { masked: Some(&[true]), ..selection.clone() };
    let said = read_stats(&cube, None, &wrong, 1).unwrap_err().to_string();
    assert_eq!(said, "mask has shape [1], expected [2, 2]");
    let outside = Selection { region: Region { y: 0..3, x: 0..2 }, ..selection };
    assert!(read_stats(&cube, None, &outside, 1).unwrap_err().to_string().starts_with("region is"));
}
