//! What follows a bright jump: its four neighbours, and the groups after it.

use super::Work;
use super::pixel::Pixel;
use crate::ramp::ols::Bits;
use crate::stack::{Flags, Sample};

/// A jump that spreads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub plane: usize,
    pub pixel: usize,
}

/// Flag the four neighbours of every place that are usable; returns the places in the first and in the last row.
pub(super) fn flag_neighbours<D: Flags>(
    dq: &mut [D],
    places: &[Place],
    [_, _, ny, nx]: [usize; 4],
    bits: &Bits,
) -> [Vec<usize>; 2] {
    let mut edges = [Vec::new(), Vec::new()];
    for &Place { plane, pixel } in places {
        let (y, x) = (pixel / nx, pixel % nx);
        let neighbours = [
            (y > 0).then(|| pixel - nx),
            (y + 1 < ny).then_some(pixel + nx),
            (x > 0).then(|| pixel - 1),
            (x + 1 < nx).then_some(pixel + 1),
        ];
        for neighbour in neighbours.into_iter().flatten() {
            flag(&mut dq[plane * ny * nx + neighbour], bits);
        }
        for (edge, row) in edges.iter_mut().zip([0, ny - 1]) {
            if y == row {
                edge.push(plane * nx + x);
            }
        }
    }
    edges
}

/// Flag a group, if it is usable.
fn flag<D: Flags>(word: &mut D, bits: &Bits) {
    if word.word() & (bits.saturated | bits.do_not_use) == 0 {
        *word = D::of(word.word() | bits.jump);
    }
}

impl<T: Sample, D: Flags> Work<'_, T, D> {
    /// Flag groups after bright jumps in a band of pixels from `first` on.
    pub(super) fn flag_after(&self, pixel: &mut Pixel, first: usize, mut planes: Vec<&mut [D]>) {
        let [nints, ngroups, ..] = self.shape;
        let jump = self.params.bits.jump;
        let mut hit = vec![false; planes.first().map_or(0, |plane| plane.len())];
        for plane in &planes {
            for (hit, word) in hit.iter_mut().zip(plane.iter()) {
                *hit |= word.word() & jump != 0;
            }
        }
        for at in (0..hit.len()).filter(|&at| hit[at]) {
            self.read(pixel, first + at);
            self.find_differences(pixel);
            // Jumps as they are now, with those of neighbours; what is added here does not spread again.
            let jumped: Vec<bool> = planes.iter().map(|plane| plane[at].word() & jump != 0).collect();
            for integration in 0..nints {
                for k in (1..ngroups).filter(|k| jumped[integration * ngroups + k]) {
                    let d = pixel.differences[integration * (ngroups - 1) + k - 1];
                    let size = (d - pixel.median) * self.time[k - 1];
                    let rules = self.params.after.iter().filter(|(least, _)| size >= *least);
                    let last = k + rules.map(|&(_, groups)| groups).max().unwrap_or(0);
                    for after in k + 1..=last.min(ngroups - 1) {
                        flag(&mut planes[integration * ngroups + after][at], &self.params.bits);
                    }
                }
            }
        }
    }

    /// Charge and flags of one pixel.
    fn read(&self, pixel: &mut Pixel, at: usize) {
        let planes = 0..self.shape[0] * self.shape[1];
        let gain = self.groups.gain.at(at);
        pixel.charge.clear();
        pixel
            .charge
            .extend(planes.clone().map(|plane| self.groups.data.run(plane, at..at + 1)[0].value() * gain));
        pixel.flags.clear();
        let word = |plane| self.groups.dq.as_ref().map_or(0, |dq| dq.run(plane, at..at + 1)[0].word());
        pixel.flags.extend(planes.map(word));
    }
}
