//! Many frames into one, pixel by pixel.
//!
//! For every pixel the values `v_k = scale_k (p_k - zero_k)` of the frames k, without those that are masked or not
//! finite, are taken together. If asked, sigma clipping or a number of extremes leave some out (after scaling, so
//! that frames of different exposure are judged alike). Of the n that are left:
//!
//! * median (for an even number the mean of the two middle ones) or mean;
//! * its uncertainty, f s / sqrt(n), where f is 1 for a mean and sqrt(pi / 2) = 1.2533 for a median of more than two
//!   (its efficiency for Gaussian noise), and s the standard deviation of the values (n - 1 in the denominator) or,
//!   if the frames come with uncertainties, the root mean square of those kept;
//! * n itself. Without any value the pixel is NaN.
//!
//! Pixels lie along the lanes of vectors and frames along rows: [`network`] sorts a block of [`W`] columns at a
//! time, unsigned words as they are. What is kept by a rejection is a run of a sorted column ([`reject`]).

mod load;
mod moments;
mod network;
mod reject;

pub use load::Word;
pub use reject::{Centre, Deviation, SigmaClip};

use crate::{Error, Result, par, simd};
use load::{all_plain, load_integers, load_numbers};
use moments::moments;
use network::{Key, Network};
use reject::Ranks;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pixels side by side in a block.
pub const W: usize = 64;

/// Unsigned words side by side: as many bytes make a row.
const WIDE: usize = 2 * W;

/// Pixels of an item of work: small enough to share out, large enough to start.
const ITEM: usize = 128 * W;

/// sqrt(pi / 2): the standard deviation of a median in units of a mean's.
const MEDIAN_FACTOR: f64 = 1.253_314_137_315_500_3;

/// One frame, or the same rows of one.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a, T> {
    /// Pixels as they are stored.
    pub words: &'a [T],
    /// Whether their bytes are in the other order than this machine's.
    pub swapped: bool,
    /// Whether 32768 is to be added to them (unsigned words in FITS).
    pub flipped: bool,
    /// True for pixels to leave out.
    pub bad: Option<&'a [bool]>,
    /// Standard deviation of every pixel, in the units of `words`.
    pub sigma: Option<&'a [f32]>,
    /// Factor, applied after `zero` is subtracted.
    pub scale: f32,
    /// Level to subtract.
    pub zero: f32,
}

/// What is made of the values that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Median.
    Median,
    /// Mean.
    Mean,
}

/// Which values are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rejection {
    /// None.
    None,
    /// Those far from the rest.
    Sigma(SigmaClip),
    /// So many of the lowest and of the highest.
    Extremes(usize, usize),
}

/// Where the answers go, all as long as a frame.
#[derive(Debug)]
pub struct Outputs<'a> {
    /// Combined value.
    pub data: &'a mut [f32],
    /// Its uncertainty, if asked for.
    pub uncertainty: Option<&'a mut [f32]>,
    /// Number of values used. Need not be given where all are: see [`uses_all`].
    pub count: Option<&'a mut [u16]>,
}

