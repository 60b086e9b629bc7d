//! Samples and flags of a block of pixels, made into differences per second in electrons.

use super::block::{Block, Plan, TILES};
use super::samples::{Run, SIZE};
use super::tile::{LANES, Tile};
use super::{Image, Params, Reads, Removed};
use crate::view::Source;

const NOTHING: Tile = [0.0; LANES];

/// The pixels of a block: `len` of `row`, from column `start` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub row: usize,
    pub start: usize,
    pub len: usize,
}

/// Flags, and differences per second in electrons.
#[inline(always)]
pub(super) fn load(plan: &Plan, reads: &Reads<'_>, params: &Params, place: Place, block: &mut Block) {
    let Place { row, start, len } = place;
    let n = plan.cov.len();
    let samples = &mut block.samples;
    if let Some(dq) = &reads.dq {
        for (r, run) in samples.flags.iter_mut().enumerate() {
            dq.run(r, row, start, &mut run[..len]);
        }
    }
    samples.judge(&params.rule, reads.excluded);
    let pixels = row * reads.sci.shape()[2] + start..row * reads.sci.shape()[2] + start + len;
    spread(&reads.gain, pixels.clone(), &mut block.gain);
    spread(&reads.read_noise, pixels.clone(), &mut block.noise2);
    spread(&reads.dark, pixels.clone(), &mut block.dark);
    if let Some(guess) = &reads.guess {
        spread(guess, pixels.clone(), &mut block.guess);
    }
    block.left = [NOTHING; TILES];
    let per_second = |time: f64, good: bool| if good { time } else { 0.0 };
    for t in 0..TILES {
        for l in 0..LANES {
            let (gain, noise, dark) = (&mut block.gain[t][l], &mut block.noise2[t][l], &mut block.dark[t][l]);
            let good = *gain > 0.0 && *noise >= 0.0 && *dark >= 0.0 && (*gain + *noise + *dark) * 0.0 == 0.0;
            let good = good && t * LANES + l < len;
            // The others go along with harmless numbers.
            (*gain, *noise, *dark) = if good { (*gain, *noise * *noise, *dark) } else { (1.0, 1.0, 0.0) };
            block.valid[t][l] = if good { 1.0 } else { 0.0 };
            let guess = block.guess[t][l] * *gain;
            block.guess[t][l] = *dark + per_second(guess, guess > 0.0 && guess < f64::INFINITY);
        }
    }
    let (mut before, mut now) = ([0.0; SIZE], [0.0; SIZE]);
    let mut out = [false; SIZE];
    samples_of(reads.sci, reads.scale, 0, place, &mut before);
    if block.first.len() == TILES {
        load_first(&before, len, block);
    }
    for i in 0..n {
        samples_of(reads.sci, reads.scale, i + 1, place, &mut now);
        let per_second = 1.0 / plan.cov.dt[i];
        if let Some(mask) = &reads.mask {
            mask.run(i, row, start, &mut out[..len]);
        }
        let samples = &block.samples;
        for t in 0..len.div_ceil(LANES) {
            let (rate, used) = (&mut block.rates[t * n + i], &mut block.used[t * n + i]);
            let [usable, usable_next]: [&[u16; LANES]; 2] =
                [i, i + 1].map(|r| &samples.usable[r].as_chunks().0[t]);
            let flags: &[u16; LANES] = &samples.flags[i + 1].as_chunks().0[t];
            let [before, now]: [&Tile; 2] = [&before.as_chunks().0[t], &now.as_chunks().0[t]];
            let out: &[bool; LANES] = &out.as_chunks().0[t];
            let (gain, valid, left) = (&block.gain[t], &block.valid[t], &mut block.left[t]);
            for l in 0..LANES {
                let d = (now[l] - before[l]) * per_second * gain[l];
                let hit = if flags[l] & params.rule.hit != 0 || out[l] { 0 } else { 1 };
                let both = f64::from(i32::from(usable[l] & usable_next[l] & hit)) * valid[l];
                // Not a number times nothing is not nothing.
                used[l] = if d * 0.0 == 0.0 { both } else { 0.0 };
                rate[l] = if used[l] > 0.0 { d } else { 0.0 };
                left[l] += used[l];
            }
        }
        std::mem::swap(&mut before, &mut now);
    }
    match &reads.removed {
        Removed::Nothing => {}
        Removed::Untouched(untouched) => load_removed(plan, *untouched, reads.scale, place, block),
        Removed::Rates(rates, response) => {
            let mut run = [1.0; SIZE];
            if let Some(response) = response {
                for (factor, &response) in run.iter_mut().zip(&response[pixels]) {
                    *factor = f64::from(response);
                }
            }
            spread_removed(rates, &run, len, block);
        }
    }
}

