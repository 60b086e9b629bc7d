"""Master flats, one a filter: frames corrected before they are normalised, bad ones left out with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from upramp.ccd.calibrated import CalibratedFrame
from upramp.ccd.combine import MEMORY_LIMIT, combine_opened
from upramp.ccd.detector import Detector, filter_of
from upramp.ccd.frames import OnError
from upramp.ccd.gain import measure_gain
from upramp.ccd.image import CcdImage, Dq, as_image, history, set_flag
from upramp.ccd.masters import (
    CARDS,
    Method,
    combined_line,
    image_of,
    layout_lines,
    name_lines,
    open_calibrated,
)
from upramp.exceptions import InputError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["FlatLimits", "Flats", "master_flat"]

Norm = Literal["median", "mean"]

GRID = 8
"""Cells a side in which the shapes of flats are compared."""


@dataclass(frozen=True, slots=True)
class FlatLimits:
    """When a flat is bad.

    Attributes
    ----------
    saturated : float
        Largest fraction of saturated pixels.
    faint : float
        Smallest median above bias and dark, ADU.
    odd : float
        Largest departure of its shape from that of the other flats of its filter: of the ratio to their median, in
        8 x 8 cells, the value that a tenth of the cells exceeds. Not used for fewer than three flats.
    """

    saturated: float = 0.02
    faint: float = 1000.0
    odd: float = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Flats:
    """Master flats.

    Attributes
    ----------
    flats : dict of str to CcdImage
        Normalised flat by the name of its filter (empty if frames tell none).
    table : astropy.table.Table
        A row a frame: ``file``, ``filter``, ``level`` (median above bias, ADU), ``saturated`` (fraction), ``odd``
        (departure of its shape), ``used`` and ``reason`` (why not).
    failed : dict of str to str
        Filters of which no flat is left, and why.
    """

    flats: dict[str, CcdImage]
    table: Table
    failed: dict[str, str]


@dataclass(slots=True)
class _Seen:
    """What one look at a flat tells."""

    name: str
    filter: str
    level: float
    saturated: float
    shape: NDArray[np.float64]
    odd: float = np.nan
    reason: str = ""


def master_flat(
    frames: Sequence[Any],
    *,
    bias: Any = None,
    dark: Any = None,
    detector: Detector | None = None,
    norm: Norm = "median",
    mask_below: float | None = 0.8,
    limits: FlatLimits | None = None,
    method: Method = "median",
    sigma_clip: float | tuple[float, float] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    on_error: OnError = None,
) -> Flats:
    """Combine flats, one master for every filter.

    Overscan, bias and dark are subtracted from every frame, which is then divided by its median; saturated pixels
    are left out. The combination is normalised by the median (or mean) of its unvignetted pixels.

    Parameters
    ----------
    frames : sequence of path-like, CCDData or array_like
        Raw frames.
    bias, dark : CcdImage, path-like, CCDData or array_like, optional
        Masters.
    detector : Detector, optional
        How they were read out; default: overscan and trim as their headers say.
    norm : {'median', 'mean'}, optional
        What of the master becomes 1.
    mask_below : float, optional
        Pixels of the master below this become NaN, with the bit VIGNETTED; None: none do.
    limits : FlatLimits, optional
        When a frame is left out.
    method : {'median', 'mean'}, optional
        Statistic.
    sigma_clip : float or (float, float), optional
        Clip at so many standard deviations about the median.
    memory_limit : int, optional
        Bytes of scratch memory at most, beside one frame.
    threads : int, optional
        Threads; default: the cores this process may use.
    on_error : callable, optional
        Called with the InputError of each frame that cannot be used, which is then left out. Without it the first
        such error is raised.

    Returns
    -------
    Flats
        Masters, and what was found of every frame. The card UPRGAIN of a master of two frames or more holds the
        gain measured from the two frames nearest in level (:func:`measure_gain`), if it can be.

    Raises
    ------
    InputError
        A file cannot be used; every flat is bad.
    ValueError
        No frames, other shapes, a parameter out of its range.
    """
    detector, limits = detector or Detector(), limits or FlatLimits()
    if norm not in ("median", "mean"):
        raise ValueError(f"norm is {norm!r}, expected 'median' or 'mean'")
    if mask_below is not None and not 0 <= mask_below < 1:
        raise ValueError(f"mask_below is {mask_below}, expected a fraction from 0 to 1, or None")
    masters = [
        None if image is None else as_image(image, name) for image, name in ((bias, "bias"), (dark, "dark"))
    ]
    with open_calibrated(
        frames,
        detector,
        bias=masters[0],
        dark=masters[1],
        memory_limit=memory_limit,
        saturated_to_nan=True,
        on_error=on_error,
    ) as (made, _, memory):
        seen = [_look(frame, detector) for frame in made]
        groups: dict[str, list[int]] = {}
        for k, one in enumerate(seen):
            groups.setdefault(one.filter, []).append(k)
        for group in groups.values():
            _judge([seen[k] for k in group], limits)
        flats, failed = {}, {}
        for name, group in groups.items():
            used = [k for k in group if not seen[k].reason]
            if not used:
                failed[name] = "; ".join(f"{Path(seen[k].name).name} {seen[k].reason}" for k in group)
                continue
            chosen = [made[k] for k in used]
            combined = combine_opened(
                chosen,
                method,
                sigma_clip=sigma_clip,
                scale=[1 / seen[k].level for k in used],
                memory_limit=memory,
                threads=threads,
            )
            image = image_of(combined, chosen, "master flat", "")
            history(image.header, *layout_lines(chosen[0], detector))
            for what, master in zip(("bias", "dark"), masters, strict=True):
                if master is not None:
                    history(image.header, f"{what} subtracted: {Path(master.name).name}")
            history(image.header, "divided by the medians", combined_line(len(chosen), method, sigma_clip))
            history(image.header, *name_lines([frame.name for frame in chosen]))
            flats[name] = _normalised(image, norm, mask_below)
            _add_gain(flats[name], chosen, [seen[k].level for k in used], masters[0])
    if not flats:
        raise InputError("no usable flat: " + "; ".join(failed.values()))
    return Flats(flats, _table(seen), failed)


def _look(frame: CalibratedFrame, detector: Detector) -> _Seen:
    image = frame.image()
    known = np.isfinite(image)
    level = float(np.median(image[known])) if known.any() else np.nan
    saturated = 1 - float(known.mean())
    return _Seen(frame.name, filter_of(frame.header, detector), level, saturated, _cells(image))


def _cells(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Medians in a grid of cells; NaN in cells without a value."""
    rows = np.array_split(image, min(GRID, image.shape[0]), axis=0)
    parts = (part for row in rows for part in np.array_split(row, min(GRID, image.shape[1]), axis=1))
    values = (part[np.isfinite(part)] for part in parts)
    return np.array([np.median(value) if value.size else np.nan for value in values])