/// Whether every value of every frame is used, whatever it is.
pub fn uses_all<T: Word>(frames: &[Frame<'_, T>], statistic: Statistic, rejection: Rejection) -> bool {
    all_plain(frames) && statistic == Statistic::Median && rejection == Rejection::None
}

/// Combine frames; see the module. Whether any pixel is without a value.
pub fn combine<T: Word>(
    frames: &[Frame<'_, T>],
    statistic: Statistic,
    rejection: Rejection,
    outputs: Outputs<'_>,
    threads: usize,
) -> Result<bool> {
    check(frames, rejection, &outputs)?;
    let count = frames.len();
    let plan = Plan {
        frames,
        statistic,
        rejection,
        sort: Network::sort(count),
        middle: Network::middle(count),
        integers: uses_all(frames, statistic, rejection),
        empty: AtomicBool::new(false),
    };
    let Outputs { data, uncertainty, count: used } = outputs;
    if used.is_none() && !plan.integers {
        return Err(Error::value("count", "missing", "an array, since not all values may be used"));
    }
    let mut errors = uncertainty.map(|slice| slice.chunks_mut(ITEM));
    let mut used = used.map(|slice| slice.chunks_mut(ITEM));
    let items: Vec<Item<'_>> = data
        .chunks_mut(ITEM)
        .enumerate()
        .map(|(i, data)| Item {
            start: i * ITEM,
            data,
            count: used.as_mut().and_then(Iterator::next),
            uncertainty: errors.as_mut().and_then(Iterator::next),
        })
        .collect();
    let scratch = || Scratch {
        numbers: vec![[0.0; W]; if plan.integers { 0 } else { count }],
        integers: vec![[0; WIDE]; if plan.integers { count } else { 0 }],
    };
    par::for_each(items, threads, scratch, |scratch, item| simd::run(Work { plan: &plan, scratch, item }));
    Ok(plan.empty.into_inner())
}

fn check<T>(frames: &[Frame<'_, T>], rejection: Rejection, outputs: &Outputs<'_>) -> Result<()> {
    if frames.is_empty() || frames.len() > usize::from(u16::MAX) {
        return Err(Error::value("frames", frames.len(), "a number from 1 to 65535"));
    }
    let len = outputs.data.len();
    let lens = |frame: &Frame<'_, T>| {
        [Some(frame.words.len()), frame.bad.map(<[bool]>::len), frame.sigma.map(<[f32]>::len)]
    };
    let others = [
        outputs.count.as_ref().map(|slice| slice.len()),
        outputs.uncertainty.as_ref().map(|slice| slice.len()),
    ];
    let mut all = frames.iter().flat_map(lens).chain(others).flatten();
    if let Some(got) = all.find(|&got| got != len) {
        return Err(Error::Shape { name: "frames", got: vec![got], expected: vec![len] });
    }
    match rejection {
        Rejection::Extremes(low, high) if low.saturating_add(high) >= frames.len() => {
            Err(Error::value("minmax", format!("({low}, {high})"), "fewer than there are frames in all"))
        }
        Rejection::Sigma(clip) if !(clip.lower > 0.0 && clip.upper > 0.0) => {
            Err(Error::value("sigma_clip", format!("({}, {})", clip.lower, clip.upper), "positive numbers"))
        }
        _ => Ok(()),
    }
}

/// What is the same for all pixels.
struct Plan<'a, T> {
    frames: &'a [Frame<'a, T>],
    statistic: Statistic,
    rejection: Rejection,
    sort: Network,
    middle: Network,
    /// Whether words can be compared as they are.
    integers: bool,
    /// Whether a pixel without a value has been met.
    empty: AtomicBool,
}

struct Item<'a> {
    start: usize,
    data: &'a mut [f32],
    uncertainty: Option<&'a mut [f32]>,
    count: Option<&'a mut [u16]>,
}

/// Rows of a block, those that are used.
struct Scratch {
    numbers: Vec<[f32; W]>,
    integers: Vec<[u16; WIDE]>,
}

struct Work<'a, 'b, T> {
    plan: &'a Plan<'a, T>,
    scratch: &'a mut Scratch,
    item: Item<'b>,
}

/// Answers of a block.
struct Block<const N: usize> {
    data: [f64; N],
    squares: [f64; N],
    count: [u32; N],
}

/// What is kept of sorted rows.
type Kept<'a> = (Ranks, &'a [[f32; W]]);

impl<T: Word> simd::Loop for Work<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, scratch, mut item } = self;
        let want = item.uncertainty.is_some();
        let len = item.data.len();
        if plan.integers {
            for first in (0..len).step_by(WIDE) {
                let here = first..len.min(first + WIDE);
                load_integers(plan.frames, item.start + first, here.len(), &mut scratch.integers);
                let block = plan.median(&mut scratch.integers, want);
                plan.store(&block, None, &mut item, here);
            }
            return;
        }
        for first in (0..len).step_by(W) {
            let here = first..len.min(first + W);
            let good = load_numbers(plan.frames, item.start + first, here.len(), &mut scratch.numbers);
            let (block, ranks) = plan.numbers(&mut scratch.numbers, good, want);
            plan.store(&block, ranks.map(|ranks| (ranks, &scratch.numbers[..])), &mut item, here);
        }
    }
}

