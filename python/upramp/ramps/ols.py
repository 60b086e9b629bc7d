"""Weighted least squares in segments between hits, as JWST's pipeline fits its ramps, on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import count_threads
from upramp.ramps._stack import as_image, as_per_pixel, as_stack, as_words

__all__ = ["OlsFit", "RampBits", "RateImages", "SegmentImages", "fit_ols"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RampBits:
    """What the DQ bits of groups mean; by default those of JWST and Roman.

    Parameters
    ----------
    do_not_use : int
        Group is not to be used.
    saturated : int
        Group is saturated.
    jump : int
        Charge has jumped since the group before.
    persistence : int
        Group holds persistence: used all the same.
    charge_loss : int
        Group has lost charge to its neighbours: it is kept out by `do_not_use`, but the read noise is reported as
        if it were not. 0: no such bit.
    no_gain : int
        Of the product: the pixel has no gain.
    """

    do_not_use: int = 1
    saturated: int = 2
    jump: int = 4
    persistence: int = 32
    charge_loss: int = 128
    no_gain: int = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class RateImages:
    """Count rates of an exposure, (ny, nx), or of its integrations, (nints, ny, nx)."""

    rate: NDArray[np.float32]
    """Count rate, unit of the cube per second; NaN where there is none."""
    var_poisson: NDArray[np.float32]
    """Variance of `rate` from photons and dark current."""
    var_rnoise: NDArray[np.float32]
    """Variance of `rate` from read noise."""
    err: NDArray[np.float32]
    """Uncertainty of `rate`."""
    dq: NDArray[np.uint32]
    """DQ: that of the pixel, with the bits for jumps, persistence, saturation of any group, and no rate."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentImages:
    """What :func:`fit_ols` knows of each segment, (nints, most segments, ny, nx); 0 where there is none."""

    rate: NDArray[np.float32]
    """Count rate of the segment."""
    sigma_rate: NDArray[np.float32]
    """Uncertainty of its slope by the weights of the fit alone, electrons per group."""
    var_poisson: NDArray[np.float32]
    """Variance of the rate from photons and dark current."""
    var_rnoise: NDArray[np.float32]
    """Variance of the rate from read noise."""
    intercept: NDArray[np.float32]
    """Where the line passes the first group of the ramp, unit of the cube."""
    sigma_intercept: NDArray[np.float32]
    """Its uncertainty by the weights of the fit alone, electrons."""
    weight: NDArray[np.float32]
    """Weight of the segment: 1 / var_rnoise."""
    pedestal: NDArray[np.float32]
    """Signal at the start of the ramp, (nints, ny, nx)."""
    hits: NDArray[np.float32]
    """Differences that hold a hit, in order of time, (nints, most hits, ny, nx)."""


@dataclass(frozen=True, slots=True, eq=False)
class OlsFit:
    """Result of :func:`fit_ols`."""

    rate: NDArray[np.float32]
    """Count rate, (ny, nx), unit of the cube per second; NaN where there is none."""
    err: NDArray[np.float32]
    """Uncertainty of `rate`."""
    var_poisson: NDArray[np.float32]
    """Variance of `rate` from photons and dark current."""
    var_rnoise: NDArray[np.float32]
    """Variance of `rate` from read noise."""
    dq: NDArray[np.uint32]
    """DQ of the pixels, see :class:`RateImages`."""
    integrations: RateImages | None
    """The same of every integration."""
    segments: SegmentImages | None
    """The same of every segment."""
    suppressed: NDArray[np.int64]
    """Ramps of a lone good group that were suppressed: integration, y and x of each, (n, 3)."""