def _judge(group: list[_Seen], limits: FlatLimits) -> None:
    """Find the bad flats of a filter."""
    for one in group:
        if one.saturated > limits.saturated:
            one.reason = (
                f"saturated: {100 * one.saturated:.1f} % of its pixels, limit {100 * limits.saturated:g} %"
            )
        elif not one.level >= limits.faint:
            one.reason = f"too faint: median {one.level:.0f} ADU, limit {limits.faint:g}"
    while True:
        left = [one for one in group if not one.reason]
        if len(left) < 3:
            return
        shapes = np.array([one.shape / one.level for one in left])
        known = np.isfinite(shapes).all(axis=0) & (shapes > 0).all(axis=0)
        if not known.any():
            return
        shapes = shapes[:, known]
        for one, shape in zip(left, shapes, strict=True):
            ratio = shape / np.median(shapes, axis=0)
            one.odd = float(np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.9))
        # The worst alone: it has had a part in what the others were compared with.
        worst = max(left, key=lambda one: one.odd)
        if worst.odd <= limits.odd:
            return
        worst.reason = (
            f"odd: {100 * worst.odd:.1f} % off the shape of the others, limit {100 * limits.odd:g} %"
        )


def _normalised(image: CcdImage, norm: Norm, mask_below: float | None) -> CcdImage:
    good = np.isfinite(image.data)
    if not good.any():
        raise InputError("flats have no good pixel in common")
    level = 1.0
    # Vignetted pixels are those below a fraction of the level, which is that of the others.
    for _ in range(10):
        bright = good if mask_below is None else good & (image.data >= mask_below * level)
        if not bright.any():
            break
        values = image.data[bright]
        before, level = level, float(np.median(values) if norm == "median" else values.mean(dtype=np.float64))
        if level == before:
            break
    data = image.data / np.float32(level)
    error = None if image.uncertainty is None else image.uncertainty / np.float32(level)
    dq = image.dq.copy()
    history(image.header, f"divided by {level:.6g}, the {norm} of the unvignetted pixels")
    if mask_below is not None:
        dark = ~(data >= mask_below)
        data[dark] = np.nan
        set_flag(dq, dark, Dq.VIGNETTED)
        history(image.header, f"NaN below {mask_below:g}: {int(dark.sum())} pixels")
    return CcdImage(data, error, dq, image.header, image.name, image.count)


def _add_gain(
    flat: CcdImage, frames: Sequence[CalibratedFrame], levels: Sequence[float], bias: CcdImage | None
) -> None:
    if len(frames) < 2:
        return
    order = np.argsort(levels)
    near = int(np.argmin(np.diff(np.array(levels)[order])))
    noise = 0.0 if bias is None else float(bias.header.get(CARDS["read_noise"], 0.0))
    gain = measure_gain(frames[order[near]].image(), frames[order[near + 1]].image(), noise)
    if gain is not None:
        flat.header[CARDS["gain"]] = round(gain, 4), "[e-/adu] gain, from the noise of two flats"


def _table(seen: Sequence[_Seen]) -> Table:
    from astropy.table import Table

    table = Table()
    table["file"] = [one.name for one in seen]
    table["filter"] = [one.filter for one in seen]
    for name in ("level", "saturated", "odd"):
        table[name] = [getattr(one, name) for one in seen]
    table["level"].unit = "adu"
    table["used"] = [not one.reason for one in seen]
    table["reason"] = [one.reason for one in seen]
    return table
