//! Pixels that hold no measurement (NaN, infinities, beyond [`LARGEST`]): out of the way before anything else.
//!
//! Each becomes the lower median of the sound pixels in the 5 x 5 about it, or of the whole image where there are
//! none, and counts as bad: it is never flagged, and nothing is cleaned with it. The caller puts the input back.

use super::frame::{COLS, ROWS};
use super::load::LARGEST;
use super::order::{lower_median, lower_median_of};

/// Replace what is no measurement in the blocks marked `special`; the places, in order.
pub fn repair(image: &mut [f32], [ny, nx]: [usize; 2], special: &[bool], threads: usize) -> Vec<usize> {
    let sound = |value: f32| value > -LARGEST && value < LARGEST;
    let mut places = Vec::new();
    for_special(special, [ny, nx], |p| {
        if !sound(image[p]) {
            places.push(p);
        }
    });
    if places.is_empty() {
        return places;
    }
    places.sort_unstable();
    let mut whole = None;
    let mut near = Vec::with_capacity(25);
    let values: Vec<f32> = places
        .iter()
        .map(|&p| {
            let (y, x) = (p / nx, p % nx);
            near.clear();
            for j in y.saturating_sub(2)..(y + 3).min(ny) {
                near.extend(
                    image[j * nx..][x.saturating_sub(2)..(x + 3).min(nx)].iter().filter(|v| sound(**v)),
                );
            }
            lower_median(&mut near).unwrap_or_else(|| {
                *whole.get_or_insert_with(|| {
                    let skip: Vec<u8> = image.iter().map(|&value| u8::from(!sound(value))).collect();
                    lower_median_of(image, &skip, &vec![false; skip.len()], Vec::new(), threads)
                        .unwrap_or(0.0)
                })
            })
        })
        .collect();
    for (&p, value) in places.iter().zip(values) {
        image[p] = value;
    }
    places
}

/// Call `look` for every pixel of the blocks marked.
pub fn for_special(special: &[bool], [ny, nx]: [usize; 2], mut look: impl FnMut(usize)) {
    let across = nx.div_ceil(COLS);
    for block in (0..special.len()).filter(|&block| special[block]) {
        let (y0, x0) = (block / across * ROWS, block % across * COLS);
        for y in y0..(y0 + ROWS).min(ny) {
            for x in x0..(x0 + COLS).min(nx) {
                look(y * nx + x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_becomes_the_median_about_it() {
        let (ny, nx) = (20, 40);
        let mut image = vec![3.0f32; ny * nx];
        image[5 * nx + 6] = f32::NAN;
        image[5 * nx + 7] = 9.0;
        image[19 * nx + 39] = f32::INFINITY;
        let places = repair(&mut image, [ny, nx], &[true; 6], 2);
        assert_eq!(places, [5 * nx + 6, 19 * nx + 39]);
        assert_eq!((image[5 * nx + 6], image[19 * nx + 39]), (3.0, 3.0));
    }

    #[test]
    fn without_a_sound_neighbour_it_is_the_images_and_without_any_zero() {
        let mut image = vec![f32::NAN; 100];
        image[0] = 4.0;
        assert_eq!(repair(&mut image, [10, 10], &[true; 2], 1).len(), 99);
        assert!(image.iter().all(|&value| value == 4.0));
        let mut image = vec![f32::NAN; 100];
        repair(&mut image, [10, 10], &[true; 2], 1);
        assert!(image.iter().all(|&value| value == 0.0));
    }
}
