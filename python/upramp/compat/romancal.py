"""Casertano's fit with the arguments of stcal's ols_cas22_fit, which romancal calls, on upramp's kernel.

What is kept: arguments, defaults, shapes and types of the answers, jumps marked 4 in the DQ, rates of 0 where there
is no answer, RuntimeError for a read pattern of another length. Single-threaded, as a guest should be.

What is mended (docs/ramps.md has the reasons):

* pixels without read noise have their rate; the peer's is 0;
* a NaN sample breaks the ramp, as a flagged one; the peer drops the piece of ramp that it is in;
* read times may be any numbers, not only whole multiples of the read time.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ramps.casertano import CASERTANO_THRESHOLD, fit_casertano

__all__ = ["REPLACEMENTS", "Parameter", "RampFitOutputs", "Variance", "fit_ramps", "fit_ramps_casertano"]

JUMP_DET = 4


class Parameter(enum.IntEnum):
    """Columns of the parameters."""

    intercept = 0
    slope = 1
    n_param = 2


class Variance(enum.IntEnum):
    """Columns of the variances."""

    read_var = 0
    poisson_var = 1
    total_var = 2
    n_var = 3


class RampFitOutputs(NamedTuple):
    """Answers of the fit."""

    parameters: NDArray[np.float32]
    """Intercept (0) and slope, (..., 2), electrons per second."""
    variances: NDArray[np.float32]
    """Variance from read noise, from photons, and in all, (..., 3)."""
    dq: NDArray[np.int32]
    """DQ with the jumps that were found."""
    fits: list[Any] | None = None
    """Always None."""


def fit_ramps(
    resultants: NDArray[np.float32],
    dq: NDArray[np.int32],
    read_noise: NDArray[np.float32],
    read_time: float,
    read_pattern: list[list[int]],
    use_jump: bool = False,
    intercept: float = CASERTANO_THRESHOLD[0],
    constant: float = CASERTANO_THRESHOLD[1],
    include_diagnostic: bool = False,
) -> RampFitOutputs:
    """Fit flat pixels, as ``stcal.ramp_fitting.ols_cas22.fit_ramps``.

    Parameters
    ----------
    resultants : (nresultant, npixel) ndarray of float32
        Resultants, electrons.
    dq : (nresultant, npixel) ndarray of int32
        Flags; any makes a resultant unusable. Jumps are marked in it.
    read_noise : (npixel,) ndarray of float32
        Noise of one read, electrons.
    read_time : float
        Seconds of one read.
    read_pattern : list of list of int
        Reads of every resultant.
    use_jump : bool, optional
        Whether to search for jumps.
    intercept, constant : float, optional
        Threshold of the search at 1 e-/s, and its fall per decade.
    include_diagnostic : bool, optional
        Not offered: NotImplementedError.

    Returns
    -------
    RampFitOutputs
    """
    if include_diagnostic:
        raise NotImplementedError("include_diagnostic is True: fits of single pieces are not reported")
    if len(read_pattern) != len(resultants):
        raise RuntimeError(
            f"read_pattern has length {len(read_pattern)}, expected {len(resultants)}, as resultants"
        )
    flags = np.asarray(dq)
    fit = fit_casertano(
        resultants[:, None],
        [np.asarray(reads, np.float64) * read_time for reads in read_pattern],
        read_noise[None],
        dq=(flags != 0).astype(np.uint8)[:, None] if flags.any() else None,
        threshold=(intercept, constant) if use_jump else None,
        threads=1,
    )
    pixel, sample = fit.hits
    flags[sample, pixel] = JUMP_DET
    flags[sample + 1, pixel] = JUMP_DET
    none = np.isnan(fit.rate[0])
    rate, read, photon = (
        np.where(none, np.float32(0), image[0]) for image in (fit.rate, fit.var_rnoise, fit.var_poisson)
    )
    parameters = np.stack([np.zeros_like(rate), rate], axis=-1)
    return RampFitOutputs(parameters, np.stack([read, photon, read + photon], axis=-1), flags)


def fit_ramps_casertano(
    resultants: ArrayLike,
    dq: ArrayLike,
    read_noise: ArrayLike,
    read_time: float,
    read_pattern: list[list[int]],
    use_jump: bool = False,
    *,
    threshold_intercept: float | None = None,
    threshold_constant: float | None = None,
) -> RampFitOutputs:
    """Fit ramps, as ``stcal.ramp_fitting.ols_cas22_fit.fit_ramps_casertano``.

    Parameters
    ----------
    resultants : (nresultant, ...) array_like
        Resultants, electrons; a Quantity is converted.
    dq : (nresultant, ...) array_like of int
        Flags; any makes a resultant unusable.
    read_noise : float or (...) array_like
        Noise of one read, electrons.
    read_time : float
        Seconds of one read.
    read_pattern : list of list of int
        Reads of every resultant.
    use_jump : bool, optional
        Whether to search for jumps.
    threshold_intercept, threshold_constant : float, optional
        Threshold of the search at 1 e-/s, and its fall per decade.

    Returns
    -------
    RampFitOutputs
    """
    unit = getattr(resultants, "unit", None)
    if unit is not None:
        resultants = resultants.to_value("electron")  # type: ignore[union-attr]
    data = np.asarray(resultants, np.float32)
    n, shape = len(data), data.shape[1:]
    noise = np.broadcast_to(np.asarray(read_noise, np.float32), shape).reshape(-1)
    intercept, constant = CASERTANO_THRESHOLD
    made = fit_ramps(
        data.reshape(n, -1),
        np.array(dq, np.int32).reshape(n, -1),
        noise,
        read_time,
        read_pattern,
        use_jump,
        intercept if threshold_intercept is None else threshold_intercept,
        constant if threshold_constant is None else threshold_constant,
    )
    parameters = made.parameters.reshape(*shape, 2)
    return RampFitOutputs(
        parameters if unit is None else parameters * unit,
        made.variances.reshape(*shape, 3),
        made.dq.reshape(data.shape),
    )


REPLACEMENTS = (
    ("stcal.ramp_fitting.ols_cas22_fit", "fit_ramps_casertano", fit_ramps_casertano),
    ("stcal.ramp_fitting.ols_cas22", "fit_ramps", fit_ramps),
)
"""Module, attribute and replacement, for :func:`upramp.accelerate`."""
