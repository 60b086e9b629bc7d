"""Combine many frames into one, rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import count_threads
from upramp.ccd.frames import Frame, Kind, is_ccddata
from upramp.ccd.opening import OnError, check_shape, open_frames

__all__ = ["MEMORY_LIMIT", "Combined", "combine", "combine_opened"]

MEMORY_LIMIT = 1 << 29
"""Scratch memory that is enough for most, bytes."""
BAND = 1 << 24
"""Bytes of a band that need not be exceeded: what is read is still in the cache when it is combined."""
STRETCH = 1 << 18
"""Bytes worth reading from one file at a time."""
OPEN_FILE = 3584
"""Bytes that an open file costs."""

Scaling = Sequence[float] | NDArray[Any] | Callable[[NDArray[np.float32]], float] | None
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Frames combined.

    Attributes
    ----------
    data : ndarray, (ny, nx) float32
        Combined values, NaN where no frame has a good one.
    uncertainty : ndarray, (ny, nx) float32, or None
        Standard deviation of `data`, NaN where it is not known; None if not asked for.
    mask : ndarray, (ny, nx) bool
        True where `count` is 0.
    count : ndarray, (ny, nx) uint16
        Values that `data` is made of; read only where it is the same number everywhere.
    """

    data: NDArray[np.float32]
    uncertainty: NDArray[np.float32] | None
    mask: NDArray[np.bool_]
    count: NDArray[np.uint16]

    def to_ccddata(self, unit: Any = "adu", meta: Any = None) -> Any:
        """As an astropy CCDData.

        Parameters
        ----------
        unit : str or Unit, optional
            Unit of the data.
        meta : mapping, optional
            Header.

        Returns
        -------
        CCDData
            With the mask and, if there is one, the uncertainty (StdDevUncertainty).
        """
        from astropy.nddata import CCDData, StdDevUncertainty

        error = None if self.uncertainty is None else StdDevUncertainty(self.uncertainty)
        return CCDData(self.data, unit=unit, mask=self.mask, uncertainty=error, meta=meta)


