//! Every step from the raw reads to the ramp fit, in one pass over the data.
//!
//! ```text
//! DQICORR -> ZSIGCORR -> BLEVCORR -> ZOFFCORR -> errors -> NLINCORR -> DARKCORR -> UNITCORR
//! ```
//!
//! Nothing but the level of the reference pixels depends on other pixels: a short run of pixels is taken
//! through all reads and all steps while it is in cache. The steps themselves are the other files here.

use super::frame::{self, Band, RUN, Reads};
use super::image::Image;
use super::linearity;
use super::noise::Amplifiers;
use super::statistics::Mean;
use super::zero_signal;
use super::{dark, unit};
use crate::dq::SATPIXEL;
use crate::view::Region;
use crate::{Error, Result, par, simd};
use std::ops::Range;

/// What NLINFILE holds.
#[derive(Debug, Clone)]
pub struct Linearity<'a> {
    /// Coefficients of the polynomial.
    pub coefs: Vec<Image<'a, f32>>,
    /// Level of saturation, DN.
    pub node: Image<'a, f32>,
    /// Flags.
    pub dq: Image<'a, u16>,
    /// Super zero read and its uncertainty.
    pub zero: [Image<'a, f32>; 2],
}

/// The dark of one read.
#[derive(Debug, Clone, Copy)]
pub struct Dark<'a> {
    /// Signal, DN.
    pub sci: Image<'a, f32>,
    /// Uncertainty.
    pub err: Image<'a, f32>,
    /// Flags.
    pub dq: Image<'a, u16>,
}

/// The darks of an exposure.
#[derive(Debug, Clone)]
pub struct Darks<'a> {
    /// One for every read.
    pub reads: Vec<Dark<'a>>,
    /// Flags of a dark that keep a pixel out of its mean.
    pub bad: u16,
}

/// Exposure times for the conversion to rates.
#[derive(Debug, Clone)]
pub struct Times<'a> {
    /// Of the zeroth read.
    pub zeroth: f64,
    /// Of every read: one number, or one for every pixel of the frame.
    pub reads: Vec<&'a [f32]>,
}

/// Which steps to do, and with what; a step without its reference is left out.
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    /// DQICORR: flags of every pixel of the frame.
    pub bad_pixels: Option<&'a [u16]>,
    /// Whether to do ZSIGCORR, with `linearity`.
    pub zero_signal: bool,
    /// BLEVCORR: level of every read.
    pub levels: Option<&'a [f32]>,
    /// Whether to do ZOFFCORR.
    pub zero_offset: bool,
    /// Reads that are to be given errors.
    pub noise: &'a [bool],
    /// Their gain and read noise.
    pub amps: Amplifiers,
    /// NLINFILE.
    pub linearity: Option<Linearity<'a>>,
    /// Whether to do NLINCORR.
    pub linearize: bool,
    /// DARKCORR.
    pub darks: Option<Darks<'a>>,
    /// UNITCORR.
    pub times: Option<Times<'a>>,
}

/// Take the reads through the steps, in place; `region` is sensitive to light, the border around it is not.
///
/// Returns the mean of the dark of every read (over its part inside `region`), or nothing without darks.
pub fn calibrate(reads: Reads<'_>, region: &Region, steps: &Steps<'_>, threads: usize) -> Result<Vec<f32>> {
    check(&reads, steps)?;
    let shape = reads.shape;
    let bands = reads.bands();
    let count = if steps.darks.is_some() { shape[0] } else { 0 };
    // Each band sums its own rows, and the bands are joined in their order: so no thread changes a sum.
    let mut means = vec![vec![Mean::default(); count]; bands.len()];
    par::for_each(
        bands.into_iter().zip(&mut means),
        threads,
        Scratch::default,
        |scratch, (mut band, means)| {
            for y in band.y.clone() {
                for x in frame::runs(y, shape[2], region, steps.amps.split[1]) {
                    simd::run(Run { steps, region, shape, y, x, band: &mut band, means, scratch });
                }
            }
        },
    );
    let of = |r: usize| means.iter().fold(Mean::default(), |total, band| total.join(&band[r])).value();
    Ok((0..count).map(of).collect())
}