/// First samples in electrons; not a number where they may not be used.
#[inline(always)]
fn load_first(samples: &Run<f64>, len: usize, block: &mut Block) {
    for t in 0..len.div_ceil(LANES) {
        let usable: &[u16; LANES] = &block.samples.usable[0].as_chunks().0[t];
        let samples: &Tile = &samples.as_chunks().0[t];
        for l in 0..LANES {
            let good = usable[l] != 0 && block.valid[t][l] > 0.0;
            block.first[t][l] = if good { samples[l] * block.gain[t][l] } else { f64::NAN };
        }
    }
}

/// Rate of what was subtracted from all pixels alike.
#[inline(always)]
fn spread_removed(rates: &[f64], response: &Run<f64>, len: usize, block: &mut Block) {
    let n = rates.len();
    for t in 0..len.div_ceil(LANES) {
        let response: &Tile = &response.as_chunks().0[t];
        for (i, rate) in rates.iter().enumerate() {
            let used = &block.used[t * n + i];
            for l in 0..LANES {
                let all = rate * response[l] * block.gain[t][l];
                block.removed[t * n + i][l] = if used[l] > 0.0 && all * 0.0 == 0.0 { all } else { 0.0 };
            }
        }
    }
}

/// Rate of what was subtracted: that of the reads before, less that of the reads after.
#[inline(always)]
fn load_removed(plan: &Plan, untouched: &dyn Source<f64>, scale: &[f64], place: Place, block: &mut Block) {
    let n = plan.cov.len();
    let (mut before, mut now) = ([0.0; SIZE], [0.0; SIZE]);
    samples_of(untouched, scale, 0, place, &mut before);
    for i in 0..n {
        samples_of(untouched, scale, i + 1, place, &mut now);
        let per_second = 1.0 / plan.cov.dt[i];
        for t in 0..place.len.div_ceil(LANES) {
            let [before, now]: [&Tile; 2] = [&before.as_chunks().0[t], &now.as_chunks().0[t]];
            let (rate, used) = (&block.rates[t * n + i], &block.used[t * n + i]);
            let (gain, removed) = (&block.gain[t], &mut block.removed[t * n + i]);
            for l in 0..LANES {
                let all = (now[l] - before[l]) * per_second * gain[l];
                removed[l] = if used[l] > 0.0 && all * 0.0 == 0.0 { all - rate[l] } else { 0.0 };
            }
        }
        std::mem::swap(&mut before, &mut now);
    }
}

/// Samples of a read, accumulated. A read without a scale is zero by definition, whatever it holds.
#[inline(always)]
fn samples_of(cube: &dyn Source<f64>, scale: &[f64], read: usize, place: Place, into: &mut Run<f64>) {
    let scale = scale[read];
    if scale == 0.0 {
        into.fill(0.0);
        return;
    }
    cube.run(read, place.row, place.start, &mut into[..place.len]);
    if scale != 1.0 {
        into.iter_mut().for_each(|sample| *sample *= scale);
    }
}

#[inline(always)]
fn spread(image: &Image<'_>, pixels: std::ops::Range<usize>, tiles: &mut [Tile; TILES]) {
    let run = tiles.as_flattened_mut();
    match image {
        Image::Same(value) => run.fill(*value),
        Image::Each(values) => {
            for (place, &value) in run.iter_mut().zip(&values[pixels]) {
                *place = f64::from(value);
            }
        }
    }
}
