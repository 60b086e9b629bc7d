//! Weighted least squares in segments between hits, as stcal's OLS_C does it.
//!
//! A ramp is cut where groups are flagged ([`segments`]). Each segment is a straight line, fitted with weights that
//! depend on its signal to noise ratio ([`weights`]); of n groups, t apart, with gain g, noise s of a group and rate r,
//!
//! var_poisson = (r + dark) / (g t (n - 1)),  var_rnoise = 12 s^2 / (g^2 t^2 (n^3 - n)).
//!
//! r is the median of the differences of the pixel's ramps, averaged over integrations. Segments, and integrations,
//! are combined with weights 1 / var_rnoise. Arithmetic is float64. Pixels without flags are worked side by side
//! ([`block`]), others one by one ([`ramp`]), with the same results to rounding.
//!
//! With `parity` all products are stcal 1.20's to float32 rounding (`tests/golden/test_ols.py`). Without, its faults
//! are mended: a variance of 10^6 and more stays what it is, and the slope too; ramps whose groups are all flagged
//! have no slope, whatever the flag; a pixel without read noise is fitted; a sample that is not a number is left
//! out; the pedestal is right for any group time; and what has no slope has no variance instead of 0.

mod block;
mod lanes;
mod ramp;
mod segments;
mod weights;

pub use segments::Bits;

use crate::simd::zeros;
use crate::stack::{Flags, PerPixel, Sample, Stack, cut};
use crate::{Error, Result, par};
use block::{Block, Work};

/// Rows worked by one thread at a time.
const BAND_ROWS: usize = 8;
/// Images of what is known of a segment.
pub(super) const SEGMENT_IMAGES: usize = 7;

/// Samples of one exposure.
#[derive(Debug, Clone)]
pub struct Groups<'a, T, D> {
    /// Signal.
    pub data: Stack<'a, T>,
    /// Flags of the groups; none: all are good.
    pub dq: Option<Stack<'a, D>>,
    /// Flags as they were before lone groups were suppressed, for the read noise of ramps that lost charge.
    pub original: Option<Stack<'a, D>>,
    /// Flags of the pixels, `(ny, nx)`; none: all are good.
    pub pixel_dq: Option<&'a [u32]>,
    /// First read of the first group, `(nints, ny, nx)`, to use where all groups are flagged; 0: none.
    pub zeroframe: Option<&'a [f32]>,
    /// Electrons per unit of the signal.
    pub gain: PerPixel<'a>,
    /// Noise of a group, electrons.
    pub read_noise: PerPixel<'a>,
    /// Dark current, units of the signal per second.
    pub dark: PerPixel<'a>,
}

/// How to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Seconds from one group to the next.
    pub group_time: f64,
    /// Seconds of the first group's mean read.
    pub first_time: f64,
    /// Seconds of the zeroth frame.
    pub frame_time: f64,
    /// Groups from the start of the ramp to the mean read of the first group.
    pub pedestal: f64,
    /// Meaning of flags.
    pub bits: Bits,
    /// Flag ramps of a single good group as not to be used.
    pub suppress: bool,
    /// Use the first group if it is the only good one, or else the zeroth frame, with their own times.
    pub lone_first: bool,
    /// Report every integration.
    pub integrations: bool,
    /// Report every segment.
    pub segments: bool,
    /// stcal's own results, faults included.
    pub parity: bool,
}

/// Images of one rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Products {
    /// Count rate, units of the signal per second; NaN where there is none.
    pub slope: Vec<f32>,
    /// Its variance from photons and dark current.
    pub var_poisson: Vec<f32>,
    /// Its variance from read noise.
    pub var_rnoise: Vec<f32>,
    /// Its uncertainty.
    pub err: Vec<f32>,
    /// Flags.
    pub dq: Vec<u32>,
}

impl Products {
    fn new(len: usize) -> Self {
        let image = || zeros(len);
        Self { slope: image(), var_poisson: image(), var_rnoise: image(), err: image(), dq: zeros(len) }
    }
}

/// What is known of every segment, `(nints, most, ny, nx)`; 0 where there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segments {
    /// Most segments of a ramp.
    pub most: usize,
    /// Most hits of a ramp.
    pub most_hits: usize,
    /// Slope, its uncertainty in signal per group, variances from photons and read noise, intercept, its
    /// uncertainty, and weight.
    pub images: [Vec<f32>; SEGMENT_IMAGES],
    /// Signal at the start of the ramp, `(nints, ny, nx)`.
    pub pedestal: Vec<f32>,
    /// Differences that hold a hit, `(nints, most_hits, ny, nx)`.
    pub hits: Vec<f32>,
}

/// The answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fit {
    /// Rate of the exposure, `(ny, nx)`.
    pub exposure: Products,
    /// Rates of the integrations, `(nints, ny, nx)`.
    pub integrations: Products,
    /// Segments.
    pub segments: Segments,
    /// Ramps that were suppressed, as places in `(nints, ny, nx)`, in order.
    pub suppressed: Vec<usize>,
}

