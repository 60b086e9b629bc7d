"""Reads of an exposure against each other: intervals, cumulative differences, single pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.tables import holds_offset, interval_rates

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["cumulative_diff", "interval_rates", "mean_rates", "pixel_stack", "since_zeroth"]


def since_zeroth(ramp: Ramp) -> Ramp:
    """The exposure without the level of its zeroth read, which is no signal.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    Ramp
        C_k - C_0 of a RAW file, whose reads still hold that level; any other exposure itself.
    """
    return ramp.with_(sci=ramp.sci - ramp.sci[0]) if holds_offset(ramp) else ramp


def mean_rates(ramp: Ramp) -> NDArray[np.float32]:
    """Mean rate from the start of the exposure to every read.

    R_k = C_k / t_k with the accumulated signal C_k; in a RAW file, whose reads still hold the level of the zeroth,
    R_k = (C_k - C_0) / t_k.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    (nread, ny, nx) ndarray of float32
        Rates in the unit of `ramp` per second. The zeroth read, which no time has passed before, is as it is
        stored, 0 in a RAW file. `ramp.rate` itself (no copy) where nothing has to be subtracted.
    """
    return since_zeroth(ramp).rate


def cumulative_diff(ramp: Ramp) -> NDArray[np.float32]:
    """Change of the mean rate from read to read, the earlier minus the later.

    E_k = R_(k-1) - R_k for k = 1 … nread - 1, with the rates R_k of :func:`mean_rates`. Whatever shines steadily
    cancels, but in E_1, where R_0 holds no exposure. A background that falls gives positive values.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    (nread - 1, ny, nx) ndarray of float32
        Differences in time order, in the unit of `ramp` per second, with the border.

    See Also
    --------
    interval_rates : what the notebooks call instantaneous differences.
    """
    rates = mean_rates(ramp)
    return rates[:-1] - rates[1:]


def pixel_stack(ramp: Ramp, x: int, y: int) -> Table:
    """List one pixel in every read.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    x, y : int
        Column and row of the readout, from 0, border included.

    Returns
    -------
    astropy.table.Table
        One row per read in time order: ``sampnum``, ``imset``, ``samptime`` and ``dt`` (s), the five planes
        as stored, ``sci``, ``err``, ``dq``, ``samp``, ``time``; then ``counts``, the accumulated signal; ``rate``,
        that of :func:`mean_rates`; and ``interval``, the rate of the interval that ends with the read
        (:func:`interval_rates`), NaN for the zeroth, which ends none.

    Raises
    ------
    IndexError
        No such pixel.
    """
    from astropy.table import Table

    ny, nx = ramp.sci.shape[1:]
    if not (0 <= x < nx and 0 <= y < ny):
        raise IndexError(f"{ramp.path}: x={x}, y={y} is not a pixel of {nx} columns and {ny} rows, from 0")
    # A ramp of one pixel: the formulas of the whole exposure serve as they are.
    cut = np.s_[:, y : y + 1, x : x + 1]
    one = ramp.with_(sci=ramp.sci[cut], err=ramp.err[cut], dq=ramp.dq[cut])
    word = "electron" if ramp.in_electrons else "ct"
    stored = f"{word} / s" if ramp.is_rate else word

    def plane(values: NDArray[Any]) -> NDArray[Any]:
        return values.copy() if values.ndim == 1 else values[:, y, x].copy()

    table = Table(
        {
            "sampnum": ramp.sampnum,
            "imset": ramp.imset,
            "samptime": ramp.times,
            # Headers give microseconds; more digits are noise of the subtraction.
            "dt": np.diff(ramp.times, prepend=ramp.times[0]).round(6),
            "sci": plane(ramp.sci),
            "err": plane(ramp.err),
            "dq": plane(ramp.dq),
            "samp": plane(ramp.samp),
            "time": plane(ramp.time),
            "counts": one.counts[:, 0, 0].copy(),
            "rate": mean_rates(one)[:, 0, 0].copy(),
        }
    )
    table["interval"] = np.full(ramp.nread, np.nan, np.float32)
    if ramp.nread > 1:
        table["interval"][1:] = interval_rates(one)[:, 0, 0]
    for name, unit in (
        *((name, "s") for name in ("samptime", "dt", "time")),
        *((name, stored) for name in ("sci", "err")),
        ("counts", word),
        *((name, f"{word} / s") for name in ("rate", "interval")),
    ):
        table[name].unit = unit
    table.meta.update(file=str(ramp.path), x=x, y=y)
    return table
