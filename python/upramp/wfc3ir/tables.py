"""Tables of exposures and of the reads within one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import FitsReader, fits
from upramp.ramps import read_stats
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir.exposure import Ramp, read_ramp

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["holds_offset", "interval_medians", "interval_rates", "inventory", "sample_table", "strips"]

ACCEPTED_DQ = 1024 | 2048 | 8192
"""Bits that leave a sample fit for a median: charge trap, signal in the zeroth read, cosmic ray."""

STRIP = (40 / 1014, 240 / 1014)
"""Columns of the left strip as fractions of the width; those of the right strip mirror them."""

_COLUMNS = {
    "rootname": "ROOTNAME",
    "targname": "TARGNAME",
    "filter": "FILTER",
    "samp_seq": "SAMP_SEQ",
    "nsamp": "NSAMP",
    "subtype": "SUBTYPE",
    "exptime": "EXPTIME",
    "date-obs": "DATE-OBS",
    "time-obs": "TIME-OBS",
    "crcorr": "CRCORR",
    "bunit": "BUNIT",
}


def inventory(
    paths: Iterable[str | os.PathLike[str]],
    *,
    keys: Sequence[str] = (),
    on_error: Callable[[InputError], None] | None = None,
) -> Table:
    """List exposures, one row per file, from their headers alone.

    Parameters
    ----------
    paths : iterable of path-like
        Files: RAW, IMA, FLT or any other FITS.
    keys : sequence of str, optional
        More keywords; each is looked up in the primary header, then in that of SCI,1.
    on_error : callable, optional
        Called with the error of each file that cannot be read, which is then left out. Without it the first
        such error is raised.

    Returns
    -------
    astropy.table.Table
        Columns ``file``, ``rootname``, ``targname``, ``filter``, ``samp_seq``, ``nsamp``, ``subtype``,
        ``exptime`` (s), ``date-obs``, ``time-obs``, ``crcorr``, ``bunit``, ``kind`` and one per key, in lower
        case. What a file does not say is masked. ``kind`` (RAW, IMA or FLT) follows from the contents of a
        WFC3/IR file, not from its name.

    Raises
    ------
    InputError
        Missing, truncated or damaged file, or not FITS; the message names it.
    """
    extra = {key.strip().lower(): key.strip().upper() for key in keys}
    wanted = _COLUMNS | {name: key for name, key in extra.items() if name not in _COLUMNS}
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            rows.append(_facts(path, wanted))
        except InputError as error:
            if on_error is None:
                raise
            on_error(error)
    names = ["file", *_COLUMNS, "kind", *(name for name in wanted if name not in _COLUMNS)]
    return _table({name: [row[name] for row in rows] for name in names}, {"exptime": "s"})


def _facts(path: str | os.PathLike[str], wanted: Mapping[str, str]) -> dict[str, Any]:
    with FitsReader(path) as reader:
        primary = reader.extensions[0].header
        science = [unit.header for unit in reader.extensions[1:] if unit.header.get("EXTNAME") == "SCI"]
        # Extensions of other versions repeat keywords of imset 1, or hold those of earlier reads.
        first = next((header for header in science if header.get("EXTVER", 1) == 1), fits.Header())
        try:
            facts = {name: _value(key, primary, first) for name, key in wanted.items()}
            kind = _kind(primary, len(science))
        except fits.VerifyError as error:
            raise InputError(f"{reader.path}: header cannot be read ({error})") from error
    return {"file": str(path), "kind": kind, **facts}


def _value(key: str, *headers: fits.Header) -> Any:
    for header in headers:
        value = header.get(key)
        # A card without a value reads as an astropy object of its own.
        if isinstance(value, (str, bool, int, float)):
            return value.strip() if isinstance(value, str) else value
    return None


def _kind(primary: fits.Header, imsets: int) -> str | None:
    """RAW, IMA or FLT by content; None where the question makes no sense."""
    if (_value("INSTRUME", primary), _value("DETECTOR", primary)) != ("WFC3", "IR") or not imsets:
        return None
    nsamp = _value("NSAMP", primary)
    if not isinstance(nsamp, int):
        return None  # a reference file
    if imsets == 1 and nsamp > 1:
        return "FLT"
    switches = (value for key, value in primary.items() if key.endswith("CORR"))
    return "IMA" if any(str(value).strip() == "COMPLETE" for value in switches) else "RAW"


def _table(columns: Mapping[str, Sequence[Any]], units: Mapping[str, str]) -> Table:
    """Table of values of which some may be None, which become masked."""
    from astropy.table import MaskedColumn, Table

    made = []
    for name, values in columns.items():
        known = [value for value in values if value is not None]
        # Headers of one kind may still disagree on a type ("1" and 1): text holds both.
        if known and all(isinstance(value, bool) for value in known):
            dtype: type = bool
        elif known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
            dtype = int
        elif known and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in known
        ):
            dtype = float
        else:
            dtype = str
        filled = [dtype() if value is None else dtype(value) for value in values]
        mask = [value is None for value in values]
        unit = units.get(name)
        made.append(MaskedColumn(np.array(filled, dtype), name=name, mask=mask, unit=unit))
    return Table(made)


def interval_rates(ramp: Ramp) -> NDArray[np.float32]:
    """Signal gathered between neighbouring reads, per second.

    D_k = (C_k - C_(k-1)) / (t_k - t_(k-1)) with the accumulated signal C_k. The zeroth read holds C_0 = 0 as
    soon as it has been subtracted (ZOFFCORR); before that, in a RAW file, it counts as it is stored.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    (nread - 1, ny, nx) ndarray of float32
        Interval images in time order, in the unit of `ramp` per second, with the border.
    """
    times = ramp.times
    steps = np.diff(times)
    if not (steps > 0).all():
        listed = ", ".join(f"{time:g}" for time in times)
        raise InputError(f"{ramp.path}: SAMPTIME does not grow from read to read: {listed}")
    # Rates turn into counts by their time; both factors are applied at once to spare a copy of the cube.
    weight = times if ramp.is_rate else np.ones_like(times)
    after = (weight[1:] / steps).astype(np.float32)[:, None, None]
    before = (weight[:-1] / steps).astype(np.float32)[:, None, None]
    rates: NDArray[np.float32] = ramp.sci[1:] * after
    first = 0 if holds_offset(ramp) else 1
    rates[first:] -= ramp.sci[first:-1] * before[first:]
    return rates


def holds_offset(ramp: Ramp) -> bool:
    """Whether the zeroth read has not been subtracted yet, as in a RAW file.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    return not ramp.is_rate and str(ramp.primary.get("ZOFFCORR", "")).strip() != "COMPLETE"


