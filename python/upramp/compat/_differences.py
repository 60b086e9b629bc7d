"""The arrays of the notebooks on time-variable background: cubes, differences, medians of regions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.tvb.intervals import mean_rates
from upramp.wfc3ir.exposure import BORDER, read_ramp

__all__ = [
    "Corners",
    "check_cube",
    "compute_diff_imas",
    "get_median_fullframe_lhs_rhs",
    "get_median_std_fullframe_lhs_rhs",
    "get_std_fullframe_lhs_rhs",
    "read_wfc3",
    "region_slices",
]

Corners = Mapping[str, int]
"""``x0``, ``x1``, ``y0`` and ``y1`` of a region, from 0, the ends ``x1`` and ``y1`` excluded."""

Triple = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

METHODS = ("instantaneous", "cumulative")


def read_wfc3(filename: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read an exposure as the notebooks hold it.

    Parameters
    ----------
    filename : path-like
        IMA or RAW file of any size and number of reads.

    Returns
    -------
    cube : (ny, nx, NSAMP) ndarray of float64
        Rates in time order, zeroth read first, indexed ``cube[y, x, read]`` as the notebooks do; of a file in
        counts the signal since the zeroth read over the time.
    integ_time : (NSAMP,) ndarray of float64
        Seconds of the same reads: PIXVALUE of the TIME extensions, SAMPTIME where there is none.

    Raises
    ------
    InputError
        As :func:`upramp.read_ramp`.
    """
    ramp = read_ramp(filename)
    # Reads outermost in memory: whatever goes over a read goes over neighbouring numbers.
    cube = np.moveaxis(mean_rates(ramp).astype(float), 0, -1)
    times = ramp.times.copy()
    for read in range(ramp.nread):
        value = ramp.header("TIME", read).get("PIXVALUE")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            times[read] = value
    return cube, times


def compute_diff_imas(cube: ArrayLike, integ_time: ArrayLike, diff_method: str) -> NDArray[np.float64]:
    """Differences between neighbouring reads.

    Parameters
    ----------
    cube : (ny, nx, NSAMP) array_like
        Rates R_k in time order.
    integ_time : (NSAMP,) array_like
        Their times t_k, seconds.
    diff_method : {"instantaneous", "cumulative"}
        ``instantaneous``: the rate of each interval, [R_k (t_k - t_0) - R_(k-1) (t_(k-1) - t_0)] / (t_k - t_(k-1)).
        ``cumulative``: R_(k-1) - R_k.

    Returns
    -------
    (ny, nx, NSAMP - 1) ndarray of float64
        Differences in time order.

    Raises
    ------
    ValueError
        Another method, or arrays whose lengths differ.
    """
    if diff_method not in METHODS:
        raise ValueError(f"diff_method is {diff_method!r}, expected one of {', '.join(METHODS)}")
    rates = check_cube(cube)
    times = np.asarray(integ_time, float)
    if times.shape != rates.shape[2:]:
        raise ValueError(
            f"integ_time has shape {times.shape}, expected {rates.shape[2:]} as of the cube's reads"
        )
    if diff_method == "cumulative":
        return rates[:, :, :-1] - rates[:, :, 1:]
    steps = np.diff(times)
    if not (steps > 0).all():
        raise ValueError(f"integ_time does not grow from read to read: {times.tolist()}")
    signal = rates * (times - times[0])
    gathered: NDArray[np.float64] = signal[:, :, 1:] - signal[:, :, :-1]
    return gathered / steps


def get_median_fullframe_lhs_rhs(cube: ArrayLike, lhs_region: Corners, rhs_region: Corners) -> Triple:
    """Medians of the whole frame, a left region and a right region for every read or difference.

    Parameters
    ----------
    cube : (ny, nx, n) array_like
        Reads or differences; NaN are left out.
    lhs_region, rhs_region : dict
        ``x0``, ``x1``, ``y0``, ``y1`` of the readout with its border, from 0, ends excluded.

    Returns
    -------
    median_full_frame, median_lhs, median_rhs : (n,) ndarray of float64
        Medians; the frame is taken without 5 pixels on each side. NaN where no number is left.

    Raises
    ------
    ValueError
        A region without corners, or outside the frame.
    """
    return _over_regions(_median, cube, lhs_region, rhs_region)


def get_std_fullframe_lhs_rhs(cube: ArrayLike, lhs_region: Corners, rhs_region: Corners) -> Triple:
    """Standard deviations of the whole frame, a left region and a right region for every read or difference.

    Parameters
    ----------
    cube : (ny, nx, n) array_like
        Reads or differences; NaN are left out.
    lhs_region, rhs_region : dict
        As of :func:`get_median_fullframe_lhs_rhs`.

    Returns
    -------
    standard_dev_fullframe, standard_dev_lhs, standard_dev_rhs : (n,) ndarray of float64
        Standard deviations, nothing clipped; NaN where no number is left.

    Raises
    ------
    ValueError
        As :func:`get_median_fullframe_lhs_rhs`.
    """
    return _over_regions(_std, cube, lhs_region, rhs_region)


get_median_std_fullframe_lhs_rhs = get_std_fullframe_lhs_rhs
"""Name under which a notebook still calls :func:`get_std_fullframe_lhs_rhs`."""


def check_cube(cube: ArrayLike) -> NDArray[np.float64]:
    """The cube in double precision, if it is one.

    Parameters
    ----------
    cube : (ny, nx, n) array_like
        Numbers.

    Returns
    -------
    (ny, nx, n) ndarray of float64
    """
    rates = np.asarray(cube, float)
    if rates.ndim != 3:
        raise ValueError(f"cube has shape {rates.shape}, expected (rows, columns, reads)")
    return rates


def region_slices(name: str, corners: Corners, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a region.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    corners : dict
        ``x0``, ``x1``, ``y0``, ``y1``.
    shape : (int, int)
        Rows and columns of the frame.

    Returns
    -------
    (slice, slice)
    """
    try:
        x0, x1, y0, y1 = (int(corners[key]) for key in ("x0", "x1", "y0", "y1"))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name} is {corners!r}, expected a dict of x0, x1, y0 and y1") from None
    if not (0 <= x0 < x1 <= shape[1] and 0 <= y0 < y1 <= shape[0]):
        raise ValueError(
            f"{name} is x {x0}:{x1}, y {y0}:{y1}, which is not a region of a frame of {shape[1]} columns and "
            f"{shape[0]} rows"
        )
    return slice(y0, y1), slice(x0, x1)


def _over_regions(
    statistic: Callable[[NDArray[np.float64]], float],
    cube: ArrayLike,
    lhs_region: Corners,
    rhs_region: Corners,
) -> Triple:
    planes = np.moveaxis(check_cube(cube), -1, 0)
    regions = (
        (slice(BORDER, -BORDER), slice(BORDER, -BORDER)),
        region_slices("lhs_region", lhs_region, planes.shape[1:]),
        region_slices("rhs_region", rhs_region, planes.shape[1:]),
    )
    # Read by read: a plane is copied to be sorted, never the whole cube.
    full, left, right = (
        np.array([statistic(plane[region]) for plane in planes], float) for region in regions
    )
    return full, left, right


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = values.ravel()
    return flat[~np.isnan(flat)]


def _median(values: NDArray[np.float64]) -> float:
    numbers = _finite(values)
    return float(np.median(numbers)) if numbers.size else float("nan")


def _std(values: NDArray[np.float64]) -> float:
    numbers = _finite(values)
    return float(np.std(numbers)) if numbers.size else float("nan")
