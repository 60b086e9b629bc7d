"""IMA and FLT files from an exposure and its fit, with every card of the input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp import detector
from upramp.io import check_output, fits, write_extensions
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir.exposure import BORDER, PLANES, Ramp
from upramp.wfc3ir.fit import Fit

__all__ = ["Cards", "product_names", "write_flt", "write_ima"]

Cards = Mapping[str, tuple[Any, str]]
"""Primary cards to set: keyword to (value, comment)."""

_BITPIX = {"SCI": -32, "ERR": -32, "DQ": 16, "SAMP": 16, "TIME": -32}


def product_names(path: Path, directory: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Names of the IMA and FLT made from `path`.

    Parameters
    ----------
    path : Path
        RAW or IMA file, plain or compressed.
    directory : path-like
        Where the products shall stand.
    """
    root = path.name
    for suffix in (".gz", ".fz", ".fits", ".fit", "_ima", "_raw"):
        root = root.removesuffix(suffix)
    return Path(directory) / f"{root}_ima.fits", Path(directory) / f"{root}_flt.fits"


def write_ima(
    path: str | os.PathLike[str],
    ramp: Ramp,
    *,
    read_dq: NDArray[np.uint16] | None = None,
    cards: Cards | None = None,
    history: Sequence[str] = (),
    tables: Sequence[bytes] = (),
    overwrite: bool = False,
    threads: int | None = None,
) -> None:
    """Write the reads of an exposure as an IMA file.

    Parameters
    ----------
    path : path-like
        File to write; it appears whole or not at all.
    ramp : Ramp
        Exposure; its headers are copied card by card, extensions in the order and type they had. A null
        extension stays null while its plane is constant, with PIXVALUE at full float32 precision.
    read_dq : (nread, ny, nx) ndarray of uint16, optional
        DQ to write instead of the exposure's, see :attr:`Fit.read_dq`.
    cards : mapping, optional
        Primary cards to set.
    history : sequence of str, optional
        HISTORY lines to add.
    tables : sequence of bytes, optional
        Finished table extensions to append.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    threads : int, optional
        Number of threads.
    """
    target = Path(path)
    check_output(target, overwrite=overwrite)
    flags = ramp.dq if read_dq is None else read_dq
    stated = int(ramp.headers["SCI", 1].get("SDQFLAGS", 0xFFFF)) & 0xFFFF
    region = bounds(ramp.border, ramp.sci.shape[1:])
    statistics = detector.good_pixels(
        ramp.sci, ramp.err, np.ascontiguousarray(flags), stated, region, threads=threads
    )

    def units() -> Iterator[tuple[fits.Header, NDArray[Any] | None] | bytes]:
        yield _primary(ramp, target, 5 * ramp.nread, cards, history), None
        for version in range(1, ramp.nread + 1):
            r = ramp.nread - version
            planes = {
                "SCI": ramp.sci[r],
                "ERR": ramp.err[r],
                "DQ": flags[r],
                "SAMP": ramp.samp[r],
                "TIME": ramp.time[r],
            }
            headers = {name: ramp.headers[name, version] for name in PLANES}
            headers["SCI"], headers["ERR"] = headers["SCI"].copy(), headers["ERR"].copy()
            for name in ("SCI", "ERR"):
                headers[name]["BUNIT"] = ramp.unit
            _put_statistics(headers, statistics[r])
            for name in PLANES:
                yield _unit(name, headers[name], planes[name], ramp.sci.shape[1:])
        yield from tables

    write_extensions(target, units(), overwrite=overwrite)


