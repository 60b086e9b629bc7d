//! Where to clip: a plane and a distance from it, told by a sample of the differences.

use super::map::Map;
use super::rows::rows;
use super::{BLOCK, Sight};
use crate::simd;

/// Pixels in the sample, about.
const SAMPLE: usize = 2_500;
/// With fewer of them, all pixels are taken.
const FEW: usize = 600;
/// Rounds of clipping at most.
const ROUNDS: usize = 8;
/// Once the spread shrinks by less than this, there is nothing left to clip.
const SETTLED: f64 = 0.995;
/// Median absolute deviation of a normal distribution to its standard deviation.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The plane (D at x = y = 0, slopes in x and y) around which D is clipped, how far from it, and the spread.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// D at the first pixel, its slopes in x and y.
    pub plane: [f64; 3],
    /// How far from the plane D may be.
    pub reach: f64,
    /// Robust standard deviation about the plane.
    pub spread: f64,
}

/// A sample of D, and the limits it sets.
pub struct Sample<'a> {
    pub i: Sight<'a>,
    pub j: Sight<'a>,
    pub map: &'a Map,
    pub stride: usize,
    pub clip: f64,
}

impl simd::Loop for Sample<'_> {
    type Output = Limits;
    #[inline(always)]
    fn run(self) -> Limits {
        let Self { i, j, map, stride, clip } = self;
        // A row of every so manyth block, each time another one; every row where that is too little.
        let blocks = map.count[0] * map.count[1];
        let sparse = (blocks * BLOCK).div_ceil(SAMPLE * stride);
        let mut found = Vec::with_capacity(SAMPLE);
        for step in [sparse, 1] {
            let lines = BLOCK.div_ceil(stride);
            for (turn, block) in (0..blocks).step_by(step).enumerate() {
                let chosen = if step > 1 { turn * 7 % lines..turn * 7 % lines + 1 } else { 0..lines };
                let place = [block / map.count[1], block % map.count[1]];
                rows(i, j, map, place, stride, chosen, |y, first, values| {
                    for (k, &d) in values.iter().enumerate().filter(|(_, d)| !d.is_nan()) {
                        found.push([(first + k * stride) as f64, y as f64, f64::from(d)]);
                    }
                });
            }
            if found.len() >= FEW || step == 1 {
                break;
            }
            found.clear();
        }
        limits(&found, clip)
    }
}

/// Clip around a plane, again and again.
fn limits(sample: &[[f64; 3]], clip: f64) -> Limits {
    let mut residuals: Vec<f32> = sample.iter().map(|p| p[2] as f32).collect();
    let mut space = residuals.clone();
    let Some(middle) = median(&mut space) else {
        return Limits { plane: [f64::NAN, 0.0, 0.0], reach: f64::NAN, spread: f64::NAN };
    };
    let mut plane = [middle, 0.0, 0.0];
    // Rounding of 32-bit brightness alone is no outlier.
    let rounding = f64::from(f32::EPSILON) * sample.iter().map(|p| p[2].abs()).fold(0.0, f64::max);
    let mut spread = f64::INFINITY;
    for _ in 0..ROUNDS {
        for (residual, p) in residuals.iter_mut().zip(sample) {
            *residual = (p[2] - plane[0] - plane[1] * p[0] - plane[2] * p[1]).abs() as f32;
        }
        space.copy_from_slice(&residuals);
        let before = spread;
        spread = MAD_TO_SIGMA * median(&mut space).unwrap_or(0.0);
        if spread > SETTLED * before {
            break;
        }
        let reach = (clip * spread + rounding) as f32;
        let kept = sample.iter().zip(&residuals).filter(|&(_, &r)| r <= reach).map(|(p, _)| p);
        plane = fit_plane(kept).unwrap_or(plane);
    }
    Limits { plane, reach: clip * spread + rounding, spread }
}

/// By what part of itself the mean residual of normal deviates falls short, clipped at so many sigmas k around a
/// middle that is off: of an error e it shows e (1 - d), d = 2 k p(k) / P(|x| < k) with the density p.
pub fn missing(clip: f64) -> f64 {
    /// Steps of Simpson's rule.
    const N: usize = 64;
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let clip = clip.min(8.0);
    let h = clip / N as f64;
    let weight = |k: usize| if k == 0 || k == N { 1.0 } else { 2.0 + 2.0 * (k % 2) as f64 };
    let inside: f64 = (0..=N).map(|k| weight(k) * density(k as f64 * h)).sum::<f64>() * 2.0 * h / 3.0;
    let lost = 2.0 * clip * density(clip) / inside;
    lost / (1.0 - lost)
}

/// Least-squares plane, or the mean of too few points for one; None without a point.
fn fit_plane<'a>(points: impl Iterator<Item = &'a [f64; 3]> + Clone) -> Option<[f64; 3]> {
    /// Fewer points make no plane.
    const FEW: f64 = 12.0;
    let mut sums = [0.0; 4];
    for p in points.clone() {
        sums = [sums[0] + 1.0, sums[1] + p[0], sums[2] + p[1], sums[3] + p[2]];
    }
    let [n, x, y, d] = sums;
    if n == 0.0 {
        return None;
    }
    let [x, y, d] = [x / n, y / n, d / n];
    let (mut xx, mut xy, mut yy, mut xd, mut yd) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for p in points {
        let (u, v, w) = (p[0] - x, p[1] - y, p[2] - d);
        (xx, xy, yy, xd, yd) = (xx + u * u, xy + u * v, yy + v * v, xd + u * w, yd + v * w);
    }
    let area = xx * yy - xy * xy;
    // In a line of pixels one slope is anything.
    if n < FEW || area <= 1e-6 * xx * yy {
        return Some([d, 0.0, 0.0]);
    }
    let [a, b] = [(xd * yy - yd * xy) / area, (yd * xx - xd * xy) / area];
    Some([d - a * x - b * y, a, b])
}

/// Middle value (the upper one of two); `values` are left in another order.
fn median(values: &mut [f32]) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| f64::from(*values.select_nth_unstable_by(middle, f32::total_cmp).1))
}
