//! What of an image is fit for differences: surface brightness, NaN where a pixel is bad or its surroundings steep.
//!
//! Where the sky is steep, sources are: their cores differ between exposures by the area of pixels and by
//! interpolation, and no clipping finds all of their wings. With g^2 = (dx/2)^2 + (dy/2)^2 from the neighbours left
//! and right (dx), below and above (dy), of variance 2 s^2 each for noise s, g^2 / (s^2 / 2) is chi-square of two
//! degrees: its median tells s, and what noise exceeds in a hundredth of pixels is left out. A pixel has no say in
//! its own gradient, so that this cut moves no mean.

use crate::view::Region;
use crate::{Error, Result, simd};

/// Share of the pixels that noise alone leaves out.
const LOST: f64 = 0.01;
/// No more than this share of the pixels is left out, however steep the image.
const MOST: f64 = 0.25;
/// Values of the gradient that its distribution is told from, about.
const SAMPLE: usize = 10_000;

/// What an image has to offer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    /// Standard deviation of the noise of a pixel, surface brightness; NaN without pixels.
    pub noise: f64,
    /// Good pixels, with those that were left out for being steep.
    pub good: usize,
}

/// Turn the pixels of an image of `shape` (ny, nx), NaN where they are bad, to surface brightness (`factor` of one
/// unit), NaN where their surroundings are steep.
pub fn brightness(pixels: &mut [f32], shape: [usize; 2], factor: f64) -> Result<Offer> {
    let [ny, nx] = shape;
    if pixels.len() != ny * nx {
        return Err(Error::Shape { name: "pixels", got: vec![pixels.len()], expected: vec![ny, nx] });
    }
    let (slopes, level) = sample(pixels, shape);
    let (limit, noise) = limit(slopes);
    // Numbers of 32 bits are not free of noise, even where it cannot be seen.
    let noise = if noise.is_nan() { noise } else { noise.max(level * f64::from(f32::EPSILON)) };
    let good = simd::run(Flat { pixels, shape, limit, factor: factor as f32 });
    Ok(Offer { noise: noise * factor, good })
}

/// Four times g^2.
#[inline(always)]
fn steepness(left: f32, right: f32, below: f32, above: f32) -> f32 {
    let (dx, dy) = (right - left, above - below);
    dx * dx + dy * dy
}

/// The steepness of some pixels, spread over the image, and their mean size (not 0).
fn sample(pixels: &[f32], shape: [usize; 2]) -> (Vec<f32>, f64) {
    let [ny, nx] = shape;
    let inner = Region { y: 1..ny.saturating_sub(1), x: 1..nx.saturating_sub(1) };
    // An odd step in x, and rows that do not begin alike: no pattern of the detector is met again and again.
    let step = ((inner.y.len() * inner.x.len()) as f64 / SAMPLE as f64).sqrt().ceil().max(1.0) as usize | 1;
    let (mut found, mut level) = (Vec::new(), 1e-30);
    for (row, y) in inner.y.step_by(step).enumerate() {
        for x in (inner.x.start + row % step..inner.x.end).step_by(step) {
            let p = y * nx + x;
            let value = steepness(pixels[p - 1], pixels[p + 1], pixels[p - nx], pixels[p + nx]);
            if (value + pixels[p]).is_finite() {
                found.push(value);
                level += f64::from(pixels[p].abs());
            }
        }
    }
    level /= found.len().max(1) as f64;
    (found, level)
}

/// The steepness from which on pixels are left out, and the noise.
fn limit(mut slopes: Vec<f32>) -> (f32, f64) {
    let count = slopes.len();
    if count == 0 {
        return (f32::INFINITY, f64::NAN);
    }
    let mut ranked = |share: f64| {
        let rank = ((count as f64 * share) as usize).min(count - 1);
        *slopes.select_nth_unstable_by(rank, f32::total_cmp).1
    };
    // Chi-square of two degrees exceeds t with probability exp(-t / 2).
    let variance = f64::from(ranked(0.5)) / (4.0 * std::f64::consts::LN_2);
    let noise_limit = (-2.0 * LOST.ln() * 2.0 * variance) as f32;
    (noise_limit.max(ranked(1.0 - MOST)), variance.sqrt())
}

/// An image to scale, NaN where it is infinite or steeper than `limit`; its frame has no gradient and stays. Returns
/// how many pixels are good.
struct Flat<'a> {
    pixels: &'a mut [f32],
    shape: [usize; 2],
    limit: f32,
    factor: f32,
}