def write_flt(
    path: str | os.PathLike[str],
    fit: Fit,
    like: Ramp,
    *,
    cards: Cards | None = None,
    history: Sequence[str] = (),
    tables: Sequence[bytes] = (),
    overwrite: bool = False,
) -> None:
    """Write the fit of an exposure as an FLT file.

    Parameters
    ----------
    path : path-like
        File to write; it appears whole or not at all.
    fit : Fit
        Planes to write.
    like : Ramp
        Exposure whose primary header and IMSET 1 headers are taken over, LTV and CRPIX moved by the border
        that is trimmed off.
    cards, history, tables, overwrite : optional
        As of :func:`write_ima`.
    """
    target = Path(path)
    check_output(target, overwrite=overwrite)
    planes: dict[str, NDArray[Any]] = {
        "SCI": fit.rate,
        "ERR": fit.err,
        "DQ": fit.dq,
        "SAMP": fit.samp,
        "TIME": fit.time,
    }
    headers = {name: like.headers[name, 1].copy() for name in PLANES}
    for header in headers.values():
        for key in ("LTV1", "LTV2", "CRPIX1", "CRPIX2"):
            if key in header:
                header[key] = header[key] - BORDER
    for name in ("SCI", "ERR"):
        headers[name]["BUNIT"] = fit.unit
    if fit.excluded.any():
        headers["SCI"]["SAMPTIME"] = fit.exptime
    stated = int(headers["SCI"].get("SDQFLAGS", 0xFFFF)) & 0xFFFF
    whole = bounds(None, fit.rate.shape)
    (found,) = detector.good_pixels(fit.rate[None], fit.err[None], fit.dq[None], stated, whole, threads=1)
    _put_statistics(headers, found)
    for name in PLANES:
        # A fitted plane is an image even if it happens to be constant.
        _describe_image(headers[name], name, fit.rate.shape)
    primary = _primary(like, target, 5, cards, history)
    units: list[Any] = [(primary, None), *((headers[name], planes[name]) for name in PLANES), *tables]
    write_extensions(target, units, overwrite=overwrite)


def _primary(
    ramp: Ramp, target: Path, extensions: int, cards: Cards | None, history: Sequence[str]
) -> fits.Header:
    header = ramp.primary.copy()
    header["NEXTEND"] = extensions
    header["FILENAME"] = target.name
    for keyword, (value, comment) in (cards or {}).items():
        header.set(keyword, value, comment or None)
    for line in history:
        header.add_history(line)
    return header


def _unit(
    name: str, header: fits.Header, plane: Any, shape: tuple[int, ...]
) -> tuple[fits.Header, NDArray[Any] | None]:
    """One extension: an image, or null where it was null and still is constant."""
    if np.ndim(plane) == 0 or (header["NAXIS"] == 0 and _constant(plane)):
        value = plane if np.ndim(plane) == 0 else plane[0, 0]
        if header["NAXIS"] == 0:
            stated = header.get("PIXVALUE")
            if stated is None or np.asarray(value).dtype.type(stated) != value:
                header = header.copy()
                # Shortest decimals that give the same float32 back.
                header["PIXVALUE"] = float(str(value)) if name in ("SCI", "ERR", "TIME") else int(value)
            return header, None
        plane = np.full(shape, value)
    if header["NAXIS"] == 0 or header["BITPIX"] != _BITPIX[name] or "BZERO" in header:
        header = header.copy()
        _describe_image(header, name, shape)
    return header, plane


def _constant(plane: NDArray[Any]) -> bool:
    # A row from the middle tells an image at once; the first ones are of reference pixels.
    return bool(np.all(plane[len(plane) // 2] == plane[0, 0]) and np.all(plane == plane[0, 0]))


def _describe_image(header: fits.Header, name: str, shape: tuple[int, ...]) -> None:
    """Make the structural cards say: an image of `shape`."""
    header["BITPIX"] = _BITPIX[name]
    header["NAXIS"] = 2
    for axis, size in ((1, shape[1]), (2, shape[0])):
        after = "NAXIS" if axis == 1 else "NAXIS1"
        if f"NAXIS{axis}" in header:
            header[f"NAXIS{axis}"] = size
        else:
            header.insert(after, (f"NAXIS{axis}", size, f"length of data axis {axis}"), after=True)
    for key in ("NPIX1", "NPIX2", "PIXVALUE", "BSCALE", "BZERO"):
        header.remove(key, ignore_missing=True)


def _put_statistics(headers: dict[str, fits.Header], found: detector.GoodPixels) -> None:
    """Statistics of the good pixels, where calwf3 puts them.

    calwf3 has two of the sets swapped, and archive files carry them so: SNR* of SCI describe ERR, and GOOD*
    of ERR describe the signal-to-noise ratio.
    """
    count, signal, error, ratio = found
    for header in (headers["SCI"], headers["ERR"]):
        header["NGOODPIX"] = count
    if count == 0:
        return
    for header, prefix, values in (
        (headers["SCI"], "GOOD", signal),
        (headers["SCI"], "SNR", error),
        (headers["ERR"], "GOOD", ratio),
    ):
        for suffix, value in zip(("MEAN", "MIN", "MAX"), values, strict=True):
            if np.isfinite(value):
                header[prefix + suffix] = float(f"{value:.7E}")