def fit_ols(
    cube: ArrayLike,
    *,
    group_time: float,
    read_noise: ArrayLike,
    gain: ArrayLike = 1.0,
    dark: ArrayLike = 0.0,
    dq: ArrayLike | None = None,
    pixel_dq: ArrayLike | None = None,
    zeroframe: ArrayLike | None = None,
    bits: RampBits | None = None,
    nframes: int = 1,
    groupgap: int = 0,
    frame_time: float | None = None,
    drop_frames: int = 0,
    suppress_one_group: bool = True,
    integrations: bool = True,
    segments: bool = False,
    parity: bool = False,
    threads: int | None = None,
) -> OlsFit:
    r"""Fit the ramp of every pixel by weighted least squares in segments between hits (Fixsen et al. 2000).

    Parameters
    ----------
    cube : (nints, ngroups, ny, nx) or (nread, ny, nx) array_like of float32 or uint16
        Groups (reads, or means of several frames), the same time apart, in order of time. Other numbers are
        converted to float32. Rows that lie together in memory are read where they are.
    group_time : float
        Seconds from one group to the next.
    read_noise : float or (ny, nx) array_like
        Noise of one frame, electrons (of the difference of two frames: divide by the root of two).
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube. Pixels where it is not positive have no answer.
    dark : float or (ny, nx) array_like, optional
        Dark current that has been subtracted from the cube but whose noise remains, unit of the cube per second.
    dq : array_like of uint8 or uint16, optional
        DQ bits of every group, shaped as the cube.
    pixel_dq : (ny, nx) array_like of uint32, optional
        DQ bits of the pixels, for the products. Pixels not to be used have no rate.
    zeroframe : (nints, ny, nx) or (ny, nx) array_like of float32, optional
        First frame of each integration, to use where no group is good; 0 where it cannot be used.
    bits : RampBits, optional
        Meaning of the DQ bits.
    nframes, groupgap : int, optional
        Frames averaged in a group, and dropped between groups.
    frame_time : float, optional
        Seconds from one frame to the next; by default group_time / (nframes + groupgap).
    drop_frames : int, optional
        Frames dropped before the first group, for the pedestal.
    suppress_one_group : bool, optional
        Whether ramps of a single good group have no rate. Otherwise the rate is that group over its time, which
        takes the ramp to start at 0; and the zeroth frame is used.
    integrations : bool, optional
        Whether to give the rate of every integration.
    segments : bool, optional
        Whether to give what is known of every segment.
    parity : bool, optional
        Give the results of stcal 1.20's OLS_C, faults included.
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    OlsFit
        Of the exposure; and of integrations and segments, if asked for.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range; the message names it.

    See Also
    --------
    upramp.ramps.fit_gls : optimal, for any sample times.
    upramp.ramps.find_jumps : the flags that cut ramps into segments.

    Notes
    -----
    A segment is a run of groups without flags; a group flagged as a jump and nothing else begins the one behind it.
    Segments of one group count only in ramps without a longer one. The weights of its n groups are

    .. math:: w_k = \left|\frac{k - m}{m}\right|^P, \quad m = \frac{n - 1}{2},

    with P = 0, 0.4, 1, 3, 6, 10 for signal to noise ratios below 5, 10, 20, 50, 100 and above. With group time t,
    gain g, noise s of a group and r the median of the pixel's differences per second (averaged over integrations),

    .. math:: \sigma_\gamma^2 = \frac{r + \mathrm{dark}}{g t (n - 1)}, \qquad
              \sigma_r^2 = \frac{12 s^2}{g^2 t^2 (n^3 - n)};

    segments and integrations are averaged with weights :math:`1 / \sigma_r^2`.

    With `parity` every product agrees with stcal's to float32 rounding, and every DQ word
    (``tests/golden/test_ols.py``, ``tests/compat/test_stcal.py``). Without, where stcal's is wrong, this differs:

    * a variance of 1e6 and more is given as it is; stcal makes it 0, and with it the rate;
    * a ramp all of whose groups are flagged has no rate (NaN, DO_NOT_USE), whatever the flags; stcal's is 0;
    * a sample that is not a finite number counts as DO_NOT_USE; stcal takes it for 0, in the brightest class;
    * a pixel without read noise is fitted; stcal's rate is NaN. One whose noise is negative or not a number has no
      rate and gets DO_NOT_USE;
    * where there is no rate there are no variances (NaN); stcal's are 0;
    * the pedestal takes the rate times the group time; stcal's takes the rate alone.

    References
    ----------
    .. [1] Fixsen et al. 2000, PASP 112, 1350.
    """
    if nframes < 1 or groupgap < 0 or drop_frames < 0:
        got = f"nframes {nframes}, groupgap {groupgap}, drop_frames {drop_frames}"
        raise ValueError(f"{got}: expected at least one frame, and no negative number")
    data = as_stack("cube", cube)
    shape = data.shape[2:]
    flags = None if dq is None else as_words("dq", dq, data.shape)
    if frame_time is None:
        frame_time = group_time / (nframes + groupgap)
    noise = as_per_pixel("read_noise", read_noise, shape)
    if nframes > 1:
        noise = as_per_pixel("read_noise", noise / np.float32(np.sqrt(nframes)), shape)
    bits = bits or RampBits()
    return fit_groups(
        data,
        flags,
        # The samples are not changed, and neither are the flags: these are the original ones.
        original=flags if bits.charge_loss else None,
        pixel_dq=None if pixel_dq is None else as_image("pixel_dq", pixel_dq, np.uint32, shape),
        zeroframe=None if zeroframe is None else _as_frames(zeroframe, data.shape),
        gain=as_per_pixel("gain", gain, shape),
        group_noise=noise,
        dark=as_per_pixel("dark", dark, shape),
        group_time=group_time,
        frame_time=frame_time,
        nframes=nframes,
        pedestal=((nframes + 1) / 2 + drop_frames) / (nframes + groupgap),
        bits=bits,
        suppress=suppress_one_group and data.shape[1] > 1,
        lone_first=not suppress_one_group or data.shape[1] == 1,
        integrations=integrations,
        segments=segments,
        parity=parity,
        threads=count_threads(threads),
    )


