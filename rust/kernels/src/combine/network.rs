//! Networks of compare-exchanges: every pixel of a block is sorted by the same comparisons, lane by lane.
//!
//! Batcher's odd-even merge sort (Knuth, The Art of Computer Programming 3, 5.3.4) sorts any number of values with
//! about n log²(n) / 4 exchanges, none of which depends on what was found before: no branches, and a vector of pixels
//! does each in two instructions. Where only some ranks are asked for, whatever does not lead to them is left out,
//! walking the list backwards. Rows are first sorted by eights, which fit into registers; an exchange of the rest
//! goes through the cache.

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

/// Rows that are sorted in registers.
const EIGHT: usize = 8;

/// A network for so many rows: whole eights are sorted, then come exchanges in order; of rows `low` < `high`, the
/// lesser value goes to `low`.
#[derive(Debug, Clone)]
pub struct Network {
    eights: usize,
    exchanges: Vec<(u32, u32, Keep)>,
}

impl Network {
    /// A network that brings every value of `count` to its rank.
    pub fn sort(count: usize) -> Self {
        let eights = count / EIGHT;
        let mut exchanges = Vec::new();
        let mut p = 1;
        while p < count {
            let mut k = p;
            while k > 0 {
                for j in (k % p..count.saturating_sub(k)).step_by(2 * k) {
                    for i in j..(j + k).min(count - k) {
                        let within = i / (2 * p) == (i + k) / (2 * p);
                        let done = p < EIGHT && i / EIGHT < eights;
                        if within && !done {
                            exchanges.push((i as u32, (i + k) as u32, Keep::Both));
                        }
                    }
                }
                k /= 2;
            }
            p *= 2;
        }
        Self { eights, exchanges }
    }

    /// A network that brings the values of the two middle ranks (or the one) to theirs.
    pub fn middle(count: usize) -> Self {
        let mut needed = vec![false; count];
        for rank in [count.saturating_sub(1) / 2, count / 2] {
            if let Some(rank) = needed.get_mut(rank) {
                *rank = true;
            }
        }
        let Self { eights, exchanges } = Self::sort(count);
        let mut kept = Vec::new();
        for (low, high, _) in exchanges.into_iter().rev() {
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
        Self { eights, exchanges: kept }
    }

    /// Run it over the lanes of `rows`.
    #[inline(always)]
    pub fn run<K: Key, const N: usize>(&self, rows: &mut [[K; N]]) {
        let (eights, _) = rows.as_chunks_mut::<EIGHT>();
        for rows in eights.iter_mut().take(self.eights) {
            sort_eight(rows);
        }
        for &(low, high, keep) in &self.exchanges {
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

/// Sort eight rows by the shortest network there is (19 exchanges).
#[inline(always)]
fn sort_eight<K: Key, const N: usize>(rows: &mut [[K; N]; EIGHT]) {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    // Written out pixel by pixel, so that the compiler makes vectors of the lanes and keeps them in registers.
    for l in 0..N {
        let [mut a, mut b, mut c, mut d] = [r0[l], r1[l], r2[l], r3[l]];
        let [mut e, mut f, mut g, mut h] = [r4[l], r5[l], r6[l], r7[l]];
        macro_rules! exchange {
            ($($low:ident $high:ident),*) => {
                $(($low, $high) = ($low.lesser($high), $low.greater($high));)*
            };
        }
        exchange!(a c, b d, e g, f h);
        exchange!(a e, b f, c g, d h);
        exchange!(a b, c d, e f, g h);
        exchange!(c e, d f);
        exchange!(b e, d g);
        exchange!(b c, d e, f g);
        (r0[l], r1[l], r2[l], r3[l]) = (a, b, c, d);
        (r4[l], r5[l], r6[l], r7[l]) = (e, f, g, h);
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
        assert!(Network::middle(0).exchanges.is_empty() && Network::sort(1).exchanges.is_empty());
    }
}
