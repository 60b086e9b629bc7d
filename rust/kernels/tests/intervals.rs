//! Statistics of differences against sorting and clipping done plainly.

use proptest::prelude::*;
use upramp_kernels::reads::intervals::{Chosen, Difference, interval_stats};
use upramp_kernels::stats::robust::RobustClip;
use upramp_kernels::view::{Cube, Region};

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 { f64::NAN } else { 0.5 * (values[(n - 1) / 2] + values[n / 2]) }
}

/// Median, mean, standard deviation and robust sigma of what clipping leaves, and how many.
fn plain(mut values: Vec<f64>, clip: Option<RobustClip>) -> (usize, [f64; 4]) {
    values.retain(|value| value.is_finite());
    let spread = |values: &[f64], about: f64| {
        1.482_602_218_505_602 * middle(&mut values.iter().map(|v| (v - about).abs()).collect::<Vec<_>>())
    };
    let mut median = middle(&mut values);
    if let Some(RobustClip { sigma, max_iter }) = clip {
        for _ in 0..max_iter {
            let (before, limit) = (values.len(), sigma * spread(&values, median));
            values.retain(|value| (value - median).abs() <= limit);
            median = middle(&mut values);
            if values.len() == before {
                break;
            }
        }
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let robust = spread(&values, median);
    (values.len(), [median, mean, std, robust])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn differences_are_described_as_if_they_were_stored(
        (ny, nx) in (1usize..24, prop_oneof![1usize..40, Just(900usize)]),
        seeds in prop::collection::vec(any::<u32>(), 8), clipped in any::<bool>(), use_dq in any::<bool>(),
        weights in (0.5f32..3.0, prop_oneof![Just(0.0f32), 0.1f32..2.0]), sigma in 2.0f64..4.0) {
        // Eighths are exact in float32, and so are their differences.
        let pixels = 3 * ny * nx;
        let data: Vec<f32> = (0..pixels)
            .map(|i| match (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seeds[i % 8]) >> 16 {
                v if v % 53 == 0 => f32::NAN,
                v if v % 41 == 0 => 1e4 + v as f32,
                v => (v % 97) as f32 / 8.0,
            })
            .collect();
        let flags: Vec<u16> = (0..pixels).map(|i| if (i * 7 + seeds[0] as usize).is_multiple_of(11) { 4 } else { 2 }).collect();
        let masked: Vec<bool> = (0..ny * nx).map(|p| p % 13 == 5).collect();
        let (add, take) = ((weights.0 * 4.0).round() / 4.0, (weights.1 * 4.0).round() / 4.0);
        let cube = Cube::new("cube", &data, [3, ny, nx]).unwrap();
        let dq = Cube::new("dq", &flags, [3, ny, nx]).unwrap();
        let pair = |later| Difference { later, later_weight: add, earlier: later - 1, earlier_weight: take };
        let regions = [Region::whole([ny, nx]), Region { y: ny / 3..ny, x: 0..nx.div_ceil(2) }];
        let clip = clipped.then_some(RobustClip { sigma, max_iter: 4 });
        let chosen = Chosen { bad_dq: 4, masked: Some(&masked), pattern: None, clip };
        let dq = use_dq.then_some(&dq);
        let pairs = [pair(1), pair(2)];
        let found = interval_stats(&cube, dq, &pairs, &regions, &chosen, 1).unwrap();
        for threads in [2, 7] {
            let again = interval_stats(&cube, dq, &pairs, &regions, &chosen, threads).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{found:?}"));
        }
        for (k, found) in found.iter().enumerate() {
            for (region, found) in regions.iter().zip(found) {
                let values = (0..ny * nx).filter(|&p| {
                    let (one, other) = (k * ny * nx + p, (k + 1) * ny * nx + p);
                    region.y.contains(&(p / nx)) && region.x.contains(&(p % nx)) && !masked[p]
                        && (!use_dq || (flags[one] | flags[other]) & 4 == 0)
                }).map(|p| {
                    let (one, other) = (data[k * ny * nx + p], data[(k + 1) * ny * nx + p]);
                    f64::from(if take == 0.0 { add * other } else { add * other - take * one })
                }).collect();
                let (count, [median, mean, std, robust]) = plain(values, clip);
                prop_assert_eq!(found.count, count);
                prop_assert!(found.median == median || count == 0 && found.median.is_nan());
                let error = robust * (std::f64::consts::FRAC_PI_2 / count as f64).sqrt();
                for (got, expected) in
                    [(found.mean, mean), (found.std, std), (found.robust_std, robust), (found.error, error)] {
                    let near = (got - expected).abs() <= 1e-6 * (std + mean.abs()).max(1e-9);
                    prop_assert!(near || count == 0 && got.is_nan(), "{got} {expected} {found:?}");
                }
                let reach = 3.1 * robust;
                prop_assert!(count == 0 || (found.mode - median).abs() <= reach, "{found:?}");
            }
        }
    }
}