fn check(reads: &Reads<'_>, steps: &Steps<'_>) -> Result<()> {
    let [nread, ny, nx] = reads.shape;
    let size = |name, got: usize, expected: usize| match got == expected {
        true => Ok(()),
        false => Err(Error::Shape { name, got: vec![got], expected: vec![expected] }),
    };
    size("noise", steps.noise.len(), nread)?;
    if let Some(mask) = steps.bad_pixels {
        size("bad_pixels", mask.len(), ny * nx)?;
    }
    if let Some(levels) = steps.levels {
        size("levels", levels.len(), nread)?;
    }
    if let Some(darks) = &steps.darks {
        size("darks", darks.reads.len(), nread)?;
    }
    if let Some(times) = &steps.times {
        size("times", times.reads.len(), nread)?;
        for time in &times.reads {
            size("time", time.len(), if time.len() == 1 { 1 } else { ny * nx })?;
        }
    }
    if (steps.zero_signal || steps.linearize) && steps.linearity.is_none() {
        return Err(Error::value("linearity", "missing", "a reference, for ZSIGCORR or NLINCORR"));
    }
    if steps.zero_signal && nread < 2 {
        return Err(Error::value("nread", nread, "at least 2, for ZSIGCORR"));
    }
    Ok(())
}

/// What a run of pixels carries from read to read.
struct Scratch {
    /// The zeroth read before its signal was added.
    offset: [f32; RUN],
    offset_dq: [u16; RUN],
    /// The signal.
    signal: [f32; RUN],
    signal_dq: [u16; RUN],
    /// Saturated in the read before.
    saturated: [u16; RUN],
    response: Response,
    /// Dark of one read, its error and flags.
    dark: [[f32; RUN]; 2],
    dark_dq: [u16; RUN],
}

/// NLINFILE under a run.
struct Response {
    coefs: Vec<[f32; RUN]>,
    node: [f32; RUN],
    dq: [u16; RUN],
    zero: [[f32; RUN]; 2],
}

impl Response {
    #[inline(always)]
    fn read(&mut self, from: &Linearity<'_>, y: usize, x: &Range<usize>) {
        self.coefs.resize(from.coefs.len(), [0.0; RUN]);
        for (coef, into) in from.coefs.iter().zip(&mut self.coefs) {
            coef.read(y, x.clone(), into);
        }
        from.node.read(y, x.clone(), &mut self.node);
        from.dq.read(y, x.clone(), &mut self.dq);
        for (zero, into) in from.zero.iter().zip(&mut self.zero) {
            zero.read(y, x.clone(), into);
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            offset: [0.0; RUN],
            offset_dq: [0; RUN],
            signal: [0.0; RUN],
            signal_dq: [0; RUN],
            saturated: [0; RUN],
            response: Response { coefs: Vec::new(), node: [0.0; RUN], dq: [0; RUN], zero: [[0.0; RUN]; 2] },
            dark: [[0.0; RUN]; 2],
            dark_dq: [0; RUN],
        }
    }
}

/// One run of pixels through all reads.
struct Run<'a, 'b, 's> {
    steps: &'a Steps<'s>,
    region: &'a Region,
    shape: [usize; 3],
    y: usize,
    x: Range<usize>,
    band: &'a mut Band<'b>,
    /// Of the dark of every read.
    means: &'a mut [Mean],
    scratch: &'a mut Scratch,
}

