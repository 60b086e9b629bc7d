"""What every correction returns: a ramp that a straight line fits, and what to take off the fit afterwards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import count_threads
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import Fit, fit_ramp
from upramp.wfc3ir.gls import Removed
from upramp.wfc3ir.pedestal import lower_fit, lower_reads

__all__ = ["SKY_BAD_DQ", "Corrected", "subtract"]

SKY_BAD_DQ = 0xFFFF & ~(1024 | 2048 | 8192)
"""DQ bits that exclude a pixel from sky statistics.

All but: reads marked by hand (1024), signal in the zeroth read (2048), and cosmic rays (8192), which a bent
ramp sets everywhere."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """An exposure whose background no longer varies.

    Light that has been removed has left its photon noise behind. A fit of reads without it would take the noise
    for less than it is, and find cosmic rays where there are none. So the fit sees `straight`, in which the
    removed background still stands with its mean rate, the `pedestal`; that is taken off the fitted image.

    Attributes
    ----------
    straight : Ramp
        Exposure with a background that is constant in time.
    pedestal : (ny, nx) ndarray of float32 or None
        Rate to subtract from the fit and from the reads, in the unit of the exposure per second; None: nothing.
    level : (nread,) ndarray of float64
        Median rate of the interval that ends with each read, before; NaN for the zeroth.
    removed : (nread,) ndarray of float64
        Rate taken from each read, with the pedestal, median over the frame; 0 for the zeroth.
    exclude, breaks : (nread,) ndarray of bool or None
        For :func:`upramp.fit_ramp`.
    varied : Removed or None
        What the background had in each interval above its mean, if all pixels had the same.
    """

    straight: Ramp
    pedestal: NDArray[np.float32] | None
    level: NDArray[np.float64]
    removed: NDArray[np.float64]
    exclude: NDArray[np.bool_] | None = None
    breaks: NDArray[np.bool_] | None = None
    varied: Removed | None = None

    @property
    def ramp(self) -> Ramp:
        """The reads without the background that was removed; computed anew at each call if there is a pedestal."""
        if self.pedestal is None:
            return self.straight
        ramp = self.straight.with_(sci=self.straight.sci.copy())
        lower_reads(ramp, self.pedestal)
        return ramp

    def fit(self, **options: Any) -> Fit:
        """Fit the ramp and take off the pedestal.

        Parameters
        ----------
        **options
            Of :func:`upramp.fit_ramp`, such as `untouched`, the exposure before the correction.

        Returns
        -------
        Fit
        """
        fit = fit_ramp(
            self.straight, exclude=self.exclude, breaks=self.breaks, removed=self.varied, **options
        )
        return fit if self.pedestal is None else lower_fit(fit, self.straight, self.pedestal)


def subtract(
    ramp: Ramp,
    rate: Callable[[int], NDArray[np.floating[Any]] | float],
    response: NDArray[np.float32] | None = None,
    threads: int | None = None,
    *,
    in_place: bool = False,
) -> NDArray[np.float32]:
    """Take a background from every read but the zeroth; reference pixels see none.

    Parameters
    ----------
    ramp : Ramp
        Exposure; it is not changed, unless asked.
    rate : callable
        Gives the mean rate of the background up to a read (SAMPNUM), broadcastable to the light-sensitive pixels.
    response : (ny, nx) ndarray of float32, optional
        Relative response to the sky.
    threads : int, optional
        Number of threads.
    in_place : bool, optional
        Change the exposure's own array.

    Returns
    -------
    sci : (nread, ny, nx) ndarray of float32
    """
    y, x = ramp.border
    sci = ramp.sci
    if not in_place:
        sci = np.empty_like(ramp.sci)
        sci[0] = ramp.sci[0]

    def one(r: int) -> None:
        taken = np.asarray(rate(r), np.float32)
        if not ramp.is_rate:
            taken = taken * np.float32(ramp.times[r])
        if response is not None:
            taken = taken * response[y, x]
        if not in_place:
            sci[r] = ramp.sci[r]
        sci[r][y, x] -= taken

    # NumPy lets go of the interpreter while it subtracts.
    with ThreadPoolExecutor(count_threads(threads)) as pool:
        list(pool.map(one, range(1, ramp.nread)))
    return sci