def fit_groups(
    data: NDArray[Any],
    dq: NDArray[Any] | None,
    *,
    original: NDArray[Any] | None,
    pixel_dq: NDArray[np.uint32] | None,
    zeroframe: NDArray[np.float32] | None,
    gain: float | NDArray[np.float32],
    group_noise: float | NDArray[np.float32],
    dark: float | NDArray[np.float32],
    group_time: float,
    frame_time: float,
    nframes: int,
    pedestal: float,
    bits: RampBits,
    suppress: bool,
    lone_first: bool,
    integrations: bool,
    segments: bool,
    parity: bool,
    threads: int,
) -> OlsFit:
    """Do the work of :func:`fit_ols` on arrays that have been checked.

    Parameters
    ----------
    data, dq : ndarray
        As the arguments of :func:`fit_ols`.
    original : ndarray or None
        DQ before any ramp was suppressed, if the read noise is to be reported as if no charge had been lost.
    pixel_dq, zeroframe, gain, dark, group_time, frame_time, nframes, bits : optional
        As there.
    group_noise : float or ndarray
        Noise of a group, electrons.
    pedestal : float
        Groups from the start of the ramp to the middle of the first group.
    suppress, lone_first : bool
        Whether ramps of one good group are suppressed; whether they are fitted with the time of that group.
    integrations, segments, parity, threads : optional
        As there.
    """
    rate, each, known, places = _core.fit_ols(
        data,
        dq,
        original,
        pixel_dq,
        zeroframe,
        gain,
        group_noise,
        dark,
        (group_time, (nframes + 1) * frame_time / 2, frame_time, pedestal),
        bits,
        suppress=suppress,
        lone_first=lone_first,
        integrations=integrations,
        segments=segments,
        parity=parity,
        threads=threads,
    )
    (image, var_poisson, var_rnoise, err), flags = rate
    nints, _, ny, nx = data.shape
    return OlsFit(
        rate=image,
        err=err,
        var_poisson=var_poisson,
        var_rnoise=var_rnoise,
        dq=flags,
        integrations=None if each is None else _rate_images(*each),
        segments=None if known is None else _segment_images(*known),
        suppressed=np.stack(np.unravel_index(places, (nints, ny, nx)), axis=-1),
    )


def _rate_images(images: list[NDArray[np.float32]], dq: NDArray[np.uint32]) -> RateImages:
    rate, var_poisson, var_rnoise, err = images
    return RateImages(rate=rate, var_poisson=var_poisson, var_rnoise=var_rnoise, err=err, dq=dq)


def _segment_images(
    images: list[NDArray[np.float32]], pedestal: NDArray[np.float32], hits: NDArray[np.float32]
) -> SegmentImages:
    rate, sigma_rate, var_poisson, var_rnoise, intercept, sigma_intercept, weight = images
    return SegmentImages(
        rate=rate,
        sigma_rate=sigma_rate,
        var_poisson=var_poisson,
        var_rnoise=var_rnoise,
        intercept=intercept,
        sigma_intercept=sigma_intercept,
        weight=weight,
        pedestal=pedestal,
        hits=hits,
    )


def _as_frames(zeroframe: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    nints, _, ny, nx = shape
    frames = np.asarray(zeroframe)
    if frames.ndim == 2:
        frames = frames[None]
    return as_image("zeroframe", frames, np.float32, (nints, ny, nx))
