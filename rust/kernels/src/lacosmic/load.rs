//! The input as electrons, whatever its type and byte order, and what of it needs attention.

use super::frame::{COLS, ROWS};
use crate::{par, simd};

/// A pixel as a file or an array holds it.
pub trait Pixel: Copy + Send + Sync {
    /// Times the gain, rounded as NumPy rounds `float32(data * gain)`: single precision for 32-bit numbers,
    /// double for integers and 64-bit ones.
    fn electrons(self, gain: f32) -> f32;
    /// Its bytes in the other order.
    fn swapped(self) -> Self;
}

macro_rules! pixel {
    ($($t:ty: $electrons:expr, $swapped:expr);*) => {
        $(impl Pixel for $t {
            #[inline(always)]
            fn electrons(self, gain: f32) -> f32 {
                let electrons: fn($t, f32) -> f32 = $electrons;
                electrons(self, gain)
            }
            #[inline(always)]
            fn swapped(self) -> Self {
                $swapped(self)
            }
        })*
    };
}

/// In double precision.
#[inline(always)]
fn doubled(value: impl Into<f64>, gain: f32) -> f32 {
    (value.into() * f64::from(gain)) as f32
}

pixel!(
    f32: |value, gain| value * gain, |value: f32| f32::from_bits(value.to_bits().swap_bytes());
    f64: doubled, |value: f64| f64::from_bits(value.to_bits().swap_bytes());
    u8: doubled, u8::swap_bytes;
    u16: doubled, u16::swap_bytes;
    i16: doubled, i16::swap_bytes;
    i32: doubled, i32::swap_bytes
);

/// Values beyond this are taken for no measurement, like NaN: their squares would overflow.
pub const LARGEST: f32 = 1e30;

/// An image in electrons.
pub struct Loaded {
    /// Electrons.
    pub image: Vec<f32>,
    /// The smallest of every block.
    pub smallest: Vec<f32>,
    /// Blocks that hold a value that is not finite, or one of at least `level`.
    pub special: Vec<bool>,
}

/// Read `pixels`, whose bytes may be swapped, as electrons. Blocks with a value of `level` or more are noted.
pub fn load<P: Pixel>(
    pixels: &[P],
    swapped: bool,
    nx: usize,
    [gain, level]: [f32; 2],
    threads: usize,
) -> Loaded {
    let mut image: Vec<f32> = simd::zeros(pixels.len());
    let across = nx.div_ceil(COLS);
    let count = image.len().div_ceil(nx * ROWS) * across;
    let (mut smallest, mut special) = (vec![0.0; count], vec![false; count]);
    /// Blocks down that make an item of work.
    const DOWN: usize = 8;
    let parts = pixels.chunks(DOWN * ROWS * nx).zip(image.chunks_mut(DOWN * ROWS * nx));
    let notes = smallest.chunks_mut(DOWN * across).zip(special.chunks_mut(DOWN * across));
    par::for_each(
        parts.zip(notes),
        threads,
        || (),
        |(), ((from, to), (low, odd))| {
            if swapped {
                simd::run(Band::<P, true> { from, to, low, odd, nx, gain, level });
            } else {
                simd::run(Band::<P, false> { from, to, low, odd, nx, gain, level });
            }
        },
    );
    Loaded { image, smallest, special }
}

struct Band<'a, P, const SWAPPED: bool> {
    from: &'a [P],
    to: &'a mut [f32],
    low: &'a mut [f32],
    odd: &'a mut [bool],
    nx: usize,
    gain: f32,
    level: f32,
}

