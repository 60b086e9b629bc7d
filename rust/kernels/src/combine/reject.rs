//! Which values of a sorted column are kept: ranks `low..high`.
//!
//! Whatever leaves out values too far from a centre, or a number of extremes, keeps a run of a sorted column, so
//! that a rejection is two ranks a lane.

use super::W;
use super::moments::{Moments, moments};

/// What sigma clipping measures distances from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// Median, the mean of the two middle values of an even number.
    Median,
    /// Mean.
    Mean,
}

/// What sigma clipping measures distances in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deviation {
    /// Standard deviation about the mean (population).
    Std,
    /// Median absolute deviation from the median, times 1.4826.
    Mad,
}

/// Iterated sigma clipping: values outside `[centre - lower s, centre + upper s]` go, then again of what is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SigmaClip {
    /// Threshold below the centre, in deviations.
    pub lower: f64,
    /// Threshold above it.
    pub upper: f64,
    /// Rounds at most.
    pub max_iter: usize,
    /// Centre.
    pub centre: Centre,
    /// Deviation.
    pub deviation: Deviation,
}

/// Standard deviation of a Gaussian in units of its median absolute deviation.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Ranks kept in every lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// First.
    pub low: [i32; W],
    /// One beyond the last.
    pub high: [i32; W],
}

impl Ranks {
    /// All `good` values.
    pub fn all(good: [u32; W]) -> Self {
        Self { low: [0; W], high: good.map(|n| n as i32) }
    }

    /// All but the `lowest` and the `highest` of the good values; none where there are no more than those.
    #[inline(always)]
    pub fn without_extremes(good: [u32; W], lowest: u32, highest: u32) -> Self {
        let low = good.map(|n| lowest.min(n) as i32);
        let high = good.map(|n| n.saturating_sub(highest).max(lowest.min(n)) as i32);
        Self { low, high }
    }

    /// Number of values kept.
    #[inline(always)]
    pub fn count(&self) -> [u32; W] {
        std::array::from_fn(|l| (self.high[l] - self.low[l]) as u32)
    }

    /// The median of the kept values of a lane; NaN without any.
    #[inline(always)]
    pub fn median(&self, rows: &[[f32; W]], lane: usize) -> f64 {
        let (low, high) = (self.low[lane] as usize, self.high[lane] as usize);
        if low >= high {
            return f64::NAN;
        }
        0.5 * (f64::from(rows[(low + high - 1) / 2][lane]) + f64::from(rows[(low + high) / 2][lane]))
    }

    /// Mean and sum of squares of the kept values.
    #[inline(always)]
    pub fn moments(&self, rows: &[[f32; W]], squares: bool) -> Moments<W> {
        let (low, high) = (self.low, self.high);
        // The middle one, which is kept if any is.
        let pivot = std::array::from_fn(|l| rows[((low[l] + high[l]) as usize / 2).min(rows.len() - 1)][l]);
        moments(rows, &pivot, &self.count(), squares, |r, l, _| (r as i32 >= low[l]) & ((r as i32) < high[l]))
    }

    /// Median absolute deviation from `centre`, which is the median, by walking outwards from it.
    fn mad(&self, rows: &[[f32; W]], lane: usize, centre: f64) -> f64 {
        let (low, high) = (self.low[lane] as usize, self.high[lane] as usize);
        let count = high - low;
        let (mut left, mut right) = ((low + high) / 2, (low + high) / 2);
        let (mut last, mut before) = (0.0, 0.0);
        for _ in 0..=count / 2 {
            let below = if left > low { centre - f64::from(rows[left - 1][lane]) } else { f64::INFINITY };
            let above = if right < high { f64::from(rows[right][lane]) - centre } else { f64::INFINITY };
            before = last;
            if below <= above {
                (last, left) = (below, left - 1);
            } else {
                (last, right) = (above, right + 1);
            }
        }
        if count % 2 == 1 { last } else { 0.5 * (last + before) }
    }

    /// Medians and, if asked for, their absolute deviations, of the lanes that are to be looked at (again).
    #[inline(always)]
    fn centres(&self, rows: &[[f32; W]], look: &[bool; W], mad: bool) -> ([f64; W], [f64; W]) {
        let count = rows.len();
        let (mut middle, mut width) = ([0f64; W], [0f64; W]);
        let full = |l: usize| (self.low[l] == 0) & (self.high[l] as usize == count);
        // Whole columns, which most are at first, all at once.
        let whole = (0..W).any(|l| full(l) && look[l]);
        if whole {
            let (low, high) = (&rows[(count - 1) / 2], &rows[count / 2]);
            for l in 0..W {
                middle[l] = 0.5 * (f64::from(low[l]) + f64::from(high[l]));
            }
            if mad {
                width = whole_mad(rows, &middle);
            }
        }
        for l in 0..W {
            if look[l] && !full(l) && self.low[l] < self.high[l] {
                middle[l] = self.median(rows, l);
                if mad {
                    width[l] = self.mad(rows, l, middle[l]);
                }
            }
        }
        (middle, width)
    }

