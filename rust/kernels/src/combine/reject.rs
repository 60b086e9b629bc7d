//! Which values of a sorted column are kept: ranks `low..high`.
//!
//! Whatever leaves out values too far from a centre, or a number of extremes, keeps a run of a sorted column, so
//! that a rejection is two ranks a lane.

use super::W;
use super::moments::moments;

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
    pub low: [u32; W],
    /// One beyond the last.
    pub high: [u32; W],
}

impl Ranks {
    /// All `good` values.
    pub fn all(good: [u32; W]) -> Self {
        Self { low: [0; W], high: good }
    }

    /// All but the `lowest` and the `highest` of the good values; none where there are no more than those.
    #[inline(always)]
    pub fn without_extremes(good: [u32; W], lowest: u32, highest: u32) -> Self {
        Self {
            low: good.map(|n| lowest.min(n)),
            high: good.map(|n| n.saturating_sub(highest).max(lowest.min(n))),
        }
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

    /// Leave out what lies too far from the centre, until nothing does. `rows` are sorted.
    #[inline(always)]
    pub fn clip(&mut self, rows: &[[f32; W]], clip: &SigmaClip) {
        for _ in 0..clip.max_iter {
            let (mut least, mut most) = ([0f64; W], [0f64; W]);
            let mut middle = [0f64; W];
            let need_median = clip.centre == Centre::Median || clip.deviation == Deviation::Mad;
            if need_median {
                for l in 0..W {
                    middle[l] = self.median(rows, l);
                }
            }
            let need_moments = clip.centre == Centre::Mean || clip.deviation == Deviation::Std;
            let (mut mean, mut std) = (middle, [0f64; W]);
            if need_moments {
                let (low, high) = (self.low, self.high);
                let pivot = std::array::from_fn(|l| rows[(low[l] as usize).min(rows.len() - 1)][l]);
                let found = moments(rows, &pivot, |r, l, _| (r as u32 >= low[l]) & ((r as u32) < high[l]));
                mean = found.mean;
                for l in 0..W {
                    std[l] = (found.squares[l] / f64::from(found.count[l])).sqrt();
                }
            }
            for l in 0..W {
                if self.low[l] >= self.high[l] {
                    continue;
                }
                let width = match clip.deviation {
                    Deviation::Std => std[l],
                    Deviation::Mad => MAD_TO_SIGMA * self.mad(rows, l, middle[l]),
                };
                let centre = if clip.centre == Centre::Mean { mean[l] } else { middle[l] };
                (least[l], most[l]) = (centre - clip.lower * width, centre + clip.upper * width);
            }
            let before = *self;
            for l in 0..W {
                while self.low[l] < self.high[l] && f64::from(rows[self.low[l] as usize][l]) < least[l] {
                    self.low[l] += 1;
                }
                while self.low[l] < self.high[l] && f64::from(rows[self.high[l] as usize - 1][l]) > most[l] {
                    self.high[l] -= 1;
                }
            }
            if *self == before {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32]) -> Vec<[f32; W]> {
        values.iter().map(|&value| [value; W]).collect()
    }

    fn kept(values: &[f32], clip: SigmaClip) -> (u32, u32) {
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
            assert_eq!(ranks.mad(&rows, 0, ranks.median(&rows, 0)), mad, "{values:?}");
        }
    }

    #[test]
    fn extremes_of_few_values() {
        let ranks = Ranks::without_extremes(std::array::from_fn(|l| l as u32), 1, 2);
        assert_eq!(ranks.low[..6], [0, 1, 1, 1, 1, 1]);
        assert_eq!(ranks.high[..6], [0, 1, 1, 1, 2, 3]);
    }
}
