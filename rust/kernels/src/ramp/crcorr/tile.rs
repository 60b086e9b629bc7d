//! Ramps of a few pixels side by side: a sample of all of them is a vector.

/// Pixels in a tile: a vector of flags, two of signals.
pub(super) const LANES: usize = 16;

/// One number for every pixel of a tile.
pub(super) type Tile<T> = [T; LANES];

/// The ramps of some tiles. Pixel `p` is lane `p % LANES` of tile `p / LANES`.
pub(super) struct Ramps {
    /// Flags of tile `t`, read `r`: `flags[t * nread + r]`.
    pub flags: Vec<Tile<u16>>,
    /// Accumulated signal of tile `t`, used read `j`: `signal[t * used + j]`.
    pub signal: Vec<Tile<f32>>,
    /// Its error.
    pub error: Vec<Tile<f32>>,
    /// Factor that made the samples DN.
    pub to_dn: Vec<Tile<f32>>,
    pub nread: usize,
    pub used: usize,
}

impl Ramps {
    /// Room for `tiles` tiles of ramps with `used` of `nread` reads.
    pub fn new(tiles: usize, nread: usize, used: usize) -> Self {
        Self {
            flags: vec![[0; LANES]; tiles * nread],
            signal: vec![[0.0; LANES]; tiles * used],
            error: vec![[0.0; LANES]; tiles * used],
            to_dn: vec![[1.0; LANES]; tiles],
            nread,
            used,
        }
    }

    /// Signal and error of a tile's used reads.
    #[inline(always)]
    pub fn tile(&self, t: usize) -> (&[Tile<f32>], &[Tile<f32>]) {
        let tile = t * self.used..(t + 1) * self.used;
        (&self.signal[tile.clone()], &self.error[tile])
    }

    /// Signal and error of one pixel's used reads.
    #[inline]
    pub fn samples(&self, pixel: usize) -> impl Iterator<Item = (f32, f32)> {
        let (signal, error) = self.tile(pixel / LANES);
        signal.iter().zip(error).map(move |(y, e)| (y[pixel % LANES], e[pixel % LANES]))
    }

    /// Flags of one pixel in all reads.
    #[inline]
    pub fn flags(&self, pixel: usize) -> impl Iterator<Item = u16> {
        let t = pixel / LANES;
        self.flags[t * self.nread..(t + 1) * self.nread].iter().map(move |flags| flags[pixel % LANES])
    }

    /// The same, to change.
    #[inline]
    pub fn flags_mut(&mut self, pixel: usize) -> impl Iterator<Item = &mut u16> {
        let t = pixel / LANES;
        self.flags[t * self.nread..(t + 1) * self.nread]
            .iter_mut()
            .map(move |flags| &mut flags[pixel % LANES])
    }

    /// Factor that made the samples of a pixel DN.
    #[inline]
    pub fn to_dn(&self, pixel: usize) -> f32 {
        self.to_dn[pixel / LANES][pixel % LANES]
    }

    /// Take over a pixel of `other` ramps through the same reads.
    #[inline]
    pub fn copy(&mut self, to: usize, other: &Self, from: usize) {
        let (t, l) = (to / LANES, to % LANES);
        let tile = t * self.used..(t + 1) * self.used;
        let samples = self.signal[tile.clone()].iter_mut().zip(&mut self.error[tile]);
        for ((y, e), sample) in samples.zip(other.samples(from)) {
            (y[l], e[l]) = sample;
        }
        for (to, flags) in self.flags_mut(to).zip(other.flags(from)) {
            *to = flags;
        }
        self.to_dn[t][l] = other.to_dn(from);
    }
}
