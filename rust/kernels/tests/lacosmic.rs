//! The search by blocks against one that computes everything everywhere, plane by plane and round by round.

use proptest::prelude::*;
use upramp_kernels::lacosmic::{CleanType, FineStructure, Input, Kernel, Params, detect};

type Plane = Vec<f32>;

fn middle(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values[(values.len() - 1) / 2]
}

/// A filter that gives its input back where its window of half widths `(hy, hx)` reaches over the edge by `border`.
fn filter(image: &[f32], [ny, nx]: [usize; 2], [hy, hx]: [usize; 2], border: usize) -> Plane {
    let mut out = image.to_vec();
    for y in border.max(hy)..ny.saturating_sub(border.max(hy)) {
        for x in border.max(hx)..nx.saturating_sub(border.max(hx)) {
            let rows = y - hy..=y + hy;
            out[y * nx + x] =
                middle(rows.flat_map(|j| image[j * nx + x - hx..=j * nx + x + hx].to_vec()).collect());
        }
    }
    out
}

/// True median, or a median along rows and then along columns.
fn median(image: &[f32], shape @ [ny, nx]: [usize; 2], half: usize, separable: bool) -> Plane {
    if !separable {
        return filter(image, shape, [half, half], half);
    }
    let along = filter(image, shape, [0, half], 0);
    let mut out = filter(&along, shape, [half, 0], 0);
    for p in 0..out.len() {
        let (y, x) = (p / nx, p % nx);
        if y < half || x < half || y + half >= ny || x + half >= nx {
            out[p] = image[p];
        }
    }
    out
}

/// Laplacian, inside in the order of sums of the kernel. The border is flat, outside is 0, and all sums are exact.
fn laplacian(image: &[f32], [ny, nx]: [usize; 2]) -> Plane {
    let edges = |p: usize| {
        let (y, x) = (p / nx, p % nx);
        0.5 * (f32::from(u8::from(y == 0 || y == ny - 1)) + f32::from(u8::from(x == 0 || x == nx - 1)))
    };
    let mut out: Plane = (0..image.len()).map(|p| image[p] * edges(p)).collect();
    for y in 1..ny - 1 {
        for x in 1..nx - 1 {
            let p = y * nx + x;
            let c = image[p];
            let corner = |right: f32, left: f32, next: f32, before: f32| {
                (((4.0 * c - right) - left) - (next + before)).max(0.0)
            };
            let (w, e, n, s) = (image[p - 1], image[p + 1], image[p - nx], image[p + nx]);
            let (nw, ne) = (corner(c, w, c, n), corner(e, c, c, n));
            let (sw, se) = (corner(c, w, s, c), corner(e, c, s, c));
            out[p] = ((nw + se) + (sw + ne)) * 0.25;
        }
    }
    out
}

fn convolve(image: &[f32], [ny, nx]: [usize; 2], kernel: &Kernel) -> Plane {
    let [hy, hx] = kernel.half;
    let across = 2 * hx + 1;
    (0..image.len())
        .map(|p| {
            let mut sum = 0.0f32;
            for (k, weight) in kernel.weights.iter().rev().enumerate() {
                let (y, x) = (p / nx + k / across, p % nx + k % across);
                let inside = y >= hy && x >= hx && y - hy < ny && x - hx < nx;
                sum += if inside { image[(y - hy) * nx + x - hx] * weight } else { 0.0 };
            }
            sum
        })
        .collect()
}

fn grow(from: &[bool], [ny, nx]: [usize; 2], keep: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut out: Vec<bool> = (0..from.len()).map(|p| from[p] && keep(p)).collect();
    for y in 1..ny - 1 {
        for x in 1..nx - 1 {
            let near = (y - 1..y + 2).any(|j| from[j * nx + x - 1..j * nx + x + 2].contains(&true));
            out[y * nx + x] = near && keep(y * nx + x);
        }
    }
    out
}

