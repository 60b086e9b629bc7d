//! First guess of the count rate: the median of the usable differences, many pixels side by side.
//!
//! Differences that may not be used count as infinite and are sorted behind the others by a network of
//! compare-and-swap (Batcher's odd-even merge sort), the same for every pixel. A guess over *all* differences would
//! be far too low for ramps that saturate before half their time: such pixels would be taken to be free of photon
//! noise, and nearly all of them for hit.

use super::tile::{LANES, Tile};

/// Pairs of places to compare and swap, in order.
#[derive(Debug, Clone)]
pub(crate) struct Network(Vec<[u16; 2]>);

impl Network {
    /// A network that sorts `len` numbers.
    pub fn new(len: usize) -> Self {
        let mut pairs = Vec::new();
        let mut p = 1;
        while p < len {
            let mut k = p;
            while k >= 1 {
                for j in (k % p..len.saturating_sub(k)).step_by(2 * k) {
                    for i in j..(j + k).min(len - k) {
                        if i / (2 * p) == (i + k) / (2 * p) {
                            pairs.push([i as u16, (i + k) as u16]);
                        }
                    }
                }
                k /= 2;
            }
            p *= 2;
        }
        Self(pairs)
    }

    /// A network that puts those of `len` sorted numbers in place that stand at `wanted`, and leaves others anywhere.
    pub fn selecting(len: usize, wanted: &[usize]) -> Self {
        let mut needed = vec![false; len];
        wanted.iter().for_each(|&place| needed[place] = true);
        let Self(mut pairs) = Self::new(len);
        pairs.reverse();
        // From the end: a pair that no wanted place depends on does nothing.
        pairs.retain(|&[i, j]| {
            let [i, j] = [i, j].map(usize::from);
            let used = needed[i] || needed[j];
            (needed[i], needed[j]) = (used || needed[i], used || needed[j]);
            used
        });
        pairs.reverse();
        Self(pairs)
    }

    /// Sort `values`, each lane by itself.
    #[inline(always)]
    pub fn sort<T: Copy + PartialOrd>(&self, values: &mut [[T; LANES]]) {
        for &[i, j] in &self.0 {
            let (a, b) = (values[i as usize], values[j as usize]);
            let (mut low, mut high) = (a, b);
            for l in 0..LANES {
                low[l] = if a[l] < b[l] { a[l] } else { b[l] };
                high[l] = if b[l] > a[l] { b[l] } else { a[l] };
            }
            (values[i as usize], values[j as usize]) = (low, high);
        }
    }

    /// Median of the `count` smallest of `values`, which come out sorted; 0 where there is none.
    #[inline(always)]
    pub fn median(&self, values: &mut [[f32; LANES]], count: &Tile) -> Tile {
        self.sort(values);
        let mut median = [0.0; LANES];
        for l in 0..LANES {
            let n = count[l] as usize;
            if n > 0 {
                median[l] = 0.5 * (f64::from(values[(n - 1) / 2][l]) + f64::from(values[n / 2][l]));
            }
        }
        median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that sorts all rows of zeros and ones sorts everything.
    #[test]
    fn networks_sort() {
        for len in 1..=12 {
            let network = Network::new(len);
            for bits in 0..1_u32 << len {
                let mut row: Vec<u32> = (0..len).map(|i| bits >> i & 1).collect();
                for &[i, j] in &network.0 {
                    let (a, b) = (row[i as usize], row[j as usize]);
                    (row[i as usize], row[j as usize]) = (a.min(b), a.max(b));
                }
                assert!(row.is_sorted(), "{len} {bits:b}");
            }
        }
    }

    #[test]
    fn selected_places_hold_what_a_sort_would_put_there() {
        for len in 1..=12 {
            let wanted = [(len - 1) / 2, len / 2];
            let (network, all) = (Network::selecting(len, &wanted), Network::new(len));
            assert!(network.0.len() < all.0.len() || len < 9, "{len}");
            for bits in 0..1_u32 << len {
                let mut row: Vec<_> = (0..len).map(|i| [bits >> i & 1; LANES]).collect();
                network.sort(&mut row);
                for place in wanted {
                    assert_eq!(
                        row[place][3],
                        u32::from(place >= len - bits.count_ones() as usize),
                        "{bits:b}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_median_is_that_of_the_usable_ones() {
        let rows = [5.0, f32::INFINITY, -1.0, 2.0, f32::INFINITY, 7.0];
        let mut values: Vec<[f32; LANES]> = rows.iter().map(|&v| [v; LANES]).collect();
        let mut count = [4.0; LANES];
        count[1] = 0.0;
        count[2] = 3.0;
        let median = Network::new(6).median(&mut values, &count);
        assert_eq!(median[..3], [3.5, 0.0, 2.0]);
    }
}
