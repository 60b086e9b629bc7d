"""What is in CCD frames: a row of numbers for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upramp.ccd.calibrated import header_of
from upramp.ccd.detector import EXPTIME, Detector, filter_of, saturation_of
from upramp.ccd.frames import open_frames
from upramp.ccd.sections import find_layout
from upramp.exceptions import InputError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["frame_table"]

TYPES = ("IMAGETYP", "OBSTYPE", "IMTYPE", "EXPTYPE")


def frame_table(
    frames: Sequence[Any],
    *,
    detector: Detector | None = None,
    on_error: Callable[[InputError], None] | None = None,
) -> Table:
    """List frames with the statistics of their pixels.

    Parameters
    ----------
    frames : sequence of path-like, CCDData or array_like
        Raw or reduced frames; one at a time is in memory.
    detector : Detector, optional
        How they were read out; default: as their headers say.
    on_error : callable, optional
        Called with the error of each file that cannot be used, which is then left out. Without it the first such
        error is raised.

    Returns
    -------
    astropy.table.Table
        Columns ``file``, ``object``, ``type``, ``filter``, ``exptime`` (s); of the pixels that are kept, finite and
        not masked: ``min``, ``max``, ``median``, ``mean``, ``std``, ``clipped`` (standard deviation after clipping
        at 3 sigma, 5 rounds); ``overscan`` (median), ``saturated`` (pixels of the raw frame). What is not known is
        NaN or empty.
    """
    from astropy.table import Table

    detector = detector or Detector()
    rows = []
    for given in frames:
        try:
            rows.append(_describe(given, detector))
        except InputError as error:
            if on_error is None:
                raise
            on_error(error)
    if not rows:
        return Table()
    table = Table({name: [row[name] for row in rows] for name in rows[0]})
    table["exptime"].unit = "s"
    return table


def _describe(given: Any, detector: Detector) -> dict[str, Any]:
    from astropy.stats import sigma_clip

    with open_frames([given], ext=detector.ext, memory=1 << 62) as (opened, _):
        frame = opened[0]
        header = header_of(frame, getattr(given, "meta", None))
        image = frame.image()
    layout = find_layout(header, frame.shape, detector.overscan, detector.trim, frame.name)
    kept = image[layout.trim]
    values = kept[np.isfinite(kept)].astype(np.float64)
    facts: dict[str, Any] = {
        "file": frame.name,
        "object": str(header.get("OBJECT", "")).strip(),
        "type": next((str(header[key]).strip() for key in TYPES if key in header), ""),
        "filter": filter_of(header, detector),
        "exptime": _seconds(header, detector),
    }
    for name in ("min", "max", "median", "mean", "std"):
        facts[name] = float(getattr(np, name)(values)) if values.size else np.nan
    clipped = sigma_clip(values, sigma=3, maxiters=5, masked=False) if values.size else values
    facts["clipped"] = float(np.std(clipped)) if values.size else np.nan
    facts["overscan"] = np.nan if layout.overscan is None else float(np.nanmedian(image[layout.overscan]))
    facts["saturated"] = int((kept >= saturation_of(header, detector)).sum())
    return facts


def _seconds(header: Any, detector: Detector) -> float:
    for key in EXPTIME if detector.exptime_key is None else (detector.exptime_key,):
        value = header.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return float("nan")
