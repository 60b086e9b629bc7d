"""Where the sources are, told from the reads themselves while the background varies."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.tvb.levels import differences
from upramp.wfc3ir.exposure import Ramp

__all__ = ["bad_pixels", "pixel_pattern", "source_mask"]

SATURATED = 256
GROUPS = 5
"""Stretches of the exposure of which a pixel takes the median: two may be hit by cosmic rays."""
MAD_TO_SIGMA = 1.482602218505602


def bad_pixels(ramp: Ramp, bad_dq: int = SKY_BAD_DQ) -> NDArray[np.bool_]:
    """Pixels flagged in any read, so that all reads can be compared on the same pixels.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    bad_dq : int, optional
        DQ bits that count.

    Returns
    -------
    (ny, nx) ndarray of bool
        True where flagged. Reads of which half or more is flagged say nothing of single pixels and do not count.
    """
    bad = np.zeros(ramp.dq.shape[1:], bool)
    for flags in ramp.dq:
        flagged = (flags & np.uint16(bad_dq)) != 0
        if flagged[ramp.border].mean() < 0.5:
            bad |= flagged
    return bad


def box_sum(image: NDArray[np.float32], half: int) -> NDArray[np.float32]:
    """Sum over the box of `2 half + 1` pixels a side around every pixel, zero outside the image.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        Image.
    half : int
        Half the size of the box.
    """
    for axis in (0, 1):
        pad = [(half + 1, half) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(image, pad), axis=axis, dtype=np.float64)
        end, start = ([slice(None)] * 2 for _ in range(2))
        end[axis], start[axis] = slice(2 * half + 1, None), slice(None, -2 * half - 1)
        image = (total[tuple(end)] - total[tuple(start)]).astype(np.float32)
    return image


def pixel_pattern(ramp: Ramp, *, bad: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """What every pixel collects more than its column does: sources, hot pixels, and the flat field of a RAW file.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    bad : (ny, nx) ndarray of bool, optional
        Pixels to leave out; default :func:`bad_pixels`.

    Returns
    -------
    (ny, nx) ndarray of float32
        In the unit of the exposure per second; NaN in bad pixels and outside the light-sensitive field.

    Notes
    -----
    The exposure is cut into up to 5 stretches of about the same length; in each, the median of every column is
    taken off the rate, and with it a background that varies with time and along x. The pattern is the median of
    the stretches, which a cosmic ray or a satellite in two of them does not move.
    """
    bad = bad_pixels(ramp) if bad is None else bad
    image = np.full(ramp.sci.shape[1:], np.nan, np.float32)
    if ramp.nread < 2:
        return image
    steps = differences(ramp, "interval")
    times = ramp.times
    targets = np.linspace(times[0], times[-1], min(GROUPS, ramp.nread - 1) + 1)
    edges = np.unique([int(np.abs(times - target).argmin()) for target in targets])
    stretches = []
    hidden = bad[ramp.border]
    for start, end in pairwise(edges):
        span = times[end] - times[start]
        # The sum of the intervals of a stretch is the difference of the reads at its ends.
        after = steps[end - 1][1] * (times[end] - times[end - 1]) / span
        rate = ramp.sci[end][ramp.border] * np.float32(after)
        if steps[start][3] > 0.0:
            before = steps[start][3] * (times[start + 1] - times[start]) / span
            rate -= ramp.sci[start][ramp.border] * np.float32(before)
        rate[hidden] = np.nan
        stretches.append(rate - column_medians(rate))
    image[ramp.border] = np.median(stretches, axis=0)
    return image


def column_medians(rate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of every column over its numbers; the median of all where a column has none.

    Parameters
    ----------
    rate : (ny, nx) ndarray of float32
        Image; NaN where a pixel has no number.
    """
    ordered = np.sort(rate, axis=0)  # not-a-number last
    count = np.isfinite(rate).sum(axis=0)
    columns = np.arange(rate.shape[1])
    low, high = ordered[np.maximum(count - 1, 0) // 2, columns], ordered[count // 2, columns]
    medians = 0.5 * (low + high)
    known = count > 0
    if not known.all():
        medians[~known] = np.median(medians[known]) if known.any() else np.nan
    narrow: NDArray[np.float32] = medians.astype(np.float32)
    return narrow


def source_mask(
    ramp: Ramp,
    *,
    nsigma: float = 3.0,
    box: int | None = None,
    minimum: int = 4,
    grow: int = 2,
    bad: NDArray[np.bool_] | None = None,
    pattern: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Find the sources of an exposure whose background varies.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; flat-fielded, or its flat field is taken for structure of the sky.
    nsigma : float, optional
        Threshold in robust standard deviations of the smoothed image.
    box : int, optional
        Size of the boxes whose medians make the large-scale background, pixels; default a sixteenth of the field,
        at least 24.
    minimum : int, optional
        Pixels above the threshold that a pixel must have in the 3 x 3 around it to belong to a source.
    grow : int, optional
        Pixels by which sources are widened.
    bad : (ny, nx) ndarray of bool, optional
        Pixels to leave out; default :func:`bad_pixels`. They are no sources, except saturated ones.
    pattern : (ny, nx) ndarray of float32, optional
        :func:`pixel_pattern` of the exposure if it is at hand.

    Returns
    -------
    (ny, nx) ndarray of bool
        True on sources.

    Raises
    ------
    ValueError
        A threshold that is not positive.

    Notes
    -----
    The image is :func:`pixel_pattern`, which knows neither helium nor scattered light nor single cosmic rays. A
    background on the scale of `box` is taken off, then the mean of the good pixels of 3 x 3 is compared with the
    scatter of all such means.
    """
    if not nsigma > 0:
        raise ValueError(f"nsigma is {nsigma}, expected a positive number")
    bad = bad_pixels(ramp) if bad is None else bad
    pattern = pixel_pattern(ramp, bad=bad) if pattern is None else pattern
    field = pattern[ramp.border]
    known = np.isfinite(field)
    saturated = (np.bitwise_or.reduce(ramp.dq, axis=0) & SATURATED != 0)[ramp.border]
    mask = np.zeros(ramp.sci.shape[1:], bool)
    found = saturated
    if known.any():
        flat = field - _background(field, box or max(min(field.shape) // 16, 24))
        count = box_sum(known.astype(np.float32), 1)
        smooth = box_sum(np.where(known, flat, np.float32(0)), 1) / np.maximum(count, 1)
        # Fewer pixels in the mean, more noise: counted as if all nine were there, and not at all below four.
        enough = count >= 4
        smooth *= np.sqrt(count / 9)
        middle = np.median(smooth[enough]) if enough.any() else 0.0
        sigma = MAD_TO_SIGMA * np.median(np.abs(smooth[enough] - middle)) if enough.any() else 0.0
        above = enough & (smooth - middle > nsigma * sigma)
        crowd = box_sum(above.astype(np.float32), 1)
        found = found | (above & (crowd > minimum - 0.5))
    mask[ramp.border] = box_sum(found.astype(np.float32), grow) > 0.5 if grow else found
    return mask


def _background(image: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    """Bilinear surface through the medians of boxes, each the median of its neighbours."""
    ny, nx = image.shape
    rows, columns = (max(size // box, 1) for size in (ny, nx))
    y = np.linspace(0, ny, rows + 1).astype(int)
    x = np.linspace(0, nx, columns + 1).astype(int)
    grid = np.full((rows, columns), np.nan)
    for i in range(rows):
        for j in range(columns):
            values = image[y[i] : y[i + 1], x[j] : x[j + 1]]
            values = values[np.isfinite(values)]
            if values.size:
                grid[i, j] = np.median(values)
    grid[np.isnan(grid)] = np.median(grid[np.isfinite(grid)])
    edged = np.pad(grid, 1, mode="edge")
    around = [edged[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    grid = np.median(around, axis=0)
    middle_y, middle_x = 0.5 * (y[1:] + y[:-1] - 1), 0.5 * (x[1:] + x[:-1] - 1)
    across = np.array([np.interp(np.arange(nx), middle_x, row) for row in grid])
    # Row by row between the two nearest rows of boxes.
    at = np.clip(np.interp(np.arange(ny), middle_y, np.arange(rows)), 0, rows - 1)
    low = np.minimum(at.astype(int), max(rows - 2, 0))
    share = (at - low)[:, None]
    surface: NDArray[np.float32] = (
        (1 - share) * across[low] + share * across[np.minimum(low + 1, rows - 1)]
    ).astype(np.float32)
    return surface
