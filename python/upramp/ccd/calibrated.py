"""Raw frames, calibrated while their rows are read: overscan, trim, bias, dark."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.ccd.detector import Detector, saturation_of
from upramp.ccd.frames import ArrayFrame, FileFrame, Frame, Kind, Words
from upramp.ccd.image import CcdImage
from upramp.ccd.overscan import overscan_levels
from upramp.ccd.sections import Layout, find_layout
from upramp.io import fits

__all__ = ["CalibratedFrame", "header_of"]

PIECE = 1 << 18
"""Pixels of the raw frame in memory at a time."""


def header_of(frame: Frame, meta: Any = None) -> fits.Header:
    """Header of a frame: that of its file, or `meta`.

    Parameters
    ----------
    frame : Frame
        Frame.
    meta : mapping, optional
        Cards of a frame in memory.
    """
    inner = getattr(frame, "file", None)
    if inner is not None:
        header: fits.Header = inner.header
        return header
    return fits.Header() if meta is None else fits.Header(meta)


class CalibratedFrame(Frame):
    """A raw frame as it is after overscan, trim, bias and dark.

    Parameters
    ----------
    frame : Frame
        Raw frame.
    header : Header
        Its header.
    detector : Detector
        How it was read out.
    bias : CcdImage, optional
        Master bias, subtracted; of the size of what is kept.
    dark : CcdImage, optional
        Master dark, ADU per second, subtracted `exptime` times.
    exptime : float, optional
        Exposure time, s.
    saturated_to_nan : bool, optional
        Whether saturated pixels become NaN, and so are left out of a combination.

    Attributes
    ----------
    layout : Layout
        Sections.
    header : Header
        Header of the raw frame.
    exptime : float
        Exposure time, s, as given.
    """

    def __init__(
        self,
        frame: Frame,
        header: fits.Header,
        detector: Detector,
        *,
        bias: CcdImage | None = None,
        dark: CcdImage | None = None,
        exptime: float = 0.0,
        saturated_to_nan: bool = False,
    ) -> None:
        self.layout: Layout = find_layout(header, frame.shape, detector.overscan, detector.trim, frame.name)
        self.name, self.shape, self.kind = frame.name, self.layout.size, "f4"
        self.header = header
        self.has_mask, self.has_std = frame.has_mask, False
        self._frame = frame
        self.exptime = exptime
        self._limit = saturation_of(header, detector) if saturated_to_nan else np.inf
        self._bias, self._dark = (_checked(image, self) for image in (bias, dark))
        self._levels = self._overscan(detector)

    @property
    def level(self) -> float | None:
        """Mean level of the overscan, ADU; None without."""
        return None if self._levels is None else float(self._levels.mean())

    def _overscan(self, detector: Detector) -> NDArray[np.float32] | None:
        """Levels to subtract, as a column or a row of what is kept."""
        if self.layout.overscan is None:
            return None
        y, x = self.layout.overscan
        pixels = np.concatenate([rows[:, x] for rows in self.raw_pieces(y.start, y.stop)])
        how = detector.overscan_method, detector.overscan_order
        if self.layout.along == "rows":
            levels = overscan_levels(pixels, *how)
            skip = self.layout.trim[0].start - y.start
            return levels[skip : skip + self.shape[0], None]
        levels = overscan_levels(pixels.T, *how)
        skip = self.layout.trim[1].start - x.start
        return levels[None, skip : skip + self.shape[1]]

    def raw_pieces(self, y0: int, y1: int) -> Any:
        """Rows of the raw frame as float32, a few at a time.

        Parameters
        ----------
        y0, y1 : int
            Rows of the raw frame, half-open.

        Yields
        ------
        ndarray
            Some rows.
        """
        width = self._frame.shape[1]
        step = max(PIECE // width, 1)
        scratch = np.empty(min(step, y1 - y0) * width, np.float32)
        for y in range(y0, y1, step):
            room = scratch[: (min(y + step, y1) - y) * width]
            words = self._frame.words(y, min(y + step, y1), "f4", room)
            pixels = words.words.byteswap() if words.swapped else words.words
            yield np.array(pixels.reshape(-1, width))

    def copies(self, kind: Kind) -> bool:
        """Whether rows must be copied: always; see :class:`Frame`."""
        return True

    def words(self, y0: int, y1: int, kind: Kind, scratch: NDArray[Any] | None) -> Words:
        """Rows as words; see :class:`Frame`."""
        if scratch is None:
            raise ValueError(f"{self.name}: calibrated rows need scratch memory")
        out = scratch.reshape(y1 - y0, self.shape[1])
        rows, columns = self.layout.trim
        y = y0
        for raw in self.raw_pieces(rows.start + y0, rows.start + y1):
            part = out[y - y0 : y - y0 + len(raw)]
            part[...] = raw[:, columns]
            if np.isfinite(self._limit):
                part[part >= self._limit] = np.nan
            here = slice(y, y + len(raw))
            if self._levels is not None:
                part -= self._levels[here] if self.layout.along == "rows" else self._levels
            if self._bias is not None:
                part -= self._bias[here]
            if self._dark is not None:
                part -= self._dark[here] * np.float32(self.exptime)
            y += len(raw)
        return Words(scratch)

    def mask(self, y0: int, y1: int) -> NDArray[np.bool_] | None:
        """Mask of rows; see :class:`Frame`."""
        rows, columns = self.layout.trim
        mask = self._frame.mask(rows.start + y0, rows.start + y1)
        if mask is None:
            return None
        return np.ascontiguousarray(mask.reshape(y1 - y0, -1)[:, columns]).reshape(-1)

    def std(self, y0: int, y1: int) -> NDArray[np.float32] | None:
        """Deviations of rows: none; see :class:`Frame`."""
        return None


def _checked(image: CcdImage | None, frame: Frame) -> NDArray[np.float32] | None:
    if image is None:
        return None
    if image.data.shape != frame.shape:
        raise ValueError(
            f"{image.name} has shape {image.data.shape}, expected {frame.shape}, what is kept of {frame.name}"
        )
    return image.data


def is_plain(frame: Frame, layout: Layout) -> bool:
    """Whether a calibrated frame without bias and dark is just the frame itself.

    Parameters
    ----------
    frame : Frame
        Raw frame.
    layout : Layout
        Its sections.
    """
    return isinstance(frame, (ArrayFrame, FileFrame)) and layout.is_whole
