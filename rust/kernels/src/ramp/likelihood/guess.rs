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

    /// Sort `values`, each lane by itself.
    #[inline(always)]
    pub fn sort(&self, values: &mut [Tile]) {
        for &[i, j] in &self.0 {
            let (a, b) = (values[i as usize], values[j as usize]);
            let (mut low, mut high) = (a, b);
            for l in 0..LANES {
                low[l] = if a[l] < b[l] { a[l] } else { b[l] };
                high[l] = if a[l] < b[l] { b[l] } else { a[l] };
            }
            (values[i as usize], values[j as usize]) = (low, high);
        }
    }

    /// Median of the `count` smallest of `values`, which come out sorted; 0 where there is none.
    #[inline(always)]
    pub fn median(&self, values: &mut [Tile], count: &Tile) -> Tile {
        self.sort(values);
        let mut median = [0.0; LANES];
        for l in 0..LANES {
            let n = count[l] as usize;
            if n > 0 {
                median[l] = 0.5 * (values[(n - 1) / 2][l] + values[n / 2][l]);
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
    fn the_median_is_that_of_the_usable_ones() {
        let rows = [5.0, f64::INFINITY, -1.0, 2.0, f64::INFINITY, 7.0];
        let mut values: Vec<Tile> = rows.iter().map(|&v| [v; LANES]).collect();
        let mut count = [4.0; LANES];
        count[1] = 0.0;
        count[2] = 3.0;
        let median = Network::new(6).median(&mut values, &count);
        assert_eq!(median[..3], [3.5, 0.0, 2.0]);
    }
}