impl simd::Loop for Run<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { steps, region, shape: [nread, _, nx], y, x, band, means, scratch } = self;
        let n = x.len();
        let pixels = y * nx + x.start..y * nx + x.end;
        let row = (y - band.y.start) * nx;
        let here = row + x.start..row + x.end;
        if let Some(mask) = steps.bad_pixels {
            for dq in &mut band.dq {
                add_flags(&mut dq[here.clone()], &mask[pixels.clone()]);
            }
        }
        let (offset, offset_dq) = (&mut scratch.offset[..n], &mut scratch.offset_dq[..n]);
        offset.copy_from_slice(&band.sci[0][here.clone()]);
        offset_dq.copy_from_slice(&band.dq[0][here.clone()]);
        if let Some(levels) = steps.levels {
            offset.iter_mut().for_each(|value| *value -= levels[0]);
        }
        // Where the run lies in the light-sensitive region, if it does.
        let lit = (region.y.contains(&y) && region.x.contains(&x.start))
            .then(|| (y - region.y.start, x.start - region.x.start..x.end - region.x.start));
        let (signal, signal_dq) = (&mut scratch.signal[..n], &mut scratch.signal_dq[..n]);
        let amp = steps.amps.of(y, x.start);
        if let (Some(linearity), Some((v, u))) = (&steps.linearity, &lit) {
            scratch.response.read(linearity, *v, u);
        }
        let response = &scratch.response;
        if steps.zero_signal && lit.is_some() {
            let [zsci, zerr] = &response.zero;
            let zero = zero_signal::Zero { node: &response.node, sci: zsci, err: zerr };
            let (zeroth_sci, later_sci) = band.sci.split_at_mut(1);
            let (zeroth_dq, later_dq) = band.dq.split_at_mut(1);
            zero_signal::detect(
                zero_signal::Signal { sci: signal, dq: signal_dq },
                (&mut zeroth_sci[0][here.clone()], &mut zeroth_dq[0][here.clone()]),
                (&later_sci[0][here.clone()], &mut later_dq[0][here.clone()]),
                &zero,
                amp,
            );
        }
        let saturated = &mut scratch.saturated[..n];
        saturated.fill(0);
        for r in 0..nread {
            let sci = &mut band.sci[r][here.clone()];
            let err = &mut band.err[r][here.clone()];
            let dq = &mut band.dq[r][here.clone()];
            if let Some(levels) = steps.levels {
                sci.iter_mut().for_each(|value| *value -= levels[r]);
            }
            if steps.zero_offset {
                sci.iter_mut().zip(&*offset).for_each(|(value, offset)| *value -= offset);
                add_flags(dq, offset_dq);
            }
            if lit.is_some() {
                if steps.noise[r] {
                    err.iter_mut().zip(&*sci).for_each(|(err, &sci)| *err = amp.error(sci));
                }
                if steps.linearize {
                    // Saturated once, a pixel stays so.
                    add_flags(dq, saturated);
                    let coefs = response.coefs.iter().map(|coef| &coef[..n]);
                    let response = linearity::Response { node: &response.node, dq: &response.dq };
                    let zeroth = (steps.zero_signal && r > 0).then_some((&*signal, &*signal_dq));
                    linearity::correct(sci, dq, &response, coefs, zeroth);
                }
            } else if steps.linearize {
                add_flags(dq, saturated);
            }
            if steps.linearize {
                saturated.iter_mut().zip(&*dq).for_each(|(saturated, dq)| *saturated = dq & SATPIXEL);
            }
            let Some((v, u)) = &lit else { continue };
            if let Some(darks) = &steps.darks {
                let (of, [values, errors]) = (&darks.reads[r], &mut scratch.dark);
                let values = of.sci.read(*v, u.clone(), values);
                let errors = of.err.read(*v, u.clone(), errors);
                let flags = of.dq.read(*v, u.clone(), &mut scratch.dark_dq);
                means[r].add(values, flags, darks.bad);
                dark::subtract([sci, err], dq, [values, errors], flags);
            }
            if let Some(times) = &steps.times {
                let time = match times.reads[r] {
                    _ if r == 0 => unit::Time::Zeroth(times.zeroth),
                    &[time] => unit::Time::Same(time),
                    plane => unit::Time::Each(&plane[pixels.clone()]),
                };
                unit::to_rate(sci, time);
                unit::to_rate(err, time);
            }
        }
    }
}

#[inline(always)]
fn add_flags(dq: &mut [u16], flags: &[u16]) {
    dq.iter_mut().zip(flags).for_each(|(dq, flags)| *dq |= flags);
}