/// Mask, image and counts; masks of saturated stars are not part of this.
fn plain(
    image: &[f32],
    shape @ [ny, nx]: [usize; 2],
    bad: &[bool],
    params: &Params,
) -> (Vec<bool>, Plane, Vec<usize>) {
    let mut a: Plane = image.iter().map(|v| v * params.gain).collect();
    let mut v: Plane = a.iter().map(|e| e + params.readnoise * params.readnoise).collect();
    let sep = params.separable;
    let (mut mask, mut counts) = (vec![false; a.len()], Vec::new());
    let level = |of: &Plane| middle((0..of.len()).filter(|&p| !bad[p]).map(|p| of[p]).collect());
    let levels = [level(&a), level(&v)];
    for _ in 0..params.iterations {
        let n: Plane =
            median(&v, shape, if sep { 3 } else { 2 }, sep).iter().map(|m| m.max(1e-5).sqrt()).collect();
        let s: Plane = laplacian(&a, shape).iter().zip(&n).map(|(l, n)| l / (2.0 * n)).collect();
        let m = median(&s, shape, if sep { 3 } else { 2 }, sep);
        let s: Plane = s.iter().zip(&m).map(|(s, m)| s - m).collect();
        let f = match &params.fine_structure {
            FineStructure::Median => median(&a, shape, if sep { 2 } else { 1 }, sep),
            FineStructure::Convolve(kernel) => {
                let weighted: Plane = a.iter().zip(&n).map(|(a, n)| a / n / n).collect();
                let weight: Plane = n.iter().map(|n| 1.0 / n / n).collect();
                let (sum, norm) = (convolve(&weighted, shape, kernel), convolve(&weight, shape, kernel));
                sum.iter().zip(&norm).map(|(s, n)| s / n).collect()
            }
        };
        let m = median(&f, shape, if sep { 4 } else { 3 }, sep);
        let seed: Vec<bool> = (0..a.len())
            .map(|p| {
                let fine = ((f[p] - m[p]) / n[p]).max(0.01);
                !bad[p] && s[p] > params.sigclip && s[p] / fine > params.objlim
            })
            .collect();
        let near = grow(&seed, shape, |p| !bad[p] && s[p] > params.sigclip);
        let all = grow(&near, shape, |p| !bad[p] && s[p] > params.sigfrac * params.sigclip);
        counts.push(all.iter().filter(|hit| **hit).count());
        if counts.last() == Some(&0) {
            break;
        }
        mask.iter_mut().zip(&all).for_each(|(mask, hit)| *mask |= hit);
        let (old, old_v) = (a.clone(), v.clone());
        for y in 2..ny.saturating_sub(2) {
            for x in (2..nx.saturating_sub(2)).filter(|x| mask[y * nx + x]) {
                let window = (0..25).map(|k| (y + k / 5 - 2) * nx + x + k % 5 - 2);
                let good: Vec<usize> = window.filter(|&p| !mask[p] && !bad[p]).collect();
                let fill = |of: &Plane, level: f32| match (good.len(), params.clean) {
                    (0, _) => level,
                    (_, CleanType::MedianMasked) => middle(good.iter().map(|&p| of[p]).collect()),
                    (n, _) => good.iter().fold(0.0f32, |sum, &p| sum + of[p]) / n as f32,
                };
                (a[y * nx + x], v[y * nx + x]) = (fill(&old, levels[0]), fill(&old_v, levels[1]));
            }
        }
    }
    (mask, a.iter().map(|e| e / params.gain).collect(), counts)
}

/// Noise, stars and hits from a seed. The outermost two pixels are flat.
fn scene([ny, nx]: [usize; 2], mut seed: u32, hits: usize) -> Plane {
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 24) as f32
    };
    let mut image: Plane = (0..ny * nx).map(|_| 200.0 + 40.0 * (next() + next() + next() - 1.5)).collect();
    for _ in 0..3 {
        let (y0, x0, sharp) = (next() * ny as f32, next() * nx as f32, 0.5 + 2.0 * next());
        for p in 0..ny * nx {
            let (dy, dx) = ((p / nx) as f32 - y0, (p % nx) as f32 - x0);
            image[p] += 4000.0 * (-(dy * dy + dx * dx) / (2.0 * sharp * sharp)).exp();
        }
    }
    for _ in 0..hits {
        let p = (next() * (ny * nx) as f32) as usize % (ny * nx);
        let length = 1 + (next() * 5.0) as usize;
        (p..(p + length).min(ny * nx)).for_each(|p| image[p] += 100.0 + 2500.0 * next());
    }
    for p in 0..ny * nx {
        let (y, x) = (p / nx, p % nx);
        if y < 2 || x < 2 || y + 2 >= ny || x + 2 >= nx {
            image[p] = 200.0;
        }
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn blocks_find_what_the_plain_search_finds(
        ny in 12usize..90, nx in 12usize..110, seed in any::<u32>(), density in 20usize..400,
        separable in any::<bool>(), mean in any::<bool>(), kernel in prop::option::of((0usize..3, 0usize..4)),
        limits in (1.5f32..6.0, 0.1f32..1.0, 0.3f32..6.0), gain in prop::sample::select(vec![1.0f32, 1.5, 2.0]), masked in any::<bool>()) {
        let shape = [ny, nx];
        let image = scene(shape, seed, ny * nx / density);
        let fine_structure = kernel.map_or(FineStructure::Median, |half| {
            let half = [half.0, half.1];
            let weights = (0..(2 * half[0] + 1) * (2 * half[1] + 1)).map(|k| 1.0 / (k + 2) as f32).collect();
            FineStructure::Convolve(Kernel { weights, half })
        });
        let params = Params {
            sigclip: limits.0, sigfrac: limits.1, objlim: limits.2, gain, readnoise: 5.0, satlevel: f32::INFINITY,
            iterations: 5, separable, clean: if mean { CleanType::MeanMasked } else { CleanType::MedianMasked },
            fine_structure, wings: None,
        };
        let mask: Vec<bool> = (0..ny * nx).map(|p| masked && p % 211 == 60).collect();
        // Masks grow by one pixel, but not into the border.
        let bad = grow(&mask, shape, |_| true);
        let input = Input { pixels: &image, swapped: false, shape, mask: Some(&mask), sky: None, variance: None };
        let expected = plain(&image, shape, &bad, &params);
        for threads in [1, 3] {
            let found = detect(&input, &params, threads).unwrap();
            prop_assert_eq!(&found.counts, &expected.2);
            prop_assert!(found.mask == expected.0);
            prop_assert!(found.clean.iter().zip(&expected.1).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
