"""Files combined into an image with a header."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upramp.ccd.calibrated import header_of
from upramp.ccd.combine import MEMORY_LIMIT, combine_opened
from upramp.ccd.detector import Detector, exptime_of
from upramp.ccd.frames import OnError, open_frames
from upramp.ccd.image import CcdImage, Dq, clean_header, history
from upramp.ccd.masters import CARDS, combined_line, name_lines
from upramp.exceptions import InputError

__all__ = ["stack_files"]

Level = Literal["median", "mean", "exptime"]


def stack_files(
    paths: Sequence[str | os.PathLike[str]],
    method: Literal["median", "mean"] = "median",
    *,
    sigma_clip: float | tuple[float, float] | None = None,
    minmax: int | tuple[int, int] | None = None,
    zero: Literal["median", "mean"] | None = None,
    scale: Level | None = None,
    ext: int | str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    on_error: OnError = None,
) -> CcdImage:
    """Combine files as :func:`combine` does, and keep the header of the first.

    Parameters
    ----------
    paths : sequence of path-like
        FITS images of one shape, on one grid of pixels; MASK and UNCERT extensions are heeded.
    method : {'median', 'mean'}, optional
        Statistic.
    sigma_clip, minmax : optional
        What is left out, as in :func:`combine`.
    zero : {'median', 'mean'}, optional
        Level of each frame that is subtracted from it.
    scale : {'median', 'mean', 'exptime'}, optional
        What each frame is divided by: its level (after `zero`), times that of the first frame; or its exposure
        time.
    ext : int or str, optional
        Extension of the image.
    memory_limit : int, optional
        Bytes of scratch memory at most.
    threads : int, optional
        Threads; default: the cores this process may use.
    on_error : callable, optional
        Called with the InputError of each file that cannot be used, which is then left out.

    Returns
    -------
    CcdImage
        With NCOMBINE and HISTORY.

    Raises
    ------
    InputError
        A file cannot be used, or has no positive level or exposure time to be scaled by.
    """
    functions: dict[str, Callable[[NDArray[Any]], Any]] = {"median": np.nanmedian, "mean": np.nanmean}
    with open_frames(list(paths), ext=ext, memory=memory_limit // 2, on_error=on_error) as (frames, spool):
        headers = [header_of(frame) for frame in frames]
        zeros = [0.0 if zero is None else float(functions[zero](frame.image())) for frame in frames]
        if scale is None:
            levels = [1.0] * len(frames)
        elif scale == "exptime":
            levels = [
                exptime_of(header, Detector(), frame.name)
                for header, frame in zip(headers, frames, strict=True)
            ]
        else:
            levels = [
                float(functions[scale](frame.image() - np.float32(offset)))
                for frame, offset in zip(frames, zeros, strict=True)
            ]
        for frame, level in zip(frames, levels, strict=True):
            if not (level > 0 and np.isfinite(level)):
                raise InputError(
                    f"{frame.name}: its {scale} is {level}, expected a positive number to scale by"
                )
        first = 1.0 if scale == "exptime" else levels[0]
        combined = combine_opened(
            frames,
            method,
            sigma_clip=sigma_clip,
            minmax=minmax,
            zero=zeros,
            scale=[first / level for level in levels],
            memory_limit=memory_limit - (memory_limit // 2 - spool.free),
            threads=threads,
        )
        names = [frame.name for frame in frames]
    header = clean_header(headers[0])
    header["NCOMBINE"] = len(names), "frames combined"
    header[CARDS["kind"]] = "stack", "what upramp ccd made"
    if scale == "exptime" and "BUNIT" in header:
        header["BUNIT"] = f"{header['BUNIT']} / s"
    if zero is not None:
        history(header, f"{zero} of each frame subtracted")
    if scale is not None:
        history(
            header, f"divided by the {scale} of each frame" + ("" if first == 1.0 else f", times {first:.6g}")
        )
    history(header, combined_line(len(names), method, sigma_clip))
    if minmax is not None:
        history(header, f"lowest and highest left out: {minmax}")
    history(header, *name_lines(names))
    dq = np.where(combined.mask, Dq.NO_DATA, 0).astype(np.uint8)
    return CcdImage(combined.data, combined.uncertainty, dq, header, str(Path(names[0])), combined.count)
