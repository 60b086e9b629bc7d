//! Ramps without flags, side by side: each pixel of a tile in a lane of a vector.

use super::block::{Block, Plan};
use super::ramp::{LARGE, weight_of};
use super::weights::{CLASSES, LEAST, signal_to_noise};
use crate::ramp::likelihood::tile::{LANES, Tile};
use crate::simd;

/// Samples of group `k` of a tile.
#[inline(always)]
fn samples(block: &Block, plane: usize, t: usize) -> Tile {
    let run: &[f32; LANES] = &block.samples[plane * block.size..(plane + 1) * block.size].as_chunks().0[t];
    run.map(f64::from)
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
        let count = [(n - 1) as f64; LANES];
        let per_second = 1.0 / plan.params.group_time;
        for t in 0..block.len.div_ceil(LANES) {
            let mut before = samples(block, first, t);
            for k in 1..n {
                let now = samples(block, first + k, t);
                let difference = &mut block.sorted[k - 1];
                for l in 0..LANES {
                    difference[l] = now[l] - before[l];
                }
                before = now;
            }
            let median = plan.network.median(&mut block.sorted, &count);
            let dirty: &[bool; LANES] = &block.dirty[integration * block.size..].as_chunks().0[t];
            let rate: &mut Tile = &mut block.rate.as_chunks_mut().0[t];
            for l in 0..LANES {
                rate[l] += if dirty[l] { 0.0 } else { median[l] * per_second };
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
        let (per_second, seconds) = (1.0 / time, time * (n - 1) as f64);
        let weight = weight_of(n, 1.0);
        let most = if plan.params.parity { LARGE } else { f64::INFINITY };
        for t in 0..block.len.div_ceil(LANES) {
            let [gain, noise, dark, rate]: [&Tile; 4] =
                [&block.gain, &block.noise, &block.dark, &block.rate].map(|column| &column.as_chunks().0[t]);
            let (low, high) = (samples(block, first, t), samples(block, first + n - 1, t));
            let mut ratio = [0.0; LANES];
            for l in 0..LANES {
                ratio[l] = signal_to_noise(high[l] - low[l], gain[l], noise[l]);
            }
            let mut slope = [0.0; LANES];
            for (k, row) in plan.table.iter().enumerate() {
                let (low, high) = (samples(block, first + k, t), samples(block, first + n - 1 - k, t));
                for l in 0..LANES {
                    slope[l] += factor(row, ratio[l]) * (high[l] - low[l]);
                }
            }
            let (mut var_poisson, mut var_rnoise, mut err) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for l in 0..LANES {
                slope[l] *= per_second;
                let light = if rate[l] > 0.0 { rate[l] } else { 0.0 } + dark[l];
                let per_noise = noise[l] * per_second;
                var_poisson[l] = light / (seconds * gain[l]);
                var_rnoise[l] = 12.0 * per_noise * per_noise / (weight * gain[l] * gain[l]);
                let var = var_poisson[l] + var_rnoise[l];
                err[l] = if var > most { 0.0 } else { var.sqrt() };
            }
            let dirty: &[bool; LANES] = &block.dirty[integration * block.size..].as_chunks().0[t];
            let [photons, weights, slopes]: [&mut Tile; 3] =
                [&mut block.photons, &mut block.weight, &mut block.slope]
                    .map(|column| &mut column.as_chunks_mut().0[t]);
            for l in 0..LANES {
                let clean = if dirty[l] { 0.0 } else { 1.0 };
                photons[l] += if var_poisson[l] > 0.0 { clean / var_poisson[l] } else { 0.0 };
                weights[l] += clean * weight;
                slopes[l] += if dirty[l] { 0.0 } else { slope[l] * weight };
                var_poisson[l] = if var_poisson[l] >= most { 0.0 } else { var_poisson[l] };
            }
            for (image, values) in block.images.iter_mut().zip([slope, var_poisson, var_rnoise, err]) {
                let image: &mut [f32; LANES] = &mut image.as_chunks_mut().0[t];
                *image = values.map(|value| value as f32);
            }
        }
    }
}

/// The factor of the class of a signal to noise ratio.
#[inline(always)]
fn factor(row: &[f64; CLASSES], ratio: f64) -> f64 {
    let mut factor = row[0];
    for class in 1..CLASSES {
        factor = if ratio >= LEAST[class - 1] { row[class] } else { factor };
    }
    factor
}
