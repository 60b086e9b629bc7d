"""Cosmic rays that hit many pixels at once, snowballs and showers, found by stcal where it is installed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ramps._stack import as_image, as_per_pixel, as_stack, as_words
from upramp.ramps.ols import RampBits

__all__ = ["LargeEvents", "ShowerRule", "SnowballRule", "find_showers", "find_snowballs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowballRule:
    """What :func:`find_snowballs` takes for a snowball; defaults are those of JWST.

    Parameters
    ----------
    least_jump_area, least_saturated_area : float
        Least areas of a patch of jumps, and of newly saturated pixels in it.
    growth : float
        Factor by which the ellipse around the patch is widened.
    saturation_required : bool
        Whether a patch must hold newly saturated pixels, unless it is near an edge.
    least_core : float
        Saturated ellipses whose minor axis is longer are widened too, for all later groups.
    core_growth : float
        By so many pixels.
    edge : int
        Pixels that are near an edge.
    widest : float
        Longest axis of any ellipse.
    persistence : int
        Groups of the next integration in which saturated cores are flagged as jumps.
    """

    least_jump_area: float = 5
    least_saturated_area: float = 1
    growth: float = 2.0
    saturation_required: bool = True
    least_core: float = 2.5
    core_growth: float = 2
    edge: int = 25
    widest: float = 200
    persistence: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowerRule:
    """What :func:`find_showers` takes for a shower; defaults are those of JWST.

    Parameters
    ----------
    threshold : float
        Least signal to noise ratio of a difference, after smoothing.
    least_area : float
        Least area above it.
    inner, outer : float
        Inner radius and width of the ring that smoothes.
    growth : float
        Factor by which the ellipse around the area is widened.
    later : int
        Groups after a shower that are flagged too.
    most : float
        A pixel whose mean difference changes by more, in electrons, keeps its flags: it was no shower.
    widest : float
        Longest axis of any ellipse.
    clip : int
        With so many integrations the noise is that of each difference over them.
    """

    threshold: float = 1.2
    least_area: float = 90
    inner: float = 1
    outer: float = 2.6
    growth: float = 1.2
    later: int = 5
    most: float = 6
    widest: float = 200
    clip: int = 100


class LargeEvents(NamedTuple):
    """Result of :func:`find_snowballs` and :func:`find_showers`."""

    dq: NDArray[Any]
    """DQ of every group, (nints, ngroups, ny, nx), with the bits for jumps (and saturation) of the events."""
    number: int
    """Events, counted anew in every group."""


def find_snowballs(
    dq: ArrayLike, *, rule: SnowballRule | None = None, bits: RampBits | None = None
) -> LargeEvents:
    """Flag the surroundings of patches of jumps with a saturated core (snowballs).

    Parameters
    ----------
    dq : (nints, ngroups, ny, nx) array_like of uint8 or uint16
        DQ with jumps and saturation, as :func:`upramp.ramps.find_jumps` gives it. It is not changed.
    rule : SnowballRule, optional
        What a snowball is.
    bits : RampBits, optional
        Meaning of the DQ bits.

    Returns
    -------
    LargeEvents
        New DQ, and the number of snowballs.

    Raises
    ------
    ImportError
        stcal, whose ``flag_large_events`` does the work, is not installed.
    """
    rule, bits = rule or SnowballRule(), bits or RampBits()
    module = _stcal("snowballs")
    flags = as_words("dq", dq, np.shape(dq)).copy()
    settings = SimpleNamespace(
        min_jump_area=rule.least_jump_area,
        min_sat_area=rule.least_saturated_area,
        expand_factor=rule.growth,
        sat_required_snowball=rule.saturation_required,
        min_sat_radius_extend=rule.least_core,
        sat_expand=rule.core_growth,
        edge_size=rule.edge,
        max_extended_width=rule.widest,
        mask_persist_grps_next_int=rule.persistence > 0,
        persist_grps_flagged=rule.persistence,
        fl_jump=bits.jump,
        fl_sat=bits.saturated,
    )
    flags, number = module.flag_large_events(flags, bits.jump, bits.saturated, settings)
    return LargeEvents(flags, int(number))


def find_showers(
    cube: ArrayLike,
    dq: ArrayLike,
    *,
    read_noise: ArrayLike,
    gain: ArrayLike = 1.0,
    nframes: int = 1,
    pixel_dq: ArrayLike | None = None,
    rule: ShowerRule | None = None,
    bits: RampBits | None = None,
    reference_pixel: int = 1 << 31,
) -> LargeEvents:
    """Flag faint extended light that comes at once (showers).

    Parameters
    ----------
    cube : (nints, ngroups, ny, nx) array_like of float32 or uint16
        Groups in order of time.
    dq : array_like of uint8 or uint16
        DQ with jumps, shaped as the cube. It is not changed.
    read_noise : float or (ny, nx) array_like
        Noise of one read, electrons.
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube.
    nframes : int, optional
        Reads averaged in a group.
    pixel_dq : (ny, nx) array_like of uint32, optional
        DQ of the pixels.
    rule : ShowerRule, optional
        What a shower is.
    bits : RampBits, optional
        Meaning of the DQ bits.
    reference_pixel : int, optional
        Bit of `pixel_dq` for reference pixels, which are left out.

    Returns
    -------
    LargeEvents
        New DQ, and the number of showers.

    Raises
    ------
    ImportError
        stcal, whose ``find_faint_extended`` does the work, is not installed.
    """
    rule, bits = rule or ShowerRule(), bits or RampBits()
    module = _stcal("showers")
    data = as_stack("cube", cube)
    flags = as_words("dq", dq, data.shape)
    shape = data.shape[2:]
    noise = as_per_pixel("read_noise", read_noise, shape) * np.ones(shape, np.float32)
    pixels = (
        np.zeros(shape, np.uint32) if pixel_dq is None else as_image("pixel_dq", pixel_dq, np.uint32, shape)
    )
    charge = data * np.asarray(as_per_pixel("gain", gain, shape), np.float32)
    charge[flags & (bits.do_not_use | bits.saturated) != 0] = np.nan
    settings = SimpleNamespace(
        extend_snr_threshold=rule.threshold,
        extend_min_area=rule.least_area,
        extend_inner_radius=rule.inner,
        extend_outer_radius=rule.outer,
        extend_ellipse_expand_ratio=rule.growth,
        grps_masked_after_shower=rule.later,
        max_shower_amplitude=rule.most,
        max_extended_width=rule.widest,
        minimum_sigclip_groups=rule.clip,
        nframes=nframes,
        fl_jump=bits.jump,
        fl_sat=bits.saturated,
        fl_dnu=bits.do_not_use,
        fl_ref=reference_pixel,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found, number = module.find_faint_extended(charge, flags, pixels, noise * np.sqrt(2), settings)
    return LargeEvents(found, int(number))


def _stcal(what: str) -> Any:
    try:
        from stcal.jump import jump
    except ImportError as error:
        message = f"{what} are found by stcal, which cannot be imported ({error}): pip install stcal"
        raise ImportError(message) from error
    return jump