impl<T: Word> Plan<'_, T> {
    /// Median of columns of which every value is good.
    #[inline(always)]
    fn median<K: Key, const N: usize>(&self, rows: &mut [[K; N]], want: bool) -> Block<N> {
        let count = rows.len();
        let mut block = Block { data: [0.0; N], squares: [0.0; N], count: [count as u32; N] };
        if want {
            // Before the network: one that is pruned does not keep the values.
            let pivot = std::array::from_fn(|l| rows[0][l].number());
            block.squares = moments(rows, &pivot, &block.count, true, |_, _, _| true).squares;
        }
        self.middle.run(rows);
        let (low, high) = (&rows[(count - 1) / 2], &rows[count / 2]);
        for l in 0..N {
            block.data[l] = 0.5 * (f64::from(low[l].number()) + f64::from(high[l].number()));
        }
        block
    }

    /// Any statistic of columns of which `good` values are finite; also the ranks kept, if the rows are sorted.
    #[inline(always)]
    fn numbers(&self, rows: &mut [[f32; W]], good: [u32; W], want: bool) -> (Block<W>, Option<Ranks>) {
        let full = good.iter().all(|&n| n as usize == rows.len());
        match (self.rejection, self.statistic) {
            (Rejection::None, Statistic::Median) if full => return (self.median(rows, want), None),
            (Rejection::None, Statistic::Mean) => {
                let found = if full {
                    moments(rows, &rows[0], &good, want, |_, _, _| true)
                } else {
                    // Any finite value of the column is as good a pivot as another.
                    let pivot = std::array::from_fn(|l| a_value(rows, l));
                    moments(rows, &pivot, &good, want, |_, _, value| value <= f32::MAX)
                };
                return (Block { data: found.mean, squares: found.squares, count: good }, None);
            }
            _ => {}
        }
        self.sort.run(rows);
        let mut ranks = Ranks::all(good);
        match self.rejection {
            Rejection::None => {}
            Rejection::Sigma(clip) => ranks.clip(rows, &clip),
            Rejection::Extremes(low, high) => ranks = Ranks::without_extremes(good, low as u32, high as u32),
        }
        let mut block = Block { data: [f64::NAN; W], squares: [0.0; W], count: ranks.count() };
        if want || self.statistic == Statistic::Mean {
            let found = ranks.moments(rows, want);
            (block.data, block.squares) = (found.mean, found.squares);
        }
        if self.statistic == Statistic::Median {
            for l in 0..W {
                block.data[l] = ranks.median(rows, l);
            }
        }
        (block, Some(ranks))
    }

    /// Put the answers of a block where they go.
    #[inline(always)]
    fn store<const N: usize>(
        &self,
        block: &Block<N>,
        sorted: Option<Kept<'_>>,
        item: &mut Item<'_>,
        here: Range<usize>,
    ) {
        let start = item.start + here.start;
        for (l, value) in item.data[here.clone()].iter_mut().enumerate() {
            *value = block.data[l] as f32;
        }
        if let Some(used) = item.count.as_deref_mut() {
            for (l, count) in used[here.clone()].iter_mut().enumerate() {
                *count = block.count[l] as u16;
            }
        }
        if block.count[..here.len()].contains(&0) {
            self.empty.store(true, Ordering::Relaxed);
        }
        if let Some(errors) = item.uncertainty.as_deref_mut() {
            self.uncertainty(block, start, &mut errors[here], sorted);
        }
    }

    /// Uncertainties of a block from the scatter of its values, or those of the frames.
    #[inline(always)]
    fn uncertainty<const N: usize>(
        &self,
        block: &Block<N>,
        start: usize,
        errors: &mut [f32],
        sorted: Option<Kept<'_>>,
    ) {
        let median = self.statistic == Statistic::Median;
        let given = self.frames.iter().all(|frame| frame.sigma.is_some());
        for (l, error) in errors.iter_mut().enumerate() {
            let count = f64::from(block.count[l]);
            let factor = if median & (block.count[l] > 2) { MEDIAN_FACTOR } else { 1.0 };
            let variance = if given {
                self.given(block.count[l], start + l, l, sorted)
            } else {
                block.squares[l] / (count - 1.0)
            };
            *error = (factor * (variance / count).sqrt()) as f32;
        }
    }

    /// Mean of the variances that came with the `count` values kept of pixel `p`, which is lane `l`.
    fn given(&self, count: u32, p: usize, l: usize, sorted: Option<Kept<'_>>) -> f64 {
        let (mut least, mut most) = (f32::MIN, f32::MAX);
        if let Some((ranks, rows)) = sorted
            && count > 0
        {
            (least, most) = (rows[ranks.low[l] as usize][l], rows[ranks.high[l] as usize - 1][l]);
        }
        let (mut sum, mut count) = (0.0, 0.0);
        for frame in self.frames {
            let value = frame.scale * (frame.words[p].number(frame.swapped, frame.flipped) - frame.zero);
            let masked = frame.bad.is_some_and(|bad| bad[p]);
            // Of equal values at the edge of what is kept each counts as much as another.
            if !masked && value >= least && value <= most {
                let sigma = f64::from(frame.scale) * f64::from(frame.sigma.map_or(0.0, |sigma| sigma[p]));
                sum += sigma * sigma;
                count += 1.0;
            }
        }
        sum / count
    }
}

#[inline(always)]
fn a_value(rows: &[[f32; W]], lane: usize) -> f32 {
    rows.iter().map(|row| row[lane]).find(|value| *value <= f32::MAX).unwrap_or(0.0)
}
