//! Pixels with one hit, many at once.
//!
//! Most pixels that were hit were hit once. Those hit at the same read have the same two intervals: they wait in
//! a queue until they fill a tile. A pixel that turns out to have more to it is left to [`super::pixel`].

use super::block::used_reads;
use super::interval::{Interval, Mean};
use super::line::Weights;
use super::tile::{LANES, Ramps, Tile};
use super::{Params, Reads, Times};
use crate::{dq, simd};

/// What all queues of an exposure share.
pub(super) struct Plan {
    /// By the place of the hit among the used reads; nobody is hit at the first.
    cuts: Vec<Cut>,
    nread: usize,
    crsigma: f32,
    /// Reads used, the zeroth included, that of the hit not.
    pub samp: i16,
}

/// A ramp cut at a hit.
struct Cut {
    before: Interval,
    /// None if the hit is the last sample: there is no line after it.
    after: Option<Interval>,
    /// Exposure time covered.
    covered: f32,
    /// Factor from rate to the unit of the product.
    counts: f32,
}

/// Where a pixel lies.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// In the frame.
    pub frame: usize,
    /// In the rows of the product.
    pub row: usize,
}

/// Pixels that wait for company.
pub(super) struct Queues {
    /// A tile per cut.
    ramps: Ramps,
    /// Whose ramps they are.
    places: Vec<Tile<Place>>,
    len: Vec<usize>,
}

/// Products of the pixels of a queue.
pub(super) struct Solved {
    pub rate: Tile<f32>,
    pub err: Tile<f32>,
    pub time: f32,
    /// Nonzero where the plain path must answer.
    pub disturbed: Tile<u32>,
    pub places: Tile<Place>,
    pub len: usize,
}

impl Plan {
    pub fn new(reads: &Reads<'_>, params: &Params) -> Self {
        let nread = reads.sci.shape()[0];
        let used = used_reads(reads);
        let weights = Weights::new(params.gain, nread);
        let mut cuts = Vec::new();
        if let Times::PerRead(times) = reads.times {
            let first = times[used[0]] - times[used[0] - 1];
            let times: Vec<f32> = used.iter().map(|&r| times[r]).collect();
            cuts.extend((1..times.len()).map(|place| Cut::new(first, &times, place, &weights, params.rate)));
        }
        Self { cuts, nread, crsigma: params.crsigma, samp: used.len() as i16 }
    }

    /// Empty queues.
    pub fn queues(&self) -> Queues {
        Queues {
            ramps: Ramps::new(self.cuts.len(), self.nread, self.cuts.len() + 1),
            places: vec![[Place::default(); LANES]; self.cuts.len()],
            len: vec![0; self.cuts.len()],
        }
    }
}

impl Cut {
    fn new(first: f32, times: &[f32], place: usize, weights: &Weights, rate: bool) -> Self {
        let (before, after) = times.split_at(place);
        let before = Interval::new(before, weights);
        let after = (after.len() > 1).then(|| Interval::new(after, weights));
        let mut covered = first;
        covered += before.span;
        if let Some(after) = &after {
            covered += after.span;
        }
        Self { before, after, covered, counts: if rate { 1.0 } else { covered } }
    }
}

impl Queues {
    /// A queue that is not empty.
    pub fn next(&self) -> Option<usize> {
        self.len.iter().position(|&len| len > 0)
    }

    /// Queue up a pixel of `ramps` that was hit at used read `hit`; the queue's number if it is full now.
    pub fn push(&mut self, ramps: &Ramps, pixel: usize, hit: usize, place: Place) -> Option<usize> {
        let queue = hit - 1;
        let lane = self.len[queue];
        let at = queue * LANES + lane;
        self.ramps.copy(at, ramps, pixel);
        // The block has already marked the hit; the plain path is to find it for itself.
        self.ramps.flags_mut(at).for_each(|flags| *flags &= !dq::DATAREJECT);
        self.places[queue][lane] = place;
        self.len[queue] += 1;
        (self.len[queue] == LANES).then_some(queue)
    }

    /// Fit the pixels of a queue, and empty it.
    pub fn solve(&mut self, plan: &Plan, queue: usize) -> Solved {
        let len = std::mem::take(&mut self.len[queue]);
        let (cut, places) = (&plan.cuts[queue], self.places[queue]);
        let (rate, err, disturbed) =
            simd::run(Solve { cut, ramps: &self.ramps, queue, crsigma: plan.crsigma });
        Solved { rate, err, time: cut.covered, disturbed, places, len }
    }

    /// Ramps of the pixels of all queues, [`LANES`] from each.
    pub fn ramps(&mut self) -> &mut Ramps {
        &mut self.ramps
    }
}

struct Solve<'a> {
    cut: &'a Cut,
    ramps: &'a Ramps,
    queue: usize,
    crsigma: f32,
}

impl simd::Loop for Solve<'_> {
    type Output = (Tile<f32>, Tile<f32>, Tile<u32>);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { cut, ramps, queue, crsigma } = self;
        let (signal, error) = ramps.tile(queue);
        let (signal, error) = (signal.split_at(queue + 1), error.split_at(queue + 1));
        let mut disturbed = [0; LANES];
        let mut fit = |interval: &Interval, signal: &[Tile<f32>], error: &[Tile<f32>], at_hit| {
            let equal = interval.sum(signal, 0);
            let seen = interval.search(&equal, signal, error, crsigma, at_hit, |_| ());
            for l in 0..LANES {
                disturbed[l] |= seen.hit[l] | seen.other[l];
            }
            interval.slopes(&equal, signal, error)
        };
        let mut mean = Mean::of(&fit(&cut.before, signal.0, error.0, false));
        if let Some(after) = &cut.after {
            mean.add(&fit(after, signal.1, error.1, true));
        }
        for l in 0..LANES {
            disturbed[l] |= mean.lost[l];
        }
        let [rate, err] = mean.rates(cut.counts, &ramps.to_dn[queue]);
        (rate, err, disturbed)
    }
}
