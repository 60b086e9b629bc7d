//! Pixels that can neither be hit nor used to clean: those the caller masks and those of saturated stars, both
//! with a margin.
//!
//! A pixel is of a saturated star if it reaches the level and the median about it a tenth of it; a saturated hit
//! has dark surroundings and stays. Stars grow twice by 5 x 5 without its corners, the caller's mask once by 3 x 3.
//! As in astroscrappy no dilation enters the outermost pixels (2, or 1), which keep what they have.

use super::repair::for_special;

/// Mark the saturated stars of an image in electrons with its sky, where nothing is marked yet; `level` in electrons.
pub fn mark_stars(
    bad: &mut [u8],
    image: &[f32],
    [ny, nx]: [usize; 2],
    special: &[bool],
    level: f32,
    separable: bool,
) {
    let tenth = (f64::from(level) / 10.0) as f32;
    let mut stars = Vec::new();
    for_special(special, [ny, nx], |p| {
        if image[p] >= level && about(image, [ny, nx], p, separable) > tenth {
            stars.push(p);
        }
    });
    for &p in &stars {
        bad[p] = 1;
    }
    for _ in 0..2 {
        let mut grown = Vec::new();
        for &p in &stars {
            let (y, x) = (p / nx, p % nx);
            for j in y.saturating_sub(2).max(2)..(y + 3).min(ny.saturating_sub(2)) {
                for i in x.saturating_sub(2).max(2)..(x + 3).min(nx.saturating_sub(2)) {
                    let bad = &mut bad[j * nx + i];
                    if j.abs_diff(y) + i.abs_diff(x) < 4 && *bad == 0 {
                        *bad = 1;
                        grown.push(j * nx + i);
                    }
                }
            }
        }
        stars = grown;
    }
}

/// The median about a pixel: separable 7 x 7 or true 5 x 5; on the border the pixel itself.
fn about(image: &[f32], [ny, nx]: [usize; 2], p: usize, separable: bool) -> f32 {
    let (y, x) = (p / nx, p % nx);
    let half = if separable { 3 } else { 2 };
    if y < half || x < half || y + half >= ny || x + half >= nx {
        return image[p];
    }
    let row = |j: usize| &image[j * nx + x - half..=j * nx + x + half];
    let mut values: Vec<f32> = Vec::with_capacity(25);
    for j in y - half..=y + half {
        if separable {
            values.push(middle(&mut row(j).to_vec()));
        } else {
            values.extend(row(j));
        }
    }
    middle(&mut values)
}

/// Median of an odd number of values.
pub fn middle(values: &mut [f32]) -> f32 {
    let half = values.len() / 2;
    *values.select_nth_unstable_by(half, f32::total_cmp).1
}

/// Mark what the caller masks.
pub fn mark_masked(bad: &mut [u8], mask: &[bool], [ny, nx]: [usize; 2]) {
    for (y, row) in mask.chunks(nx).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, masked)| **masked) {
            bad[y * nx + x] = 1;
            for j in y.saturating_sub(1).max(1)..(y + 2).min(ny.saturating_sub(1)) {
                let (low, high) = (x.saturating_sub(1).max(1), (x + 2).min(nx.saturating_sub(1)));
                if low < high {
                    bad[j * nx + low..j * nx + high].fill(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(bad: &[u8]) -> usize {
        bad.iter().map(|&b| usize::from(b)).sum()
    }

    #[test]
    fn a_saturated_star_is_marked_and_a_saturated_hit_is_not() {
        let (ny, nx) = (40, 40);
        let mut image = vec![10.0f32; ny * nx];
        image[10 * nx + 10] = 900.0;
        for separable in [true, false] {
            let mut bad = vec![0; ny * nx];
            mark_stars(&mut bad, &image, [ny, nx], &[true; 10], 900.0, separable);
            assert_eq!(marked(&bad), 0);
        }
        for y in 25..33 {
            image[y * nx + 20..y * nx + 28].fill(500.0);
        }
        image[29 * nx + 24] = 950.0;
        let mut bad = vec![0; ny * nx];
        mark_stars(&mut bad, &image, [ny, nx], &[true; 10], 900.0, true);
        // 21 pixels of the 5 x 5, then the same about each: 9 rows of 5, 7, 9, 9, 9, 9, 9, 7, 5.
        assert_eq!(marked(&bad), 69);
        assert_eq!((bad[29 * nx + 28], bad[10 * nx + 10]), (1, 0));
    }

    #[test]
    fn masks_grow_but_not_into_the_border() {
        let mut mask = vec![false; 30];
        mask[7] = true;
        mask[29] = true;
        let mut bad = vec![0; 30];
        mark_masked(&mut bad, &mask, [5, 6]);
        let expected: Vec<usize> = vec![7, 8, 13, 14, 22, 29];
        assert_eq!((0..30).filter(|&p| bad[p] == 1).collect::<Vec<_>>(), expected);
    }
}
