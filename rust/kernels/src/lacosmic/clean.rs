//! What a hit pixel would have held: from the 5 x 5 about it, without hit and bad pixels.
//!
//! The variance is interpolated in the same way. Pixels closer than 2 to the border of the image stay as they
//! are, and where no pixel of the window is good the lower median of the whole image is taken. Sums are in single
//! precision, row by row, as astroscrappy's. Values are computed from the image before any is replaced.

use super::frame::Frame;
use super::order::lower_median;

/// How to fill a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanType {
    /// Median of all 25, hit or not.
    Median,
    /// Lower median of the good ones.
    MedianMasked,
    /// Mean of the good ones.
    MeanMasked,
    /// Mean of the good ones weighted by the inverse of their distance.
    InverseDistance,
}

/// Half width of the window.
pub const HALF: usize = 2;
/// Sums of weights below this count as none.
const LEAST_WEIGHT: f32 = 1e-6;

/// Inverse distances from the centre of the window, row by row.
const WEIGHTS: [f32; 25] = {
    const FAR: f32 = 0.353_553_39;
    const KNIGHT: f32 = 0.447_213_6;
    const NEAR: f32 = 0.707_106_77;
    [
        FAR, KNIGHT, 0.5, KNIGHT, FAR, //
        KNIGHT, NEAR, 1.0, NEAR, KNIGHT, //
        0.5, 1.0, 0.0, 1.0, 0.5, //
        KNIGHT, NEAR, 1.0, NEAR, KNIGHT, //
        FAR, KNIGHT, 0.5, KNIGHT, FAR,
    ]
};

/// Where cleaning reaches.
pub fn is_inside([ny, nx]: [usize; 2], y: usize, x: usize) -> bool {
    y >= HALF && x >= HALF && y + HALF < ny && x + HALF < nx
}

/// Value and variance for a pixel inside; None where no pixel is good.
pub fn fill(frame: &Frame<'_>, hit: &[bool], how: CleanType, y: usize, x: usize) -> Option<[f32; 2]> {
    let nx = frame.shape[1];
    let (mut values, mut variances, mut weights) = ([0.0f32; 25], [0.0f32; 25], [0.0f32; 25]);
    let mut n = 0;
    for j in 0..5 {
        let first = (y + j - HALF) * nx + x - HALF;
        for i in 0..5 {
            let p = first + i;
            values[n] = frame.image[p];
            // A good pixel is never cleaned, so not in the list of hits.
            variances[n] = frame.noise.at(p, values[n]);
            weights[n] = WEIGHTS[5 * j + i];
            // The next one takes its place if it is not good: no branch to guess wrongly.
            n += usize::from(!hit[p] & (frame.bad[p] == 0));
        }
    }
    if how == CleanType::Median {
        for k in 0..25 {
            let (j, i) = (y + k / 5 - HALF, x + k % 5 - HALF);
            (values[k], variances[k]) = (frame.image[j * nx + i], frame.variance(j, i));
        }
        n = 25;
    }
    if n == 0 {
        return None;
    }
    match how {
        CleanType::Median | CleanType::MedianMasked => {
            Some([lower_median(&mut values[..n])?, lower_median(&mut variances[..n])?])
        }
        CleanType::MeanMasked => {
            let mut sums = [0.0f32; 2];
            for k in 0..n {
                sums[0] += values[k];
                sums[1] += variances[k];
            }
            Some(sums.map(|sum| sum / n as f32))
        }
        CleanType::InverseDistance => {
            let (mut sums, mut total) = ([0.0f32; 2], 0.0f32);
            for k in 0..n {
                sums[0] += weights[k] * values[k];
                sums[1] += weights[k] * variances[k];
                total += weights[k];
            }
            (total >= LEAST_WEIGHT).then(|| sums.map(|sum| sum / total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Noise;
    use super::*;

    #[test]
    fn only_good_pixels_fill() {
        let mut image = vec![1.0f32; 25];
        (image[0], image[12], image[13], image[24]) = (7.0, 900.0, 500.0, 4.0);
        let mut bad = vec![0u8; 25];
        bad[13] = 1;
        let mut hit = vec![false; 25];
        hit[12] = true;
        let noise = Noise { read: 2.0, given: None, gain2: 1.0, sky: None };
        let hits = vec![Vec::new(); 5];
        let frame = Frame { image: &image, shape: [5, 5], bad: &bad, hits: &hits, noise, floor: &[1.0] };
        let of = |how| fill(&frame, &hit, how, 2, 2).unwrap();
        assert_eq!(of(CleanType::MeanMasked), [32.0 / 23.0, 78.0 / 23.0]);
        assert_eq!(of(CleanType::MedianMasked), [1.0, 3.0]);
        assert_eq!(of(CleanType::Median), [1.0, 3.0]);
        let sum: f32 = WEIGHTS.iter().sum::<f32>() - 1.0;
        let expected = (sum + WEIGHTS[0] * 9.0) / sum;
        assert!((of(CleanType::InverseDistance)[0] - expected).abs() < 1e-6);
        hit.fill(true);
        assert_eq!(fill(&frame, &hit, CleanType::MeanMasked, 2, 2), None);
    }
}
