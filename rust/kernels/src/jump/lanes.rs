//! Which pixels may hold a jump: those without flags, side by side, each in a lane of a vector.
//!
//! All in float32: a pixel that comes near its threshold is looked at again, exactly.

use super::survey::Rule;
use super::{Block, Params};
use crate::ramp::likelihood::guess::Network;
use crate::ramp::likelihood::tile::LANES;
use crate::simd;

/// Rounding errors of a comparison, in parts of what is compared and of the differences.
const NEAR: f32 = 1e-5;

/// What all pixels share.
pub(super) struct Shared<'a> {
    pub params: &'a Params,
    pub rule: Rule,
    pub network: &'a Network,
    pub time: &'a [f64],
    pub reads: &'a [f64],
    pub nints: usize,
    /// Whether all differences are of the same time and reads.
    pub even: bool,
}

/// Differences that count for the median: all, but of four absolute ones or more the largest.
fn counted(rule: Rule, total: usize) -> usize {
    if rule == Rule::OneByOne && total >= 4 { total - 1 } else { total }
}

/// Ranks of the differences that are looked at: those of the median, and the outermost.
fn ranks(rule: Rule, total: usize) -> [usize; 5] {
    let counted = counted(rule, total);
    [(counted - 1) / 2, counted / 2, 0, total.saturating_sub(2), total - 1]
}

/// A network that puts these in place.
pub(super) fn network(rule: Rule, total: usize) -> Network {
    Network::selecting(total, &ranks(rule, total))
}

/// Mark the suspect pixels of a block.
pub(super) struct Screen<'a> {
    pub work: &'a Shared<'a>,
    pub block: &'a mut Block,
}

impl simd::Loop for Screen<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { work, block } = self;
        let absolute = work.rule == Rule::OneByOne;
        let each = work.time.len();
        let total = work.nints * each;
        let [many, three, two] = work.params.thresholds;
        let threshold = match total {
            _ if !absolute => many,
            0 | 1 => f64::INFINITY,
            2 => two,
            3 => three,
            _ => many,
        } as f32;
        let pair = absolute && total == 2;
        let ties = counted(work.rule, total) < total;
        let ranks = ranks(work.rule, total);
        for t in 0..block.len.div_ceil(LANES) {
            for integration in 0..work.nints {
                let mut before = charge(block, integration * (each + 1), t);
                for j in 0..each {
                    let now = charge(block, integration * (each + 1) + j + 1, t);
                    let (difference, per_time) =
                        (&mut block.sorted[integration * each + j], (1.0 / work.time[j]) as f32);
                    for l in 0..LANES {
                        let d = (now[l] - before[l]) * per_time;
                        difference[l] = if absolute { d.abs() } else { d };
                    }
                    before = now;
                }
            }
            work.network.sort(&mut block.sorted);
            let [lower, upper, low, next, high] = ranks.map(|rank| block.sorted[rank]);
            let noise2: &[f32; LANES] = &block.noise2.as_chunks().0[t];
            let mut median = [0.0; LANES];
            for l in 0..LANES {
                median[l] = if pair { low[l] } else { 0.5 * (lower[l] + upper[l]) };
            }
            let mut least = [f32::INFINITY; LANES];
            for j in 0..each {
                let (time, per_read) = (work.time[j] as f32, (1.0 / work.reads[j]) as f32);
                let per_time = 1.0 / time;
                for l in 0..LANES {
                    let variance = (median[l].abs() * time + noise2[l] * per_read) * (per_time * per_time);
                    least[l] = if variance < least[l] { variance } else { least[l] };
                }
                if work.even {
                    break;
                }
            }
            let suspect: &mut [bool; LANES] = &mut block.suspect.as_chunks_mut().0[t];
            for l in 0..LANES {
                let (up, down) = (high[l] - median[l], median[l] - low[l]);
                let most = if up > down { up } else { down };
                let rounding = NEAR * (most + high[l].abs() + low[l].abs());
                // If the largest is there twice, both are left out of the median.
                let twice = ties && next[l] >= high[l] * (1.0 - NEAR) && high[l] > 0.0;
                suspect[l] |= most + rounding > threshold * least[l].sqrt() || twice;
            }
        }
    }
}

#[inline(always)]
fn charge(block: &Block, plane: usize, t: usize) -> [f32; LANES] {
    block.samples[plane * block.size..(plane + 1) * block.size].as_chunks().0[t]
}