def strips(
    ramp: Ramp, region: tuple[slice, slice] | None = None
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Left and right strip of a region, where scattered light differs most.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.

    Returns
    -------
    left, right : tuple of slice
        Rows and columns: columns 40 to 240 of 1014 in proportion to the width, and their mirror image.
    """
    y0, y1, x0, x1 = bounds(region or ramp.border, ramp.sci.shape[1:])
    inner = round((x1 - x0) * STRIP[0])
    outer = max(round((x1 - x0) * STRIP[1]), inner + 1)
    rows = slice(y0, y1)
    return (rows, slice(x0 + inner, x0 + outer)), (rows, slice(x1 - outer, x1 - inner))


def interval_medians(ramp: Ramp, region: tuple[slice, slice] | None = None) -> NDArray[np.float64]:
    """Median rate of every interval between reads.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.

    Returns
    -------
    (nread - 1,) ndarray of float64
        Medians of :func:`interval_rates` over the pixels that are good in both reads: no DQ bits but 1024,
        2048 and 8192. NaN where there is none.
    """
    return next(_medians(ramp, region or ramp.border))


def _medians(ramp: Ramp, *regions: tuple[slice, slice]) -> Iterator[NDArray[np.float64]]:
    if ramp.nread < 2:
        yield from (np.empty(0) for _ in regions)
        return
    rates = interval_rates(ramp)
    flags = ramp.dq[1:] | ramp.dq[:-1]
    for region in regions:
        yield read_stats(rates, flags, bad_dq=0xFFFF & ~ACCEPTED_DQ, region=region).median


def sample_table(
    exposure: Ramp | str | os.PathLike[str],
    *,
    region: tuple[slice, slice] | None = None,
    keys: Sequence[str] = (),
) -> Table:
    """List the reads of an exposure in time order.

    Parameters
    ----------
    exposure : Ramp or path-like
        Exposure, or the RAW or IMA file that holds it.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.
    keys : sequence of str, optional
        More keywords of the SCI headers.

    Returns
    -------
    astropy.table.Table
        One row per read: ``sampnum``, ``imset``, ``samptime`` (s), ``deltatim`` (s), and the median rates of
        the interval that ends with the read, ``median`` in the region, ``left`` and ``right`` in its
        :func:`strips`; NaN for the zeroth read, which ends none. Then one column per key, in lower case.

    Raises
    ------
    InputError
        As :func:`read_ramp`; a FLT file holds no reads.
    """
    ramp = exposure if isinstance(exposure, Ramp) else read_ramp(exposure)
    rate = f"{'electron' if ramp.in_electrons else 'ct'} / s"
    columns: dict[str, Sequence[Any]] = {
        "sampnum": ramp.sampnum.tolist(),
        "imset": ramp.imset.tolist(),
        "samptime": ramp.times.tolist(),
        # Headers give microseconds; more digits are noise of the subtraction.
        "deltatim": np.diff(ramp.times, prepend=ramp.times[0]).round(6).tolist(),
    }
    units = {"samptime": "s", "deltatim": "s"}
    region = region or ramp.border
    for name, medians in zip(
        ("median", "left", "right"), _medians(ramp, region, *strips(ramp, region)), strict=True
    ):
        columns[name] = [np.nan, *medians.tolist()]
        units[name] = rate
    for key in keys:
        name = key.strip().lower()
        if name not in columns:
            headers = (ramp.header("SCI", read) for read in range(ramp.nread))
            columns[name] = [_value(key.strip().upper(), header) for header in headers]
    table = _table(columns, units)
    table.meta["file"] = str(ramp.path)
    for name in ("rootname", "filter", "samp_seq", "nsamp", "exptime"):
        table.meta[name] = _value(name.upper(), ramp.primary)
    return table
