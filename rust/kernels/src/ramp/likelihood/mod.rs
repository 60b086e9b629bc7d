//! Generalised least squares on the differences between reads, with likelihood-ratio search for hits.
//!
//! The differences of a ramp share read noise, and photon noise where reads are averaged: their covariance is
//! tridiagonal ([`covariance`]). Given it, rate, error and chi square cost a handful of operations a difference
//! ([`system`]), and so does the answer to "how much better would the fit be without this difference?", which finds
//! hits ([`jumps`]). The covariance depends on the rate: the search takes it from the median ([`guess`]), the final
//! fit from the search. Arithmetic is float64. Rooms: [`samples`] which samples count, [`load`] how they become
//! differences, [`block`] the order of work, [`products`] where the answers go; [`pedestal`] fits the reset level too.
//!
//! After Brandt 2024a,b (PASP 136, 045004 and 045005). Masks and rates are those of the peers fitramp and stcal's
//! LIKELY (`tests/golden/test_likelihood.py`) but for three faults of theirs: here hits in symmetric ramps without
//! signal are found, ramps that saturate early are not taken for hit, and neighbours that are left out together
//! leave rate and error right.

mod block;
mod covariance;
mod differences;
pub(crate) mod guess;
mod jumps;
mod load;
mod pedestal;
mod products;
mod samples;
mod system;
pub(crate) mod tile;

pub use covariance::Pattern;
pub use differences::{Coefficients, Differences, Priors, Solution, fit_differences, search_differences};
pub use jumps::Thresholds;
pub use pedestal::Prior;
pub use products::{Fit, Found};
pub use samples::Rule;

use crate::view::{Region, Source, expect_shape};
use crate::{Error, Result, par};
use block::{Block, Plan};
use covariance::Covariance;

/// A number for every pixel.
#[derive(Debug, Clone, Copy)]
pub enum Image<'a> {
    /// The same for all.
    Same(f64),
    /// One each, `(ny, nx)`.
    Each(&'a [f32]),
}

impl Image<'_> {
    /// Refuse an image of another shape, and numbers that can be of no pixel.
    pub(in crate::ramp) fn check(&self, name: &'static str, [ny, nx]: [usize; 2]) -> Result<()> {
        match self {
            Image::Each(values) if values.len() != ny * nx => {
                Err(Error::Shape { name, got: vec![values.len()], expected: vec![ny, nx] })
            }
            Image::Same(value) if !(*value >= 0.0 && value.is_finite()) => {
                Err(Error::value(name, value, "a finite number, 0 or more"))
            }
            _ => Ok(()),
        }
    }
}

/// A background that was subtracted from the signal, whose noise remains.
#[derive(Clone, Copy)]
pub enum Removed<'a> {
    /// None.
    Nothing,
    /// The signal before.
    Untouched(&'a dyn Source<f64>),
    /// Its rate between each read and the one before, in the unit of the signal, and each pixel's response to it.
    Rates(&'a [f64], Option<&'a [f32]>),
}

/// Samples of one exposure.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    /// Signal.
    pub sci: &'a dyn Source<f64>,
    /// What was subtracted from it.
    pub removed: Removed<'a>,
    /// Flags; none: all samples are good.
    pub dq: Option<&'a dyn Source<u16>>,
    /// Differences to leave out, `(nread - 1, ny, nx)`.
    pub mask: Option<&'a dyn Source<bool>>,
    /// Samples to leave out, with the differences on both sides.
    pub excluded: &'a [bool],
    /// Factor that makes the signal of each read accumulate: its exposure time if it is a rate, else 1. A first
    /// sample with 0 is 0.
    pub scale: &'a [f64],
    /// When they were taken.
    pub pattern: Pattern<'a>,
    /// Electrons per unit of the signal.
    pub gain: Image<'a>,
    /// Noise of one read, electrons.
    pub read_noise: Image<'a>,
    /// Charge that has been subtracted but whose noise remains, electrons per second.
    pub dark: Image<'a>,
    /// Count rate that the search takes the covariance for, units of the signal per second; none: the median of the
    /// usable differences.
    pub guess: Option<Image<'a>>,
}

