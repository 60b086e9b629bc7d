//! Networks of compare-exchanges: every pixel of a block is sorted by the same comparisons, lane by lane.
//!
//! Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M) sorts any number of
//! values with about n log²(n) / 4 exchanges, none of which depends on what was found before: no branches, and a
//! vector of pixels does each in two instructions. Where only some ranks are asked for, whatever does not lead to
//! them is left out, walking the list backwards.

/// Values that can be put in order.
pub trait Key: Copy + Default {
    /// The lesser of two.
    fn lesser(self, other: Self) -> Self;
    /// The greater of two.
    fn greater(self, other: Self) -> Self;
    /// As a floating-point number, without rounding.
    fn number(self) -> f32;
}

impl Key for u16 {
    #[inline(always)]
    fn lesser(self, other: Self) -> Self {
        self.min(other)
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        self.max(other)
    }
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self)
    }
}

impl Key for f32 {
    // There is no NaN among them: a plain comparison is one instruction, `f32::min` is several.
    #[inline(always)]
    fn lesser(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        if self < other { other } else { self }
    }
    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
}

/// What is kept of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Both,
    Lesser,
    Greater,
}

/// Exchanges in order: of rows `low` < `high`, the lesser value goes to `low`.
#[derive(Debug, Clone)]
pub struct Network(Vec<(u32, u32, Keep)>);

impl Network {
    /// A network that brings every value of `count` to its rank.
    pub fn sort(count: usize) -> Self {
        let mut exchanges = Vec::new();
        let top = count.next_power_of_two() / 2;
        let mut p = top;
        while p > 0 {
            let (mut q, mut r, mut d) = (top, 0, p);
            loop {
                let pairs = (0..count.saturating_sub(d)).filter(|i| i & p == r);
                exchanges.extend(pairs.map(|i| (i as u32, (i + d) as u32, Keep::Both)));
                if q == p {
                    break;
                }
                (d, q, r) = (q - p, q / 2, p);
            }
            p /= 2;
        }
        Self(exchanges)
    }

    /// A network that brings the values of the two middle ranks (or the one) to theirs.
    pub fn middle(count: usize) -> Self {
        let mut needed = vec![false; count];
        for rank in [count.saturating_sub(1) / 2, count / 2] {
            if let Some(rank) = needed.get_mut(rank) {
                *rank = true;
            }
        }
        let mut kept = Vec::new();
        for (low, high, _) in Self::sort(count).0.into_iter().rev() {
            let (i, j) = (low as usize, high as usize);
            let keep = match (needed[i], needed[j]) {
                (false, false) => continue,
                (true, true) => Keep::Both,
                (true, false) => Keep::Lesser,
                (false, true) => Keep::Greater,
            };
            (needed[i], needed[j]) = (true, true);
            kept.push((low, high, keep));
        }
        kept.reverse();
        Self(kept)
    }

    /// Run it over the lanes of `rows`.
    #[inline(always)]
    pub fn run<K: Key, const N: usize>(&self, rows: &mut [[K; N]]) {
        for &(low, high, keep) in &self.0 {
            let (before, after) = rows.split_at_mut(high as usize);
            let (a, b) = (&mut before[low as usize], &mut after[0]);
            match keep {
                Keep::Both => {
                    for l in 0..N {
                        (a[l], b[l]) = (a[l].lesser(b[l]), a[l].greater(b[l]));
                    }
                }
                Keep::Lesser => {
                    for l in 0..N {
                        a[l] = a[l].lesser(b[l]);
                    }
                }
                Keep::Greater => {
                    for l in 0..N {
                        b[l] = a[l].greater(b[l]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::W;

    /// By the 0-1 principle a network that sorts all zeros and ones sorts everything.
    #[test]
    fn zeros_and_ones_are_sorted() {
        for count in 1..=14usize {
            let (sort, middle) = (Network::sort(count), Network::middle(count));
            for bits in 0..1u32 << count {
                let mut all: Vec<[u16; W]> = (0..count).map(|i| [(bits >> i & 1) as u16; W]).collect();
                let zeros = count - bits.count_ones() as usize;
                let mut some = all.clone();
                sort.run(&mut all);
                assert!(all.iter().enumerate().all(|(i, row)| row[W - 1] == u16::from(i >= zeros)));
                middle.run(&mut some);
                for rank in [(count - 1) / 2, count / 2] {
                    assert_eq!(some[rank], all[rank]);
                }
            }
        }
    }

    #[test]
    fn long_columns_are_sorted() {
        for count in [15, 20, 33, 100, 257, 1000] {
            let mut rows: Vec<[f32; W]> = (0..count)
                .map(|i| std::array::from_fn(|l| ((i * 7919 + l * 104_729) % 1009) as f32))
                .collect();
            let mut some = rows.clone();
            let mut column: Vec<f32> = rows.iter().map(|row| row[3]).collect();
            column.sort_unstable_by(f32::total_cmp);
            Network::sort(count).run(&mut rows);
            assert!(rows.iter().zip(&column).all(|(row, &value)| row[3] == value));
            Network::middle(count).run(&mut some);
            assert_eq!(some[count / 2][3], column[count / 2]);
        }
        assert!(Network::middle(0).0.is_empty() && Network::sort(1).0.is_empty());
    }

    #[test]
    fn twenty_frames_take_fewer_exchanges_than_a_sort() {
        let (all, some) = (Network::sort(20).0.len(), Network::middle(20).0.len());
        assert!(some < all && all < 110, "{all} {some}");
    }
}