impl<P: Pixel, const SWAPPED: bool> simd::Loop for Band<'_, P, SWAPPED> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { from, to, low, odd, nx, gain, level } = self;
        let across = nx.div_ceil(COLS);
        low.fill(f32::INFINITY);
        for (y, (from, to)) in from.chunks(nx).zip(to.chunks_mut(nx)).enumerate() {
            let (low, odd) = (&mut low[y / ROWS * across..], &mut odd[y / ROWS * across..]);
            for (b, (from, to)) in from.chunks(COLS).zip(to.chunks_mut(COLS)).enumerate() {
                let [least, most] =
                    match (<&[P; COLS]>::try_from(from), <&mut [f32; COLS]>::try_from(&mut *to)) {
                        (Ok(from), Ok(to)) => scale::<P, SWAPPED>(from, to, gain),
                        _ => scale::<P, SWAPPED>(from, to, gain),
                    };
                low[b] = if least < low[b] { least } else { low[b] };
                // A NaN makes both NaN, and neither comparison true.
                let plain = least > -LARGEST && most < LARGEST && most < level;
                odd[b] |= !plain;
            }
        }
    }
}

/// Convert pixels; the least and the largest, both NaN if one is.
#[inline(always)]
fn scale<P: Pixel, const SWAPPED: bool>(from: &[P], to: &mut [f32], gain: f32) -> [f32; 2] {
    const LANES: usize = 8;
    let mut least = [f32::INFINITY; LANES];
    let mut most = [f32::NEG_INFINITY; LANES];
    let mut nothing = [0.0f32; LANES];
    let n = to.len().min(from.len());
    let (from, to) = (&from[..n], &mut to[..n]);
    let whole = n / LANES * LANES;
    let mut one = |x: usize, l: usize| {
        let pixel = if SWAPPED { from[x].swapped() } else { from[x] };
        let value = pixel.electrons(gain);
        to[x] = value;
        least[l] = if value < least[l] { value } else { least[l] };
        most[l] = if value > most[l] { value } else { most[l] };
        nothing[l] += value * 0.0;
    };
    let mut start = 0;
    while start < whole {
        for l in 0..LANES {
            one(start + l, l);
        }
        start += LANES;
    }
    for x in whole..n {
        one(x, 0);
    }
    let [mut low, mut high, mut spoiled] = [f32::INFINITY, f32::NEG_INFINITY, 0.0];
    for l in 0..LANES {
        low = if least[l] < low { least[l] } else { low };
        high = if most[l] > high { most[l] } else { high };
        spoiled += nothing[l];
    }
    [low + spoiled, high + spoiled]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_gives_the_same_electrons() {
        let counts = [0u16, 7, 300, 65535];
        let gain = 1.1f32;
        let expected = counts.map(|c| (f64::from(c) * f64::from(gain)) as f32);
        let of = |image: Vec<f32>| <[f32; 4]>::try_from(image).unwrap();
        let levels = [gain, 1e9];
        assert_eq!(of(load(&counts, false, 2, levels, 1).image), expected);
        assert_eq!(of(load(&counts.map(u16::swap_bytes), true, 2, levels, 1).image), expected);
        assert_eq!(of(load(&counts.map(f64::from), false, 4, levels, 2).image), expected);
        assert_eq!(of(load(&counts.map(|c| f64::from(c).swapped()), true, 4, levels, 2).image), expected);
        let single = counts.map(|c| f32::from(c) * gain);
        assert_eq!(of(load(&counts.map(|c| f32::from(c).swapped()), true, 1, levels, 1).image), single);
    }

    #[test]
    fn blocks_are_described() {
        let (ny, nx) = (20, 70);
        let mut pixels: Vec<f32> = (0..ny * nx).map(|p| p as f32).collect();
        pixels[9 * nx + 69] = f32::NAN;
        pixels[17 * nx] = -5.0;
        let found = load(&pixels, false, nx, [1.0, 1380.0], 3);
        assert_eq!(found.smallest[0], 0.0);
        assert_eq!(found.smallest[1], 32.0);
        assert_eq!(found.smallest[6], -5.0);
        let special: Vec<usize> = (0..9).filter(|&b| found.special[b]).collect();
        assert_eq!(special, [5, 7, 8]);
    }
}
