"""pstat, pstack and sampinfo as wfc3tools offers them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from upramp.compat._inputs import Inputs, is_association, list_paths
from upramp.wfc3ir.association import calibration_inputs
from upramp.wfc3ir.exposure import Ramp, read_ramp

__all__ = ["pstack", "pstat", "sampinfo"]

log = logging.getLogger(__name__)

T = TypeVar("T")

SECTION = re.compile(r"(?P<file>.*)\[\s*(-?\d*)\s*:\s*(-?\d*)\s*,\s*(-?\d*)\s*:\s*(-?\d*)\s*\]")


def pstat(
    filename: str | os.PathLike[str],
    col_slice: Sequence[int] | None = None,
    row_slice: Sequence[int] | None = None,
    extname: str = "sci",
    units: str = "counts",
    stat: str = "midpt",
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    plot: bool = True,
    overplot: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give, and plot, a statistic of a section for every read.

    Parameters
    ----------
    filename : path-like
        RAW or IMA. A section may follow as in earlier versions of wfc3tools, rows first:
        ``x_ima.fits[10:20,30:40]`` are rows 10 to 19 and columns 30 to 39.
    col_slice, row_slice : (int, int), optional
        First and last + 1 of the columns and rows, from 0; by default all.
    extname : str, optional
        ``sci``, ``err`` or ``dq``.
    units : str, optional
        ``counts`` (accumulated) or ``rate`` (per second) for SCI and ERR, whatever the file holds; the word does
        not turn electrons into DN.
    stat : str, optional
        ``midpt`` (median), ``mean``, ``mode``, ``stddev``, ``min`` or ``max``.
    title, xlabel, ylabel : str, optional
        Texts of the plot.
    plot : bool, optional
        Whether to plot, if matplotlib is installed.
    overplot : bool, optional
        Plot over what is there already.

    Returns
    -------
    xaxis : (nread,) ndarray of float64
        SAMPTIME in seconds, last read first.
    yaxis : (nread,) ndarray of float64
        Statistic of the same reads.

    Raises
    ------
    ValueError
        A bad argument, or a section without a pixel.
    InputError
        As :func:`upramp.read_ramp`.

    Notes
    -----
    Mean and standard deviation are summed in double precision; wfc3tools' single precision sums agree to some
    1e-6. DQ is taken as unsigned.
    """
    name, rows, columns = _section(filename, row_slice, col_slice)
    statistic = _choice("stat", stat, STATISTICS)
    plane = _choice("extname", extname.lower(), {key: key for key in ("sci", "err", "dq")})
    rate = _is_rate(units)
    ramp = read_ramp(name)
    cube = getattr(ramp, plane)[::-1, rows, columns]
    if cube[0].size == 0:
        raise ValueError(f"rows {_words(rows)} and columns {_words(columns)} hold no pixel of {name}")
    xaxis = ramp.times[::-1].copy()
    yaxis = np.array([statistic(image) for image in cube], float)
    if plane != "dq":
        yaxis *= _factors(ramp, rate)[::-1]
    if plot:
        ny, nx = ramp.sci.shape[1:]
        y, x = range(ny)[rows], range(nx)[columns]
        where = f"[{y.start}:{y.stop},{x.start}:{x.stop}]"
        _plot(
            xaxis,
            yaxis,
            title or f"{name}{where} {plane}: {stat}",
            xlabel or "sample time (s)",
            ylabel or f"{stat} ({_unit(ramp, plane, rate)})",
            clear=not overplot,
        )
    return xaxis, yaxis


