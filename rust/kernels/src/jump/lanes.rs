//! Which pixels may hold a jump: those without flags, side by side, each in a lane of a vector.

use super::survey::Rule;
use super::{Block, Params};
use crate::ramp::likelihood::guess::Network;
use crate::ramp::likelihood::tile::{LANES, Tile};
use crate::simd;

/// A pixel so near the threshold is looked at again, exactly.
const NEAR: f64 = 1.0 - 1e-6;

/// What all pixels share.
pub(super) struct Shared<'a> {
    pub params: &'a Params,
    pub rule: Rule,
    pub network: &'a Network,
    pub time: &'a [f64],
    pub reads: &'a [f64],
    pub nints: usize,
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
        };
        // The largest does not count for the median, if there are enough.
        let counted = if absolute && total >= 4 { total - 1 } else { total };
        for t in 0..block.len.div_ceil(LANES) {
            for integration in 0..work.nints {
                let mut before = charge(block, integration * (each + 1), t);
                for j in 0..each {
                    let now = charge(block, integration * (each + 1) + j + 1, t);
                    let (difference, time) = (&mut block.sorted[integration * each + j], work.time[j]);
                    for l in 0..LANES {
                        // In single precision, as the peer.
                        let d = f64::from(now[l] - before[l]) / time;
                        difference[l] = if absolute { d.abs() } else { d };
                    }
                    before = now;
                }
            }
            work.network.sort(&mut block.sorted);
            let [low, high] = [block.sorted[0], block.sorted[total - 1]];
            let ranks = [(counted - 1) / 2, counted / 2].map(|rank| block.sorted[rank]);
            let next = block.sorted[total.saturating_sub(2)];
            let noise2: &Tile = &block.noise2.as_chunks().0[t];
            let suspect: &mut [bool; LANES] = &mut block.suspect.as_chunks_mut().0[t];
            let mut least = [f64::INFINITY; LANES];
            let mut median = [0.0; LANES];
            for l in 0..LANES {
                let middle = 0.5 * (ranks[0][l] + ranks[1][l]);
                median[l] = if absolute && total == 2 { low[l] } else { middle };
            }
            for j in 0..each {
                let (time, reads) = (work.time[j], work.reads[j]);
                for l in 0..LANES {
                    let sigma = (median[l].abs() * time + noise2[l] / reads).sqrt() / time;
                    least[l] = if sigma < least[l] { sigma } else { least[l] };
                }
            }
            for l in 0..LANES {
                let (up, down) = (high[l] - median[l], median[l] - low[l]);
                let most = if up > down { up } else { down };
                // If the largest is there twice, both are left out of the median.
                let twice = absolute && counted < total && next[l] == high[l] && high[l] > 0.0;
                suspect[l] |= most > threshold * least[l] * NEAR || twice;
            }
        }
    }
}

#[inline(always)]
fn charge(block: &Block, plane: usize, t: usize) -> [f32; LANES] {
    block.samples[plane * block.size..(plane + 1) * block.size].as_chunks().0[t]
}
