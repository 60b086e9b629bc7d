"""Master bias and master dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from upramp.ccd.calibrated import CalibratedFrame, header_of, is_plain
from upramp.ccd.combine import MEMORY_LIMIT, Combined, combine_opened
from upramp.ccd.detector import Detector, exptime_of
from upramp.ccd.frames import Frame, OnError, check_shape, open_frames
from upramp.ccd.image import CcdImage, Dq, as_image, clean_header, history
from upramp.ccd.sections import Layout, format_section
from upramp.exceptions import InputError
from upramp.io import fits

__all__ = ["CARDS", "image_of", "layout_lines", "master_bias", "master_dark", "open_calibrated"]

Method = Literal["median", "mean"]

CARDS = {"read_noise": "UPRRDN", "gain": "UPRGAIN", "kind": "UPRCCD"}
"""Header cards of this package: measured read noise (ADU), gain (e-/ADU), and what an image is."""

_SECTIONS = ("BIASSEC", "TRIMSEC", "DATASEC", "CCDSEC", "ORIGSEC")


@contextmanager
def open_calibrated(
    frames: Sequence[Any],
    detector: Detector,
    *,
    bias: CcdImage | None = None,
    dark: CcdImage | None = None,
    memory_limit: int = MEMORY_LIMIT,
    saturated_to_nan: bool = False,
    with_exptime: bool = False,
    on_error: OnError = None,
) -> Iterator[tuple[list[CalibratedFrame], list[Frame], int]]:
    """Raw frames, to be calibrated while their rows are read.

    Parameters
    ----------
    frames : sequence of path-like, CCDData or array_like
        Raw frames.
    detector : Detector
        How they were read out.
    bias, dark : CcdImage, optional
        Masters to subtract.
    memory_limit : int, optional
        Bytes of scratch memory at most.
    saturated_to_nan : bool, optional
        Whether saturated pixels become NaN.
    with_exptime : bool, optional
        Whether frames need a positive exposure time.
    on_error : callable, optional
        Called with the error of each frame that cannot be used, which is then left out.

    Yields
    ------
    list of CalibratedFrame, list of Frame, int
        The frames, as they are raw, and how much memory is left.
    """
    listed = list(frames)
    if not listed:
        raise ValueError("frames is empty, expected at least one frame")
    with open_frames(listed, ext=detector.ext, memory=memory_limit // 2, on_error=on_error) as (
        opened,
        spool,
    ):
        made: list[CalibratedFrame] = []
        raw: list[Frame] = []

        def calibrated(frame: Frame) -> CalibratedFrame:
            header = header_of(frame, getattr(listed[frame.index], "meta", None))
            if CARDS["kind"] in header:
                raise InputError(f"{frame.name}: is a {header[CARDS['kind']]} already, expected a raw frame")
            one = CalibratedFrame(
                frame,
                header,
                detector,
                bias=bias,
                dark=dark,
                exptime=0.0
                if dark is None and not with_exptime
                else exptime_of(header, detector, frame.name),
                saturated_to_nan=saturated_to_nan,
            )
            if with_exptime and one.exptime <= 0:
                raise InputError(
                    f"{frame.name}: exposure time is {one.exptime} s, expected a positive one of a dark"
                )
            check_shape(one, made)
            return one

        for frame in opened:
            try:
                made.append(calibrated(frame))
            except (InputError, ValueError) as error:
                if on_error is None:
                    raise
                on_error(error if isinstance(error, InputError) else InputError(str(error)))
                continue
            raw.append(frame)
        if not made:
            raise InputError("no frame can be used")
        yield made, raw, memory_limit - (memory_limit // 2 - spool.free)


def image_of(combined: Combined, frames: Sequence[CalibratedFrame], kind: str, unit: str) -> CcdImage:
    """A combination as an image with a header.

    Parameters
    ----------
    combined : Combined
        Combined frames.
    frames : sequence of CalibratedFrame
        The frames.
    kind : str
        What it is.
    unit : str
        BUNIT.
    """
    header = trimmed_header(frames[0].header, frames[0].layout)
    header["BUNIT"] = unit, "unit of the data"
    header["NCOMBINE"] = len(frames), "frames combined"
    header[CARDS["kind"]] = kind, "what upramp ccd made"
    dq = np.where(combined.mask, Dq.NO_DATA, 0).astype(np.uint8)
    return CcdImage(combined.data, combined.uncertainty, dq, header, kind, combined.count)


def trimmed_header(header: fits.Header, layout: Layout) -> fits.Header:
    """Header of what is kept of a frame: without its sections, the WCS shifted.

    Parameters
    ----------
    header : Header
        Header of the raw frame.
    layout : Layout
        Sections.
    """
    kept = clean_header(header)
    for key in _SECTIONS:
        kept.remove(key, ignore_missing=True)
    y, x = layout.trim
    for axis, start in ((1, x.start), (2, y.start)):
        if start:
            for key in [key for key in kept if key.startswith(f"CRPIX{axis}") and len(key) <= 7]:
                kept[key] = float(kept[key]) - start
    return kept


def layout_lines(frame: CalibratedFrame, detector: Detector) -> list[str]:
    """Lines of HISTORY about overscan and trim.

    Parameters
    ----------
    frame : CalibratedFrame
        Frame.
    detector : Detector
        How it was read out.
    """
    lines = []
    layout = frame.layout
    if layout.overscan is not None and frame.level is not None:
        order = f" {detector.overscan_order}" if detector.overscan_method == "fit" else ""
        how = f"{detector.overscan_method}{order}"
        lines.append(f"overscan {format_section(layout.overscan)} {how}: {frame.level:.2f} ADU")
    if layout.size != layout.shape:
        lines.append(f"trimmed to {format_section(layout.trim)}")
    return lines


def combined_line(count: int, method: str, clip: Any) -> str:
    """Line of HISTORY about a combination.

    Parameters
    ----------
    count : int
        Frames.
    method : str
        Statistic.
    clip : float, pair or None
        Threshold of sigma clipping.
    """
    return f"{method} of {count} frames" + ("" if clip is None else f", sigma clip {clip}")


def name_lines(names: Sequence[str]) -> list[str]:
    """Lines of HISTORY with the frames combined.

    Parameters
    ----------
    names : sequence of str
        Names of the frames.
    """
    return [f"from {Path(name).name}" for name in names]


def master_bias(
    frames: Sequence[Any],
    *,
    detector: Detector | None = None,
    method: Method = "median",
    sigma_clip: float | tuple[float, float] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    on_error: OnError = None,
) -> CcdImage:
    """Combine bias frames.

    Parameters
    ----------
    frames : sequence of path-like, CCDData or array_like
        Raw frames.
    detector : Detector, optional
        How they were read out; default: overscan and trim as their headers say.
    method : {'median', 'mean'}, optional
        Statistic.
    sigma_clip : float or (float, float), optional
        Clip at so many standard deviations about the median.
    memory_limit : int, optional
        Bytes of scratch memory at most.
    threads : int, optional
        Threads; default: the cores this process may use.
    on_error : callable, optional
        Called with the InputError of each frame that cannot be used, which is then left out. Without it the first
        such error is raised.

    Returns
    -------
    CcdImage
        ADU above the overscan (or above zero, without one). The card UPRRDN holds the read noise (ADU): the root
        mean square over the frame of the standard deviation of every pixel, pixels of more than several times the
        usual variance left out.

    Raises
    ------
    InputError
        A file cannot be used, or is not a raw frame.
    ValueError
        No frames, other shapes, a section outside of the frame.
    """
    detector = detector or Detector()
    with open_calibrated(frames, detector, memory_limit=memory_limit, on_error=on_error) as (
        made,
        raw,
        memory,
    ):
        # Unsigned words stay what they are where nothing is done to them.
        plain = all(is_plain(frame, one.layout) for frame, one in zip(raw, made, strict=True))
        combined = combine_opened(
            raw if plain else made,
            method,
            sigma_clip=sigma_clip,
            memory_limit=memory,
            threads=threads,
        )
        master = image_of(combined, made, "master bias", "adu")
        history(master.header, *layout_lines(made[0], detector))
    history(
        master.header,
        combined_line(len(made), method, sigma_clip),
        *name_lines([frame.name for frame in made]),
    )
    noise = _scatter(combined, method)
    if noise is not None:
        master.header[CARDS["read_noise"]] = round(noise, 4), "[adu] read noise, from the scatter of biases"
    return master


def _scatter(combined: Combined, method: str) -> float | None:
    """Root mean square over the frame of the standard deviation of single values."""
    if combined.uncertainty is None:
        return None
    count = combined.count.astype(np.float64)
    known = np.isfinite(combined.uncertainty) & (count > 1)
    if not known.any():
        return None
    factor = np.where((method == "median") & (count > 2), np.pi / 2, 1.0)
    variance = (combined.uncertainty.astype(np.float64) ** 2 * count / factor)[known]
    # Few values scatter widely about their variance: the fewer, the more is let through.
    limit = np.median(variance) * (1 + 30 / max(float(np.median(count[known])) - 1, 1))
    kept = variance[variance <= limit]
    return float(np.sqrt(kept.mean()))


def master_dark(
    frames: Sequence[Any],
    *,
    bias: Any = None,
    detector: Detector | None = None,
    method: Method = "median",
    sigma_clip: float | tuple[float, float] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    on_error: OnError = None,
) -> CcdImage:
    """Combine dark frames into a dark current.

    Parameters
    ----------
    frames : sequence of path-like, CCDData or array_like
        Raw frames, of any exposure times.
    bias : CcdImage, path-like, CCDData or array_like, optional
        Master bias. Without one, and without an overscan, the bias would count as dark current.
    detector : Detector, optional
        How they were read out; default: overscan and trim as their headers say.
    method : {'median', 'mean'}, optional
        Statistic.
    sigma_clip : float or (float, float), optional
        Clip at so many standard deviations about the median.
    memory_limit : int, optional
        Bytes of scratch memory at most.
    threads : int, optional
        Threads; default: the cores this process may use.
    on_error : callable, optional
        Called with the InputError of each frame that cannot be used, which is then left out. Without it the first
        such error is raised.

    Returns
    -------
    CcdImage
        ADU per second: every frame is divided by its exposure time before it is combined.

    Raises
    ------
    InputError
        A file cannot be used, or its exposure time is missing or not positive.
    ValueError
        No frames, other shapes, a section outside of the frame.
    """
    detector = detector or Detector()
    offset = None if bias is None else as_image(bias, "bias")
    with open_calibrated(
        frames,
        detector,
        bias=offset,
        memory_limit=memory_limit,
        saturated_to_nan=True,
        with_exptime=True,
        on_error=on_error,
    ) as (made, _, memory):
        combined = combine_opened(
            made,
            method,
            sigma_clip=sigma_clip,
            scale=[1 / frame.exptime for frame in made],
            memory_limit=memory,
            threads=threads,
        )
        master = image_of(combined, made, "master dark", "adu / s")
        history(master.header, *layout_lines(made[0], detector))
    if offset is not None:
        history(master.header, f"bias subtracted: {Path(offset.name).name}")
    history(
        master.header,
        "divided by the exposure times",
        combined_line(len(made), method, sigma_clip),
        *name_lines([frame.name for frame in made]),
    )
    return master
