//! Cosmic rays in a single image by their sharp edges: L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).
//!
//! Every round finds hit pixels and replaces them, until none is found:
//!
//! ```text
//! L  = positive Laplacian of the image sampled twice as finely          laplacian.rs
//! N  = noise of the median image                                        significance.rs
//! S' = L / (2 N) less its median
//! F  = fine structure: how much of it a star could be                   fine_structure.rs, convolution.rs
//! hit: S' > sigclip and S' / F > objlim; neighbours by lower limits     select.rs
//! value: from the good pixels about it                                  clean.rs
//! wings: on request, faint neighbours of hits, once all rounds are done wings.rs
//! ```
//!
//! Masks and images are those of astroscrappy 1.3.0 to the bit, with three exceptions where that reads memory it
//! does not own or has not set: images smaller than its filters, values that are not finite, and the cleaning by a
//! plain median. There is no full-frame intermediate: blocks of 8 x 32 pixels are looked at as far as they need be,
//! and after the first round only those where something has changed.

mod clean;
mod convolution;
mod fine_structure;
mod frame;
mod laplacian;
mod load;
mod networks;
mod order;
mod peak;
mod repair;
mod saturation;
mod select;
mod session;
mod significance;
mod wings;

pub use clean::CleanType;
pub use convolution::Kernel;
pub use load::{LARGEST, Pixel};

use crate::{Error, Result};
use session::Session;

/// How the fine structure is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum FineStructure {
    /// By medians.
    Median,
    /// By convolution with a point spread function.
    Convolve(Kernel),
}

/// Limits and choices; see astroscrappy's manual for advice.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Limit of S'.
    pub sigclip: f32,
    /// Limit of neighbours, as a fraction of `sigclip`.
    pub sigfrac: f32,
    /// Limit of S' / F.
    pub objlim: f32,
    /// Electrons per unit of the input.
    pub gain: f32,
    /// Read noise, electrons.
    pub readnoise: f32,
    /// Saturation level, electrons.
    pub satlevel: f32,
    /// Rounds at most.
    pub iterations: usize,
    /// Separable medians, or true ones of smaller windows.
    pub separable: bool,
    /// How to fill.
    pub clean: CleanType,
    /// Fine structure.
    pub fine_structure: FineStructure,
    /// Limit of the wings of hits, sigma; None: as L.A.Cosmic, which does not look for them.
    pub wings: Option<f32>,
}

impl Params {
    /// Limit of S' for the neighbours of hits.
    pub fn growth_limit(&self) -> f32 {
        self.sigfrac * self.sigclip
    }

    /// How far a changed pixel changes the answer of others.
    fn reach(&self) -> [usize; 2] {
        let half = significance::half(self.separable);
        let grown = 2;
        match &self.fine_structure {
            FineStructure::Median => [2 * half + grown; 2],
            FineStructure::Convolve(kernel) => kernel.half.map(|k| k + 4 + half + grown),
        }
    }

    fn check(&self) -> Result<()> {
        let positive = |value: f32| value > 0.0 && value.is_finite();
        if !positive(self.gain) {
            return Err(Error::value("gain", self.gain, "a positive number"));
        }
        if !(self.readnoise >= 0.0 && self.readnoise.is_finite()) {
            return Err(Error::value("readnoise", self.readnoise, "0 or more"));
        }
        for (name, value) in [("sigclip", self.sigclip), ("sigfrac", self.sigfrac), ("objlim", self.objlim)] {
            if value.is_nan() {
                return Err(Error::value(name, value, "a number"));
            }
        }
        if self.wings.is_some_and(|limit| !positive(limit)) {
            return Err(Error::value("grow", self.wings.unwrap_or(0.0), "a positive number"));
        }
        if self.satlevel.is_nan() {
            return Err(Error::value("satlevel", self.satlevel, "a number, or infinity"));
        }
        Ok(())
    }
}

/// An image and what is known of it.
#[derive(Clone, Copy)]
pub struct Input<'a, P> {
    /// Pixels with their sky, row by row.
    pub pixels: &'a [P],
    /// Whether their bytes are in the other order.
    pub swapped: bool,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// True where a pixel is bad.
    pub mask: Option<&'a [bool]>,
    /// Sky, electrons.
    pub sky: Option<&'a [f32]>,
    /// Variance, in squares of the pixels' unit.
    pub variance: Option<&'a [f32]>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// True where a pixel is hit.
    pub mask: Vec<bool>,
    /// The image with those replaced, in its own unit.
    pub clean: Vec<f32>,
    /// Pixels selected in each round; those of earlier rounds may be among them.
    pub counts: Vec<usize>,
}

/// Find and replace the hit pixels of an image.
pub fn detect<P: Pixel>(input: &Input<'_, P>, params: &Params, threads: usize) -> Result<Detection> {
    params.check()?;
    let shape = input.shape;
    let size = shape[0] * shape[1];
    let expect = |name, got: Option<usize>| match got {
        Some(got) if got != size => {
            Err(Error::Shape { name, got: vec![got], expected: vec![shape[0], shape[1]] })
        }
        _ => Ok(()),
    };
    expect("data", Some(input.pixels.len()))?;
    expect("mask", input.mask.map(<[bool]>::len))?;
    expect("background", input.sky.map(<[f32]>::len))?;
    expect("variance", input.variance.map(<[f32]>::len))?;
    if size == 0 {
        return Err(Error::value("data", "empty", "at least one pixel"));
    }
    Ok(Session::open(input, params, threads).run(input))
}
