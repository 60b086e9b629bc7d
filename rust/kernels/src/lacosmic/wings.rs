//! The faint wings of hits: neighbours of hit pixels that stand above their surroundings.
//!
//! A Laplacian sees edges, and the last pixel of a hit's wing is none. Here a good pixel that touches a hit one is
//! compared with the good pixels of the 5 x 5 about it, of which nothing known to be hit is one:
//!
//! ```text
//! wing: I - m > limit max(sqrt(v), s),   m, v: medians of image and variance,
//!                                        s:    half the distance of the percentiles 16 and 84
//! ```
//!
//! The scatter `s` stands for the slopes of stars, which would pass for wings by their noise alone. Wings have
//! wings: it goes on from those found, at most [`ROUNDS`] times.

use super::frame::Frame;
use super::significance::LEAST_VARIANCE;
use crate::par;

/// Rounds of growth at most.
pub const ROUNDS: usize = 4;
/// Half width of the window.
const HALF: usize = 2;
/// Fewer good pixels than this tell nothing.
const LEAST: usize = 5;
/// Pixels to an item of work.
const ITEM: usize = 4096;

/// The wings among the neighbours of `from`, in order. Pixels that are `hit` are none.
pub fn wings(
    frame: &Frame<'_>,
    hit: &[bool],
    from: &[[usize; 2]],
    limit: f32,
    threads: usize,
) -> Vec<[usize; 2]> {
    let [ny, nx] = frame.shape;
    let mut near: Vec<[usize; 2]> = Vec::with_capacity(3 * from.len());
    for &[y, x] in from {
        for j in y.saturating_sub(1)..(y + 2).min(ny) {
            for i in x.saturating_sub(1)..(x + 2).min(nx) {
                if !hit[j * nx + i] && frame.bad[j * nx + i] == 0 {
                    near.push([j, i]);
                }
            }
        }
    }
    near.sort_unstable();
    near.dedup();
    let parts: Vec<&[[usize; 2]]> = near.chunks(ITEM).collect();
    let found = par::map(parts.len(), threads, |part| {
        let mut space = [Vec::new(), Vec::new()];
        let is_wing = |&&pixel: &&[usize; 2]| is_wing(frame, hit, pixel, limit, &mut space);
        parts[part].iter().filter(is_wing).copied().collect::<Vec<_>>()
    });
    found.concat()
}

fn is_wing(
    frame: &Frame<'_>,
    hit: &[bool],
    [y, x]: [usize; 2],
    limit: f32,
    [values, variances]: &mut [Vec<f32>; 2],
) -> bool {
    let [ny, nx] = frame.shape;
    values.clear();
    variances.clear();
    for j in y.saturating_sub(HALF)..(y + HALF + 1).min(ny) {
        for p in j * nx + x.saturating_sub(HALF)..j * nx + (x + HALF + 1).min(nx) {
            if !hit[p] && frame.bad[p] == 0 {
                values.push(frame.image[p]);
                variances.push(frame.noise.at(p, frame.image[p]));
            }
        }
    }
    let n = values.len();
    if n < LEAST {
        return false;
    }
    values.sort_unstable_by(f32::total_cmp);
    let excess = frame.image[y * nx + x] - values[n / 2];
    let scatter = 0.5 * (values[n - 1 - (n * 16 + 50) / 100] - values[(n * 16 + 50) / 100]);
    if excess <= limit * scatter {
        return false;
    }
    let sky = frame.noise.sky.map_or(0.0, |sky| sky[y * nx + x]);
    let variance = *variances.select_nth_unstable_by(n / 2, f32::total_cmp).1 + sky;
    excess > limit * variance.max(LEAST_VARIANCE).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::frame::Noise;
    use super::*;

    #[test]
    fn what_stands_out_beside_a_hit_is_its_wing() {
        let (ny, nx) = (12, 14);
        // Scatter of one, variance of nine: 3 sigma are 9.
        let mut image: Vec<f32> = (0..ny * nx).map(|p| (p * 7 % 3) as f32 - 1.0).collect();
        for (x, value) in [(5, 500.0), (6, 30.0), (7, 12.0), (8, 6.0), (11, 40.0)] {
            image[6 * nx + x] = value;
        }
        let mut hit = vec![false; ny * nx];
        hit[6 * nx + 5] = true;
        let hits = vec![Vec::new(); ny];
        let noise = Noise { read: 9.0, given: None, gain2: 1.0, sky: None };
        let bad = vec![0; ny * nx];
        let frame = Frame { image: &image, shape: [ny, nx], bad: &bad, hits: &hits, noise, floor: &[] };
        let first = wings(&frame, &hit, &[[6, 5]], 3.0, 2);
        assert_eq!(first, [[6, 6]]);
        hit[6 * nx + 6] = true;
        // The next is one, the one after is not, and the last does not touch any.
        let second = wings(&frame, &hit, &first, 3.0, 1);
        assert_eq!(second, [[6, 7]]);
        hit[6 * nx + 7] = true;
        assert!(wings(&frame, &hit, &second, 3.0, 1).is_empty());
        hit[6 * nx + 7] = false;
        let mut masked = bad.clone();
        masked[6 * nx + 7] = 1;
        let frame = Frame { bad: &masked, ..frame };
        assert!(wings(&frame, &hit, &first, 3.0, 1).is_empty());
    }
}