impl simd::Loop for Flat<'_> {
    type Output = usize;
    #[inline(always)]
    fn run(self) -> usize {
        let Self { pixels, shape: [ny, nx], limit, factor } = self;
        // The row worked on and those around it as they were.
        let [mut below, mut here, mut above] = [0; 3].map(|_: i32| vec![f32::NAN; nx]);
        let mut count = 0;
        for y in 0..=ny {
            std::mem::swap(&mut below, &mut here);
            std::mem::swap(&mut here, &mut above);
            match pixels.get(y * nx..(y + 1) * nx) {
                Some(row) => above.copy_from_slice(row),
                None => above.fill(f32::NAN),
            }
            let Some(y) = y.checked_sub(1) else { continue };
            let out = &mut pixels[y * nx..(y + 1) * nx];
            let mut good = 0;
            for (out, &value) in out.iter_mut().zip(&here) {
                // Infinity times zero is no number.
                *out = value * factor + value * 0.0;
                good += u32::from(!out.is_nan());
            }
            count += good as usize;
            let Some(n) = nx.checked_sub(2) else { continue };
            let (left, right) = (&here[..n], &here[2..]);
            let (below, above) = (&below[1..=n], &above[1..=n]);
            let out = &mut out[1..=n];
            for x in 0..n {
                // Beside a bad pixel, or none, there is no gradient to judge by.
                let steep = steepness(left[x], right[x], below[x], above[x]) > limit;
                out[x] = if steep { f32::NAN } else { out[x] };
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal deviates, good enough for a test: sums of twelve uniform ones.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 12345_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn noise_is_measured_and_a_hundredth_of_it_left_out() {
        let noise = normal(300 * 200);
        let mut pixels = noise.clone();
        let found = brightness(&mut pixels, [200, 300], 0.5).unwrap();
        assert!((found.noise - 0.5).abs() < 0.01, "{}", found.noise);
        let lost = pixels.iter().filter(|v| v.is_nan()).count() as f64 / 6e4;
        assert!((lost - LOST).abs() < 0.003, "{lost}");
        // The pixels kept are as they were.
        assert!(pixels.iter().zip(&noise).all(|(&a, &b)| a.is_nan() || a == 0.5 * b));
    }

    #[test]
    fn bad_pixels_and_the_flanks_of_a_source_go() {
        let (ny, nx) = (40, 50);
        let mut image = normal(ny * nx);
        for y in 17..23 {
            for x in 27..33 {
                image[y * nx + x] += 1000.0;
            }
        }
        image[5 * nx + 7] = f32::INFINITY;
        image[30 * nx + 3] = f32::NAN;
        let found = brightness(&mut image, [ny, nx], 1.0).unwrap();
        assert_eq!(found.good, ny * nx - 2);
        let gone = |y: usize, x: usize| image[y * nx + x].is_nan();
        assert!(gone(5, 7) && gone(30, 3));
        // Both sides of the edge, not the flat top.
        assert!(gone(20, 26) && gone(20, 27) && gone(16, 30) && gone(17, 30) && !gone(20, 30));
    }

    #[test]
    fn an_image_of_slopes_is_not_left_without_pixels() {
        let mut image: Vec<f32> = (0..100 * 100).map(|p| ((p * p) % 9973) as f32).collect();
        brightness(&mut image, [100, 100], 1.0).unwrap();
        let kept = image.iter().filter(|v| !v.is_nan()).count();
        assert!(kept as f64 > (1.0 - MOST - 0.05) * 1e4, "{kept}");
    }

    #[test]
    fn numbers_without_noise_have_that_of_their_rounding() {
        let found = brightness(&mut [3.0; 100], [10, 10], 2.0).unwrap();
        assert!((found.noise / (6.0 * f64::from(f32::EPSILON)) - 1.0).abs() < 1e-9);
        assert!(brightness(&mut [0.0; 100], [10, 10], 1.0).unwrap().noise > 0.0);
    }

    #[test]
    fn nothing_is_no_error_but_a_wrong_shape_is() {
        let found = brightness(&mut [f32::NAN; 12], [3, 4], 1.0).unwrap();
        assert!(found.noise.is_nan() && found.good == 0);
        assert!(brightness(&mut [1.0; 6], [3, 2], 1.0).is_ok());
        assert!(brightness(&mut [1.0; 6], [2, 2], 1.0).is_err());
    }
}