/// How to search, and what to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Thresholds of the search; none: no search.
    pub thresholds: Option<Thresholds>,
    /// How flags are read.
    pub rule: Rule,
    /// What to report beside rates.
    pub wanted: Wanted,
}

/// What to report beside rates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wanted {
    /// Uncertainties.
    pub err: bool,
    /// Their two parts, as variances.
    pub variances: bool,
    /// Chi square and degrees of freedom.
    pub goodness: bool,
    /// Exposure time and number of samples used.
    pub exposure: bool,
    /// The list of hits.
    pub hits: bool,
    /// Flags: of the product, and of every read with what was found.
    pub flags: bool,
    /// The signal at time 0, and what is known of it.
    pub pedestal: Option<Prior>,
}

impl Wanted {
    fn details(&self) -> bool {
        self.variances || self.goodness
    }
}

/// Fit the ramp of every pixel in `region`.
pub fn fit_gls(reads: &Reads<'_>, region: &Region, params: &Params, threads: usize) -> Result<Fit> {
    check(reads, params)?;
    let cov = Covariance::new(&reads.pattern)?;
    let pedestal = params.wanted.pedestal.is_some();
    let with_first = if pedestal { Some(cov.with_first(&reads.pattern)?) } else { None };
    let plan = Plan::new(cov, with_first, reads.guess.is_some());
    let shape @ [nread, ny, _] = reads.sci.shape();
    let mut fit = Fit::new(shape, region, &params.wanted);
    let mut side = vec![products::Side::default(); ny.div_ceil(products::BAND_ROWS)];
    let bands = products::cut(&mut fit, region, shape, &mut side);
    let work = products::Work { plan, reads, region, params };
    par::for_each(
        bands,
        threads,
        || Block::new(nread, !matches!(reads.removed, Removed::Nothing), pedestal),
        |block, band| work.fill(block, band),
    );
    fit.gather(side);
    Ok(fit)
}

fn check(reads: &Reads<'_>, params: &Params) -> Result<()> {
    let [nread, ny, nx] = reads.sci.shape();
    let shape = reads.sci.shape();
    if let Some(dq) = reads.dq {
        expect_shape("dq", dq, shape)?;
    }
    if let Some(mask) = reads.mask {
        expect_shape("mask", mask, [nread.saturating_sub(1), ny, nx])?;
    }
    match reads.removed {
        Removed::Nothing => {}
        Removed::Untouched(untouched) => expect_shape("untouched", untouched, shape)?,
        Removed::Rates(rates, response) => {
            if rates.len() + 1 != nread {
                return Err(Error::Shape {
                    name: "removed",
                    got: vec![rates.len()],
                    expected: vec![nread - 1],
                });
            }
            if let Some(response) = response
                && response.len() != ny * nx
            {
                return Err(Error::Shape {
                    name: "response",
                    got: vec![response.len()],
                    expected: vec![ny, nx],
                });
            }
        }
    }
    if params.wanted.flags && reads.dq.is_none() {
        return Err(Error::value("dq", "missing", "flags, where flags are asked for"));
    }
    if let Some(Prior { value, sigma }) = params.wanted.pedestal {
        if !(value.is_finite() && sigma > 0.0) {
            return Err(Error::value(
                "pedestal",
                format!("{value}, {sigma}"),
                "a number, and its uncertainty",
            ));
        }
        if !matches!(reads.removed, Removed::Nothing) {
            return Err(Error::value("pedestal", "asked for", "none where a background has been subtracted"));
        }
    }
    for (name, got) in [("excluded", reads.excluded.len()), ("scale", reads.scale.len())] {
        if got != nread {
            return Err(Error::Shape { name, got: vec![got], expected: vec![nread] });
        }
    }
    let guess = reads.guess.unwrap_or(Image::Same(0.0));
    let images =
        [("gain", reads.gain), ("read_noise", reads.read_noise), ("dark", reads.dark), ("rate_guess", guess)];
    for (name, image) in images {
        image.check(name, [ny, nx])?;
    }
    params.thresholds.as_ref().map_or(Ok(()), Thresholds::check)
}