    /// Leave out what lies too far from the centre, until nothing does. `rows` are sorted.
    #[inline(always)]
    pub fn clip(&mut self, rows: &[[f32; W]], clip: &SigmaClip) {
        // Lanes of which nothing was left out in the last round have come to their end.
        let mut look = [true; W];
        let (mad, mean) = (clip.deviation == Deviation::Mad, clip.centre == Centre::Mean);
        for _ in 0..clip.max_iter {
            let (mut centre, mut width) =
                if mad || !mean { self.centres(rows, &look, mad) } else { ([0f64; W], [0f64; W]) };
            if mean || !mad {
                let found = self.moments(rows, !mad);
                if mean {
                    centre = found.mean;
                }
                if !mad {
                    let count = self.count();
                    for l in 0..W {
                        width[l] = (found.squares[l] / f64::from(count[l])).sqrt();
                    }
                }
            }
            let factor = if mad { MAD_TO_SIGMA } else { 1.0 };
            let (mut least, mut most) = ([0f64; W], [0f64; W]);
            for l in 0..W {
                (least[l], most[l]) = (
                    centre[l] - clip.lower * (factor * width[l]),
                    centre[l] + clip.upper * (factor * width[l]),
                );
            }
            let mut again = false;
            for l in 0..W {
                if !look[l] {
                    continue;
                }
                let (mut low, mut high) = (self.low[l] as usize, self.high[l] as usize);
                while low < high && f64::from(rows[low][l]) < least[l] {
                    low += 1;
                }
                while low < high && f64::from(rows[high - 1][l]) > most[l] {
                    high -= 1;
                }
                look[l] = (low as i32 != self.low[l]) | (high as i32 != self.high[l]);
                again |= look[l];
                (self.low[l], self.high[l]) = (low as i32, high as i32);
            }
            if !again {
                break;
            }
        }
    }
}

/// Median absolute deviations of whole sorted columns from their medians.
///
/// The k values nearest to a centre are a run of the column, and the distance of the farthest of a run is that of
/// one of its ends: the k-th smallest distance is the least, over all runs of k, of the greater of the two.
#[inline(always)]
fn whole_mad(rows: &[[f32; W]], centre: &[f64; W]) -> [f64; W] {
    let count = rows.len();
    let mut found = [0f64; W];
    for k in [count.div_ceil(2), count / 2 + 1] {
        let mut least = [f64::INFINITY; W];
        for first in 0..=count - k {
            let (start, end) = (&rows[first], &rows[first + k - 1]);
            for l in 0..W {
                let (below, above) = (centre[l] - f64::from(start[l]), f64::from(end[l]) - centre[l]);
                let far = if below > above { below } else { above };
                least[l] = if far < least[l] { far } else { least[l] };
            }
        }
        for l in 0..W {
            found[l] += 0.5 * least[l];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32]) -> Vec<[f32; W]> {
        values.iter().map(|&value| [value; W]).collect()
    }

    fn kept(values: &[f32], clip: SigmaClip) -> (i32, i32) {
        let mut ranks = Ranks::all([values.len() as u32; W]);
        ranks.clip(&column(values), &clip);
        (ranks.low[W - 1], ranks.high[W - 1])
    }

    const CLIP: SigmaClip =
        SigmaClip { lower: 2.0, upper: 2.0, max_iter: 9, centre: Centre::Median, deviation: Deviation::Mad };

    #[test]
    fn outliers_go_at_both_ends() {
        assert_eq!(kept(&[-50.0, 1.0, 2.0, 3.0, 4.0, 5.0, 90.0], CLIP), (1, 6));
        assert_eq!(kept(&[1.0, 2.0, 3.0, 4.0, 90.0], SigmaClip { upper: 1e9, ..CLIP }), (0, 5));
        assert_eq!(kept(&[3.0; 4], CLIP), (0, 4));
    }

    #[test]
    fn rounds_are_counted() {
        // The largest hides the next from a standard deviation.
        let values = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 30.0, 1000.0];
        let clip = SigmaClip { deviation: Deviation::Std, max_iter: 1, ..CLIP };
        assert_eq!(kept(&values, clip), (0, 9));
        assert_eq!(kept(&values, SigmaClip { max_iter: 2, ..clip }), (0, 8));
        assert_eq!(kept(&values, SigmaClip { max_iter: 0, ..clip }), (0, 10));
    }

    #[test]
    fn deviations_of_even_and_odd_numbers() {
        for (values, mad) in [
            (&[1.0f32, 2.0, 4.0, 8.0, 9.0][..], 3.0),
            (&[1.0, 2.0, 4.0, 8.0], 1.5),
            (&[5.0], 0.0),
            (&[5.0, 7.0], 1.0),
        ] {
            let (rows, ranks) = (column(values), Ranks::all([values.len() as u32; W]));
            let middle = ranks.median(&rows, 0);
            assert_eq!(ranks.mad(&rows, 0, middle), mad, "{values:?}");
            assert_eq!(whole_mad(&rows, &[middle; W])[0], mad, "{values:?}");
        }
    }

    #[test]
    fn extremes_of_few_values() {
        let ranks = Ranks::without_extremes(std::array::from_fn(|l| l as u32), 1, 2);
        assert_eq!(ranks.low[..6], [0, 1, 1, 1, 1, 1]);
        assert_eq!(ranks.high[..6], [0, 1, 1, 1, 2, 3]);
    }
}
