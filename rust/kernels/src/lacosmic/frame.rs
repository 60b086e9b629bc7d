//! The image as the iterations see it: electrons without the sky, what is known to be hit, and the variance.
//!
//! The variance is not stored. It follows from the pixel itself (or the caller's variance) but where a hit has
//! been cleaned: there it was interpolated like the image, and lies in the list of hits of its row.

/// Rows of a block: the unit of work that is skipped where nothing can be found.
pub const ROWS: usize = 8;
/// Columns of a block.
pub const COLS: usize = 32;

/// A pixel that was found hit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Column.
    pub x: u32,
    /// Variance as cleaned.
    pub variance: f32,
    /// Value before it was cleaned.
    pub original: f32,
    /// Whether what it is to be replaced by may have changed.
    pub stale: bool,
}

/// What the variance is made of.
#[derive(Debug, Clone, Copy)]
pub struct Noise<'a> {
    /// Read noise squared, electrons squared.
    pub read: f32,
    /// The caller's variance, in squares of the input's unit.
    pub given: Option<&'a [f32]>,
    /// Gain squared.
    pub gain2: f32,
    /// Sky, electrons.
    pub sky: Option<&'a [f32]>,
}

impl Noise<'_> {
    /// Variance above the sky's of the pixel `p` that holds `value` electrons above the sky.
    #[inline(always)]
    pub fn at(&self, p: usize, value: f32) -> f32 {
        match (self.given, self.sky) {
            (None, _) => value + self.read,
            (Some(given), None) => given[p] * self.gain2,
            (Some(given), Some(sky)) => given[p] * self.gain2 - sky[p],
        }
    }
}

/// The image between two rounds of cleaning.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Electrons above the sky, hits cleaned.
    pub image: &'a [f32],
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Not 0 where a pixel can neither be hit nor used to clean.
    pub bad: &'a [u8],
    /// Hits of every row in order of their columns.
    pub hits: &'a [Vec<Hit>],
    /// Variance of all other pixels.
    pub noise: Noise<'a>,
    /// A bound from below of the variance in every block.
    pub floor: &'a [f32],
}

impl Frame<'_> {
    /// Blocks down and across.
    pub fn blocks(&self) -> [usize; 2] {
        [self.shape[0].div_ceil(ROWS), self.shape[1].div_ceil(COLS)]
    }

    /// Variance of any pixel.
    pub fn variance(&self, y: usize, x: usize) -> f32 {
        let row = &self.hits[y];
        if let Ok(found) = row.binary_search_by_key(&(x as u32), |hit| hit.x) {
            return row[found].variance;
        }
        let p = y * self.shape[1] + x;
        self.noise.at(p, self.image[p])
    }
}

/// A rectangle of an image and its surroundings, copied; 0 outside the image.
#[derive(Debug, Clone)]
pub struct Window {
    data: Vec<f32>,
    stride: usize,
}

impl Window {
    /// Space for `rows` of `stride` pixels.
    pub fn new(rows: usize, stride: usize) -> Self {
        Self { data: vec![0.0; rows * stride], stride }
    }

    /// A row.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.stride..(y + 1) * self.stride]
    }

    /// A row to write.
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        &mut self.data[y * self.stride..(y + 1) * self.stride]
    }

    /// `K` rows from `y` on, each from column `x` on.
    #[inline(always)]
    pub fn rows<const K: usize>(&self, y: usize, x: usize) -> [&[f32]; K] {
        let mut rows = [&self.data[..]; K];
        for (k, row) in rows.iter_mut().enumerate() {
            *row = &self.row(y + k)[x..];
        }
        rows
    }

    /// Copy `rows` rows of `plane`, whose first pixel is `(y0, x0)` there.
    #[inline(always)]
    pub fn copy(&mut self, plane: &[f32], [ny, nx]: [usize; 2], rows: usize, [y0, x0]: [isize; 2]) {
        let stride = self.stride;
        for w in 0..rows {
            let out = &mut self.data[w * stride..(w + 1) * stride];
            let y = y0 + w as isize;
            if y < 0 || y >= ny as isize {
                out.fill(0.0);
                continue;
            }
            let row = &plane[y as usize * nx..(y as usize + 1) * nx];
            if x0 >= 0 && x0 as usize + stride <= nx {
                out.copy_from_slice(&row[x0 as usize..x0 as usize + stride]);
            } else {
                for (i, value) in out.iter_mut().enumerate() {
                    let x = x0 + i as isize;
                    *value = if x < 0 || x >= nx as isize { 0.0 } else { row[x as usize] };
                }
            }
        }
    }

    /// Where a filter of half width `half` would reach over the border of the image it gives its input back:
    /// set those pixels of this window, whose first is `(y0, x0)`, from `input`, `shift` rows and columns larger.
    #[inline(always)]
    pub fn give_back(
        &mut self,
        input: &Self,
        shift: usize,
        half: usize,
        [rows, cols]: [usize; 2],
        [y0, x0]: [isize; 2],
        [ny, nx]: [usize; 2],
    ) {
        let half = half as isize;
        let (low, high) = ([y0, x0], [y0 + rows as isize, x0 + cols as isize]);
        let inner = [ny as isize - half, nx as isize - half];
        if low[0] >= half && low[1] >= half && high[0] <= inner[0] && high[1] <= inner[1] {
            return;
        }
        for w in 0..rows {
            let y = y0 + w as isize;
            let whole = y < half || y >= inner[0];
            for i in 0..cols {
                let x = x0 + i as isize;
                if whole || x < half || x >= inner[1] {
                    self.row_mut(w)[i] = input.row(w + shift)[i + shift];
                }
            }
        }
    }
}

/// Variance of the pixels of `window` (of the image, `rows` high, its first pixel at `(y0, x0)`), into `out`.
#[inline(always)]
pub fn variances(frame: &Frame<'_>, window: &Window, rows: usize, [y0, x0]: [isize; 2], out: &mut Window) {
    let [ny, nx] = frame.shape;
    let stride = window.stride;
    if frame.noise.given.is_none() {
        let read = frame.noise.read;
        for w in 0..rows {
            let (from, to) = (&window.row(w)[..stride], &mut out.row_mut(w)[..stride]);
            for x in 0..stride {
                to[x] = from[x] + read;
            }
        }
    } else {
        for w in 0..rows {
            let y = y0 + w as isize;
            for i in 0..stride {
                let x = x0 + i as isize;
                let inside = y >= 0 && y < ny as isize && x >= 0 && x < nx as isize;
                out.row_mut(w)[i] =
                    if inside { frame.noise.at(y as usize * nx + x as usize, window.row(w)[i]) } else { 0.0 };
            }
        }
    }
    for w in 0..rows {
        let y = y0 + w as isize;
        if y < 0 || y >= ny as isize || frame.hits[y as usize].is_empty() {
            continue;
        }
        let row = &frame.hits[y as usize];
        let first = row.partition_point(|hit| (hit.x as isize) < x0);
        for hit in &row[first..] {
            let i = hit.x as isize - x0;
            if i >= stride as isize {
                break;
            }
            out.row_mut(w)[i as usize] = hit.variance;
        }
    }
}