/// The rows of one thread.
struct Band<'a> {
    /// Its first pixel, and their number.
    first: usize,
    len: usize,
    exposure: BandProducts<'a>,
    integrations: BandProducts<'a>,
    images: Vec<Vec<&'a mut [f32]>>,
    pedestal: Vec<&'a mut [f32]>,
    hits: Vec<&'a mut [f32]>,
    suppressed: &'a mut Vec<usize>,
}

/// Products of a band: per image (slope, var_poisson, var_rnoise, err), planes.
struct BandProducts<'a> {
    images: [Vec<&'a mut [f32]>; 4],
    dq: Vec<&'a mut [u32]>,
}

/// Fit the ramps of every pixel.
pub fn fit_ols<T: Sample, D: Flags>(
    groups: &Groups<'_, T, D>,
    params: &Params,
    threads: usize,
) -> Result<Fit> {
    check(groups, params)?;
    let [nints, ngroups, ny, nx] = groups.data.shape();
    let (plane, band) = (ny * nx, BAND_ROWS * nx);
    let work = Work::new(groups, params);
    let scratch = || Block::new(nints, ngroups);
    let bands = || (0..plane).step_by(band).map(|first| (first, band.min(plane - first)));

    let mut segments = Segments::default();
    if params.segments {
        let mut room: Vec<_> = bands().map(|(first, len)| (first, len, [0; 2])).collect();
        par::for_each(&mut room, threads, scratch, |block, (first, len, most)| {
            *most = work.count(block, *first, *len);
        });
        for (_, _, most) in room {
            segments.most = segments.most.max(most[0]);
            segments.most_hits = segments.most_hits.max(most[1]);
        }
        segments.images = [(); SEGMENT_IMAGES].map(|()| zeros(nints * segments.most * plane));
        segments.pedestal = zeros(nints * plane);
        segments.hits = zeros(nints * segments.most_hits * plane);
    }
    let each = if params.integrations { nints * plane } else { 0 };
    let (mut exposure, mut integrations) = (Products::new(plane), Products::new(each));
    let mut suppressed = vec![Vec::new(); ny.div_ceil(BAND_ROWS)];
    let mut exposures = cut_products(&mut exposure, plane, band).into_iter();
    let mut each = cut_products(&mut integrations, plane, band).into_iter();
    let mut images = segments.images.each_mut().map(|image| cut(image, plane, band).into_iter());
    let mut pedestals = cut(&mut segments.pedestal, plane, band).into_iter();
    let mut hits = cut(&mut segments.hits, plane, band).into_iter();
    let items: Vec<_> = bands()
        .zip(&mut suppressed)
        .filter_map(|((first, len), suppressed)| {
            let images = images.each_mut().map(|bands| bands.next().unwrap_or_default());
            Some(Band {
                first,
                len,
                exposure: exposures.next()?,
                integrations: each.next()?,
                images: images.into(),
                pedestal: pedestals.next()?,
                hits: hits.next()?,
                suppressed,
            })
        })
        .collect();
    par::for_each(items, threads, scratch, |block, band| work.fill(block, band));
    let mut suppressed: Vec<usize> = suppressed.into_iter().flatten().collect();
    suppressed.sort_unstable();
    Ok(Fit { exposure, integrations, segments, suppressed })
}

fn cut_products(products: &mut Products, plane: usize, band: usize) -> Vec<BandProducts<'_>> {
    let Products { slope, var_poisson, var_rnoise, err, dq } = products;
    let mut images = [slope, var_poisson, var_rnoise, err].map(|image| cut(image, plane, band).into_iter());
    cut(dq, plane, band)
        .into_iter()
        .map(|dq| BandProducts {
            images: images.each_mut().map(|bands| bands.next().unwrap_or_default()),
            dq,
        })
        .collect()
}

fn check<T, D>(groups: &Groups<'_, T, D>, params: &Params) -> Result<()> {
    let [nints, ngroups, ny, nx] = groups.data.shape();
    if nints * ngroups * ny * nx == 0 {
        return Err(Error::Shape {
            name: "data",
            got: groups.data.shape().to_vec(),
            expected: vec![1, 1, 1, 1],
        });
    }
    if let Some(dq) = &groups.dq {
        groups.data.same_shape("dq", dq)?;
    }
    if let Some(original) = &groups.original {
        groups.data.same_shape("original", original)?;
    }
    let image = |name, len: Option<usize>, expected: Vec<usize>| match len {
        Some(len) if len != expected.iter().product() => Err(Error::Shape { name, got: vec![len], expected }),
        _ => Ok(()),
    };
    image("pixel_dq", groups.pixel_dq.map(<[u32]>::len), vec![ny, nx])?;
    image("zeroframe", groups.zeroframe.map(<[f32]>::len), vec![nints, ny, nx])?;
    groups.gain.check("gain", [ny, nx])?;
    groups.read_noise.check("read_noise", [ny, nx])?;
    groups.dark.check("dark", [ny, nx])?;
    for (name, time) in [
        ("group_time", params.group_time),
        ("first_time", params.first_time),
        ("frame_time", params.frame_time),
    ] {
        // The peer takes any number.
        let sound = time > 0.0 && time.is_finite();
        if !(sound || params.parity) {
            return Err(Error::value(name, time, "a positive number of seconds"));
        }
    }
    Ok(())
}