def combine(
    frames: Sequence[Any] | NDArray[Any],
    method: Literal["median", "mean"] = "median",
    *,
    sigma_clip: float | Pair | None = None,
    max_iter: int = 5,
    centre: Literal["median", "mean"] = "median",
    deviation: Literal["std", "mad"] = "std",
    minmax: int | tuple[int, int] | None = None,
    scale: Scaling = None,
    zero: Scaling = None,
    masks: Sequence[ArrayLike | None] | None = None,
    uncertainties: Sequence[ArrayLike | None] | None = None,
    uncertainty: bool = True,
    ext: int | str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
    on_error: OnError = None,
) -> Combined:
    """Combine frames into one: median or mean of every pixel, after outliers are left out.

    Files are read in bands of rows, each of them opened once, however many there are; arrays are used where they
    lie. Pixels that are masked or not finite are left out.

    Parameters
    ----------
    frames : sequence of array_like, CCDData or path-like
        Frames of one shape (ny, nx): arrays of any numeric type and byte order (masked ones too), CCDData with
        their masks and uncertainties, FITS files (plain, gzipped, fpacked; a MASK extension, not zero where a pixel
        is bad, and an UNCERT extension are heeded). Or a cube (n, ny, nx). uint16 and float32 are taken as they
        are, other types as float32.
    method : {'median', 'mean'}, optional
        Statistic; the median of an even number is the mean of the two middle values.
    sigma_clip : float or (float, float), optional
        Leave out values more than so many deviations below, above the centre, again and again.
    max_iter : int, optional
        Rounds of clipping at most.
    centre : {'median', 'mean'}, optional
        Centre for clipping.
    deviation : {'std', 'mad'}, optional
        Deviation for clipping: standard deviation, or 1.4826 times the median absolute deviation from the median.
    minmax : int or (int, int), optional
        Leave out so many of the lowest and of the highest values; not with `sigma_clip`.
    scale, zero : sequence of float or callable, optional
        Of every frame `scale * (pixel - zero)` is combined, and clipped. A callable gets a whole frame (float32,
        NaN where masked), so that one frame more is in memory at a time; for `scale` it is without its `zero`.
    masks : sequence of (array_like or None), optional
        True for pixels to leave out, beside the masks that frames have.
    uncertainties : sequence of (array_like or None), optional
        Standard deviations, in place of those that frames have. They are used if all frames have some.
    uncertainty : bool, optional
        Whether to return one: f s / sqrt(n), with f = 1 for means and medians of up to two values, else
        sqrt(pi / 2) = 1.2533; s is the standard deviation of the n values used (n - 1 in the denominator), or the
        root mean square of their own uncertainties.
    ext : int or str, optional
        Extension of the image in files; by default the first that holds one.
    memory_limit : int, optional
        Bytes of scratch memory at most, beside the inputs in memory and the result.
    threads : int, optional
        Threads; default: the cores this process may use. They do not change the result.
    on_error : callable, optional
        Called with the InputError of each frame that cannot be used, which is then left out. Without it the first
        such error is raised.

    Returns
    -------
    Combined
        Data, uncertainty, mask, count.

    Raises
    ------
    InputError
        A file cannot be used.
    TypeError
        A frame does not hold numbers.
    ValueError
        No frame, other shapes or units, a parameter out of its range, a memory limit too small for one row.

    Notes
    -----
    Clipping is that of :func:`astropy.stats.sigma_clip` along the frames, applied to scaled values (ccdproc clips
    before it scales). ``tests/test_combine.py`` compares them value by value (but for ``mad``, where the compiled
    loop of astropy 8.0 departs from its own definition for even numbers), and medians with NumPy's to the bit.

    Examples
    --------
    >>> import numpy as np
    >>> found = combine(np.array([[[1, 5]], [[2, 6]], [[9, 4]]], np.uint16))
    >>> found.data.tolist(), found.count.tolist()
    ([[2.0, 5.0]], [[3, 3]])
    """
    listed = list(frames)
    if not listed:
        raise ValueError("frames is empty, expected at least one frame")
    for name, given in (("masks", masks), ("uncertainties", uncertainties)):
        if given is not None and len(given) != len(listed):
            raise ValueError(f"{name} has {len(given)} entries, expected {len(listed)}, one a frame")
    if memory_limit < 1:
        raise ValueError(f"memory_limit is {memory_limit}, expected a positive number of bytes")
    units = sorted({str(frame.unit) for frame in listed if is_ccddata(frame)})
    if len(units) > 1:
        raise ValueError(f"frames are in {' and '.join(units)}, expected one unit")
    with open_frames(
        listed,
        ext=ext,
        masks=masks,
        uncertainties=uncertainties,
        memory=memory_limit // 2,
        keep_headers=False,
        on_error=on_error,
    ) as (opened, spool):
        held = memory_limit // 2 - spool.free
        row = _row_bytes(opened, _kind(opened), uncertainty)
        if held and 2 * row > memory_limit:
            raise ValueError(_too_small(memory_limit, 2 * row, len(opened)))
        left = memory_limit - held
        files = sum(isinstance(frame, (str, os.PathLike)) for frame in listed)
        return combine_opened(
            opened,
            method,
            sigma_clip=sigma_clip,
            max_iter=max_iter,
            centre=centre,
            deviation=deviation,
            minmax=minmax,
            scale=_left("scale", scale, opened, len(listed)),
            zero=_left("zero", zero, opened, len(listed)),
            uncertainty=uncertainty,
            memory_limit=max(left - OPEN_FILE * files, min(left, row)),
            threads=threads,
        )


def combine_opened(
    frames: Sequence[Frame],
    method: str = "median",
    *,
    sigma_clip: float | Pair | None = None,
    max_iter: int = 5,
    centre: str = "median",
    deviation: str = "std",
    minmax: int | tuple[int, int] | None = None,
    scale: Scaling = None,
    zero: Scaling = None,
    uncertainty: bool = True,
    memory_limit: int = MEMORY_LIMIT,
    threads: int | None = None,
) -> Combined:
    """Combine frames that are open already; parameters as those of :func:`combine`.

    Parameters
    ----------
    frames : sequence of Frame
        Frames.
    method, sigma_clip, max_iter, centre, deviation, minmax, scale, zero, uncertainty, memory_limit, threads
        As in :func:`combine`.
    """
    clip, extremes = _rejection(method, sigma_clip, max_iter, centre, deviation, minmax, len(frames))
    threads = count_threads(threads)
    shape = frames[0].shape
    for frame in frames[1:]:
        check_shape(frame, frames)
    zeros = _levels("zero", zero, frames, 0.0, None)
    scales = _levels("scale", scale, frames, 1.0, zeros)
    kind = _kind(frames)
    has_std = uncertainty and all(frame.has_std for frame in frames)
    ny, nx = shape
    rows = _band(frames, kind, has_std, memory_limit)
    data = np.empty(shape, np.float32)
    # Words that are neither masked nor scaled are all used: no need to count them.
    plain = kind == "u2" and method == "median" and clip is None and extremes is None
    plain = plain and not any(frame.has_mask for frame in frames)
    plain = plain and all(number == 1 for number in scales) and not any(zeros)
    count = None if plain else np.empty(shape, np.uint16)
    empty = False
    error = np.empty(shape, np.float32) if uncertainty else None
    copied = [frame.copies(kind) for frame in frames]
    scratch = np.empty((sum(copied), min(rows, ny) * nx), kind)
    pool = ThreadPoolExecutor(threads) if threads > 1 and any(copied) else nullcontext()
    with pool as workers:
        each = map if workers is None else workers.map
        for y0 in range(0, ny, rows):
            y1 = min(y0 + rows, ny)
            free = iter(scratch[:, : (y1 - y0) * nx])
            rooms = [next(free) if copy else None for copy in copied]

            def read(pair: tuple[Frame, NDArray[Any] | None], y0: int = y0, y1: int = y1) -> Any:
                frame, room = pair
                std = frame.std(y0, y1) if has_std else None
                return frame.words(y0, y1, kind, room), frame.mask(y0, y1), std

            got = list(each(read, zip(frames, rooms, strict=True)))
            empty |= _core.combine_frames(
                [words.words for words, _, _ in got],
                [words.swapped for words, _, _ in got],
                [words.flipped for words, _, _ in got],
                [mask for _, mask, _ in got],
                [std for _, _, std in got] if has_std else None,
                scales,
                zeros,
                method,
                clip,
                extremes,
                data[y0:y1].reshape(-1),
                None if error is None else error[y0:y1].reshape(-1),
                None if count is None else count[y0:y1].reshape(-1),
                threads,
            )
    if count is None:
        count = np.broadcast_to(np.uint16(len(frames)), shape)
    return Combined(data, error, count == 0 if empty else np.zeros(shape, bool), count)


