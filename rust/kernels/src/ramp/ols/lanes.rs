//! Ramps without flags, side by side: each pixel of a tile in a lane of a vector.

use super::block::{Block, Plan};
use super::ramp::{LARGE, weight_of};
use super::weights::{CLASSES, LEAST, signal_to_noise};
use crate::ramp::likelihood::tile::{LANES, Tile};
use crate::simd;

/// Errors so near the peer's limit are looked at again, exactly.
const NEAR: f64 = 0.999_999;

/// Samples of group `k` of a tile.
#[inline(always)]
fn run(block: &Block, plane: usize, t: usize) -> [f32; LANES] {
    block.samples[plane * block.size..(plane + 1) * block.size].as_chunks().0[t]
}

#[inline(always)]
fn samples(block: &Block, plane: usize, t: usize) -> Tile {
    run(block, plane, t).map(f64::from)
}

/// Add the median rate of one integration to that of every pixel.
pub(super) struct Medians<'a, 'b> {
    pub plan: &'a Plan<'b>,
    pub block: &'a mut Block,
    pub integration: usize,
}

impl simd::Loop for Medians<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, block, integration } = self;
        let (n, first) = (plan.ngroups, integration * plan.ngroups);
        let ranks = [(n - 2) / 2, (n - 1) / 2];
        let per_second = 1.0 / plan.params.group_time;
        for t in 0..block.len.div_ceil(LANES) {
            let mut before = run(block, first, t);
            for k in 1..n {
                let now = run(block, first + k, t);
                let difference = &mut block.sorted[k - 1];
                for l in 0..LANES {
                    difference[l] = now[l] - before[l];
                }
                before = now;
            }
            plan.network.sort(&mut block.sorted);
            let [low, high] = ranks.map(|rank| block.sorted[rank].map(f64::from));
            let dirty: &[bool; LANES] = &block.dirty[integration * block.size..].as_chunks().0[t];
            let rate: &mut Tile = &mut block.rate.as_chunks_mut().0[t];
            for l in 0..LANES {
                rate[l] += if dirty[l] { 0.0 } else { 0.5 * (low[l] + high[l]) * per_second };
            }
        }
    }
}

/// Fit one integration of every pixel.
pub(super) struct Slopes<'a, 'b> {
    pub plan: &'a Plan<'b>,
    pub block: &'a mut Block,
    pub integration: usize,
}

impl simd::Loop for Slopes<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, block, integration } = self;
        let (n, first) = (plan.ngroups, integration * plan.ngroups);
        let time = plan.params.group_time;
        let (per_second, per_seconds) = (1.0 / time, 1.0 / (time * (n - 1) as f64));
        let weight = weight_of(n, 1.0);
        let per_weight = 12.0 / weight;
        let alone = plan.nints == 1;
        let most = if plan.params.parity { LARGE.sqrt() * NEAR } else { f64::INFINITY };
        for t in 0..block.len.div_ceil(LANES) {
            let [gain, noise, dark, rate]: [&Tile; 4] =
                [&block.gain, &block.noise, &block.dark, &block.rate].map(|column| &column.as_chunks().0[t]);
            let (low, high) = (samples(block, first, t), samples(block, first + n - 1, t));
            let mut ratio = [0.0; LANES];
            for l in 0..LANES {
                ratio[l] = signal_to_noise(high[l] - low[l], gain[l], noise[l]);
            }
            // 1 from the least ratio of a class on.
            let mut reached = [[0.0; LANES]; CLASSES - 1];
            for (reached, least) in reached.iter_mut().zip(LEAST) {
                for l in 0..LANES {
                    reached[l] = if ratio[l] >= least { 1.0 } else { 0.0 };
                }
            }
            let mut slope = [0.0; LANES];
            for (k, row) in plan.table.iter().enumerate() {
                let (low, high) = (samples(block, first + k, t), samples(block, first + n - 1 - k, t));
                let mut factor = [row[0]; LANES];
                for (step, reached) in row[1..].iter().zip(&reached) {
                    for l in 0..LANES {
                        factor[l] += step * reached[l];
                    }
                }
                for l in 0..LANES {
                    slope[l] += factor[l] * (high[l] - low[l]);
                }
            }
            let (mut var_poisson, mut var_rnoise, mut err) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for l in 0..LANES {
                slope[l] *= per_second;
                let light = if rate[l] > 0.0 { rate[l] } else { 0.0 } + dark[l];
                let per_gain = 1.0 / gain[l];
                let noise = noise[l] * per_second * per_gain;
                var_poisson[l] = light * per_gain * per_seconds;
                var_rnoise[l] = noise * noise * per_weight;
                err[l] = (var_poisson[l] + var_rnoise[l]).sqrt();
            }
            for (image, values) in block.images.iter_mut().zip([slope, var_poisson, var_rnoise, err]) {
                let image: &mut [f32; LANES] = &mut image.as_chunks_mut().0[t];
                *image = values.map(|value| value as f32);
            }
            let dirty: &mut [bool; LANES] = &mut block.dirty[integration * block.size..].as_chunks_mut().0[t];
            for l in 0..LANES {
                // The peer makes such variances 0: the plain form knows how.
                dirty[l] |= err[l] >= most;
            }
            if alone {
                continue;
            }
            let [photons, weights, slopes]: [&mut Tile; 3] =
                [&mut block.photons, &mut block.weight, &mut block.slope]
                    .map(|column| &mut column.as_chunks_mut().0[t]);
            for l in 0..LANES {
                let clean = if dirty[l] { 0.0 } else { 1.0 };
                photons[l] += if var_poisson[l] > 0.0 { clean / var_poisson[l] } else { 0.0 };
                weights[l] += clean * weight;
                slopes[l] += if dirty[l] { 0.0 } else { slope[l] * weight };
            }
        }
    }
}