def pstack(
    filename: str | os.PathLike[str],
    column: int = 0,
    row: int = 0,
    extname: str = "sci",
    units: str = "counts",
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    plot: bool = True,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Give, and plot, the value of a pixel in every read.

    Parameters
    ----------
    filename : path-like
        RAW or IMA.
    column, row : int, optional
        The pixel, from 0.
    extname : str, optional
        ``sci``, ``err``, ``dq``, ``samp`` or ``time``; the last gives SAMPTIME against the number of the imset.
    units, title, xlabel, ylabel, plot : optional
        As of :func:`pstat`.

    Returns
    -------
    xaxis : (nread,) ndarray
        SAMPTIME in seconds, last read first; for ``time`` the numbers of the imsets.
    yaxis : (nread,) ndarray of float64
        Value of the pixel in the same reads.

    Raises
    ------
    ValueError
        A bad argument.
    IndexError
        No such pixel.
    InputError
        As :func:`upramp.read_ramp`.
    """
    plane = _choice("extname", extname.lower(), {key: key for key in ("sci", "err", "dq", "samp", "time")})
    rate = _is_rate(units)
    ramp = read_ramp(filename)
    ny, nx = ramp.sci.shape[1:]
    if not (-ny <= row < ny and -nx <= column < nx):
        raise IndexError(f"column {column}, row {row} is not in {filename}: {nx} columns, {ny} rows")
    xaxis: NDArray[Any] = ramp.times[::-1].copy()
    yaxis: NDArray[np.float64]
    if plane == "time":
        yaxis = xaxis
        xaxis = np.arange(ramp.nread) + 1
    else:
        cube = getattr(ramp, plane)
        yaxis = np.array(cube if cube.ndim == 1 else cube[:, row, column], float)[::-1]
        if plane in ("sci", "err"):
            yaxis = yaxis * _factors(ramp, rate)[::-1]
    if plot:
        _plot(
            xaxis,
            yaxis,
            title or f"{os.fspath(filename)} {plane}: column {column}, row {row}",
            xlabel or ("imset" if plane == "time" else "sample time (s)"),
            ylabel or _unit(ramp, plane, rate),
            reverse=plane == "time",
        )
    return xaxis, np.ascontiguousarray(yaxis)


def sampinfo(
    imagelist: Inputs,
    add_keys: Sequence[str] | None = None,
    mean: bool = False,
    median: bool = False,
) -> None:
    """Print the reads of exposures, last read first.

    Parameters
    ----------
    imagelist : path-like or sequence of path-like
        RAW, IMA or ASN, given in any way that :func:`calwf3` takes.
    add_keys : sequence of str, optional
        More keywords of the SCI header, or else of the primary; NA where neither has one.
    mean : bool, optional
        Print the mean of all pixels, and the keywords DATAMIN and DATAMAX.
    median : bool, optional
        Print the median of all pixels.

    Raises
    ------
    InputError
        As :func:`upramp.read_ramp`.

    See Also
    --------
    upramp.sample_table : the same, and rates between the reads, as a table.
    """
    keys = ["SAMPTIME", "DELTATIM", *(add_keys or ())]
    if mean:
        keys += [key for key in ("DATAMIN", "DATAMAX") if key not in keys]
    for given in list_paths(imagelist):
        paths = calibration_inputs(given) if is_association(given) else [given]
        for path in paths:
            print("\n".join(_sample_lines(path, keys, mean=mean, median=median)))


def _sample_lines(path: Path, keys: Sequence[str], *, mean: bool, median: bool) -> Iterator[str]:
    ramp = read_ramp(path)
    extensions, sequence = (ramp.primary.get(key, "NA") for key in ("NEXTEND", "SAMP_SEQ"))
    seconds = ramp.primary.get("EXPTIME", np.nan)
    yield "IMAGE\t\t\tNEXTEND\tSAMP_SEQ\tNSAMP\tEXPTIME"
    yield f"{path}\t{extensions}\t{sequence}\t\t{ramp.nread}\t{seconds:f}\n"
    yield "\t".join(("IMSET", "SAMPNUM", *keys))
    for read in reversed(range(ramp.nread)):
        header = ramp.header("SCI", read)
        words = [str(ramp.nread - read), str(read)]
        words += [str(header[key] if key in header else ramp.primary.get(key, "NA")) for key in keys]
        if mean:
            words.append(f"AvgPixel: {np.float32(ramp.sci[read].mean(dtype=float))!s}")
        if median:
            words.append(f"MedPixel: {np.median(ramp.sci[read])!s}")
        yield "\t".join(words)


def _mode(image: NDArray[Any]) -> float:
    """The most frequent value, the smallest of several."""
    values, counts = np.unique(image, return_counts=True)
    return float("nan") if np.isnan(values[-1]) else float(values[np.argmax(counts)])


STATISTICS: dict[str, Callable[[NDArray[Any]], float]] = {
    "midpt": lambda image: float(np.median(image)),
    "mean": lambda image: float(np.mean(image, dtype=float)),
    "mode": _mode,
    "stddev": lambda image: float(np.std(image, dtype=float)),
    "min": lambda image: float(np.min(image)),
    "max": lambda image: float(np.max(image)),
}


def _choice(name: str, value: str, choices: Mapping[str, T]) -> T:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    return choices[value]


def _is_rate(units: str) -> bool:
    words = units.lower()
    if "rate" not in words and "counts" not in words:
        raise ValueError(f"units is {units!r}, expected counts or rate")
    return "rate" in words


def _factors(ramp: Ramp, rate: bool) -> NDArray[np.float64]:
    """What turns the planes of each read into accumulated signal or a rate; 0 where there is no rate."""
    if rate == ramp.is_rate:
        return np.ones(ramp.nread)
    if ramp.is_rate:
        return ramp.times
    return np.divide(1.0, ramp.times, out=np.zeros(ramp.nread), where=ramp.times > 0)


def _section(
    filename: str | os.PathLike[str], rows: Sequence[int] | None, columns: Sequence[int] | None
) -> tuple[str, slice, slice]:
    """File name, rows and columns, from the arguments or from brackets after the name."""
    name = os.fspath(filename)
    given = _slice("row_slice", rows), _slice("col_slice", columns)
    if Path(name).is_file() or not name.endswith("]"):
        return name, *given
    match = SECTION.fullmatch(name)
    if match is None:
        raise ValueError(f"filename is {name!r}, expected a section [rows,columns] such as [10:20,30:40]")
    if rows or columns:
        raise ValueError(f"filename is {name!r}: its section and row_slice or col_slice exclude each other")
    ends = [int(word) if word else None for word in match.groups()[1:]]
    return match["file"], slice(*ends[:2]), slice(*ends[2:])


def _slice(name: str, ends: Sequence[int] | None) -> slice:
    if not ends:
        return slice(None)
    if len(ends) != 2 or not all(isinstance(end, (int, np.integer)) for end in ends):
        raise ValueError(f"{name} is {ends!r}, expected two whole numbers (first, last + 1)")
    return slice(int(ends[0]), int(ends[1]))


def _words(part: slice) -> str:
    return ":".join("" if end is None else str(end) for end in (part.start, part.stop))


def _unit(ramp: Ramp, plane: str, rate: bool) -> str:
    if plane in ("dq", "samp"):
        return {"dq": "DQ", "samp": "samples"}[plane]
    if plane == "time":
        return "seconds"
    return ramp.unit.removesuffix("/S").lower() + ("/s" if rate else "")


def _plot(
    xaxis: NDArray[Any],
    yaxis: NDArray[np.float64],
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    clear: bool = True,
    reverse: bool = False,
) -> None:
    """Points on the current figure, as wfc3tools leaves them there."""
    try:
        from matplotlib import pyplot
    except ImportError:
        log.warning("matplotlib is not installed: nothing is plotted (plot=False)")
        return
    if clear:
        pyplot.clf()
    axes = pyplot.gca()
    axes.plot(xaxis, yaxis, "+")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if reverse:
        axes.set_xlim(max(xaxis), min(xaxis))
    pyplot.draw()