def _band(frames: Sequence[Frame], kind: Kind, has_std: bool, memory_limit: int) -> int:
    """Rows at a time."""
    ny = frames[0].shape[0]
    row = _row_bytes(frames, kind, has_std)
    if not row:
        return max(ny, 1)
    if row > memory_limit:
        raise ValueError(_too_small(memory_limit, row, len(frames)))
    wanted = max(BAND, STRETCH * len(frames))
    return int(min(max(min(wanted, memory_limit) // row, 1), max(ny, 1)))


def _kind(frames: Sequence[Frame]) -> Kind:
    return "u2" if all(frame.kind == "u2" for frame in frames) else "f4"


def _row_bytes(frames: Sequence[Frame], kind: Kind, has_std: bool) -> int:
    """Scratch memory for one row of all frames."""
    size = np.dtype(kind).itemsize
    each = (size * f.copies(kind) + f.has_mask + 4 * (has_std and f.has_std) for f in frames)
    return frames[0].shape[1] * sum(each)


def _too_small(limit: int, need: int, count: int) -> str:
    return f"memory_limit is {limit} bytes, expected at least {need}, for one row of {count} frames"


def _rejection(
    method: str,
    sigma_clip: float | Pair | None,
    max_iter: int,
    centre: str,
    deviation: str,
    minmax: int | tuple[int, int] | None,
    count: int,
) -> tuple[tuple[float, float, int, str, str] | None, tuple[int, int] | None]:
    for name, value, known in (
        ("method", method, ("median", "mean")),
        ("centre", centre, ("median", "mean")),
        ("deviation", deviation, ("std", "mad")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected {known[0]!r} or {known[1]!r}")
    if sigma_clip is not None and minmax is not None:
        raise ValueError("sigma_clip and minmax are both given, expected one of them")
    if max_iter < 0:
        raise ValueError(f"max_iter is {max_iter}, expected 0 or a positive number")
    if sigma_clip is not None:
        low, high = (sigma_clip, sigma_clip) if isinstance(sigma_clip, (int, float)) else sigma_clip
        if not (low > 0 and high > 0):
            raise ValueError(f"sigma_clip is {sigma_clip}, expected positive numbers")
        return (float(low), float(high), int(max_iter), centre, deviation), None
    if minmax is not None:
        lowest, highest = (minmax, minmax) if isinstance(minmax, int) else minmax
        if lowest < 0 or highest < 0 or lowest + highest >= count:
            raise ValueError(f"minmax is {minmax}, expected to leave at least one of {count} frames")
        return None, (int(lowest), int(highest))
    return None, None


def _left(name: str, value: Scaling, frames: Sequence[Frame], count: int) -> Scaling:
    """Of one number a frame given, those of the frames that are left."""
    if value is None or callable(value):
        return value
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} entries, expected {count}, one a frame")
    return [float(value[frame.index]) for frame in frames]


def _levels(
    name: str, value: Scaling, frames: Sequence[Frame], default: float, zeros: list[float] | None
) -> list[float]:
    if value is None:
        return [default] * len(frames)
    if callable(value):
        found = []
        for k, frame in enumerate(frames):
            image = frame.image()
            if zeros is not None:
                image -= np.float32(zeros[k])
            found.append(float(value(image)))
    else:
        found = [float(number) for number in value]
    for number, frame in zip(found, frames, strict=True):
        if not np.isfinite(number):
            raise ValueError(f"{name} of {frame.name} is {number}, expected a finite number")
    return found
