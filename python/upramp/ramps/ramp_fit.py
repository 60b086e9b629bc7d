"""What a ramp fit has found, whatever the method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_HITS", "HitList", "RampFit", "combine_rates", "stack_fits"]

Image = NDArray[np.float32]


class HitList(NamedTuple):
    """Hits, one after the other: few numbers, since few pixels are hit."""

    pixel: NDArray[np.int64]
    """Pixel, counted through the rows of an image and, if there are several, through the integrations."""
    after: NDArray[np.int64]
    """The hit fell after this sample."""
    size: Image
    """Signal that it added, unit of the cube."""


NO_HITS = HitList(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class RampFit:
    """Result of :func:`fit`; images are (ny, nx), or (nints, ny, nx) of a cube of integrations.

    Rates are in the unit of the cube per second. What was not asked for, or does not exist for the method, is None.
    """

    rate: Image
    """Count rate; NaN where there is none."""
    var_poisson: Image | None
    """Variance of `rate` from photons and dark current."""
    var_rnoise: Image | None
    """Variance of `rate` from read noise (and from what is not known of the pedestal)."""
    chi2: Image | None
    """Chi square of the differences used ("gls")."""
    dof: NDArray[np.int16] | None
    """Its degrees of freedom: differences used less one; -1 where there is none ("gls")."""
    hits: HitList
    """What the search has found."""
    nread: int
    """Samples of a ramp."""
    method: str
    """The fit."""
    jump_method: str | None
    """The search."""
    pedestal: Image | None = None
    """Signal at time 0, unit of the cube ("gls")."""
    pedestal_err: Image | None = None
    """Its uncertainty."""
    pedestal_cov: Image | None = None
    """Its covariance with `rate`."""
    error: Image | None = field(default=None, repr=False)
    """Uncertainty of `rate`, where it is not that of the two variances: see :attr:`err`."""
    mean: RampFit | None = field(default=None, repr=False)
    """Mean of the integrations as the method has it, where it has its own."""

    @property
    def err(self) -> Image:
        """Uncertainty of `rate`: the root of both variances' sum."""
        if self.error is not None:
            return self.error
        if self.var_poisson is None or self.var_rnoise is None:
            raise AssertionError("either the error or its parts are kept")
        total: Image = np.sqrt(self.var_poisson + self.var_rnoise)
        return total

    @property
    def jumps(self) -> NDArray[np.bool_]:
        """Differences with a hit, (nread - 1, ny, nx) or (nints, nread - 1, ny, nx): it fell after sample k."""
        return self._spread(bool, True)

    @property
    def sizes(self) -> Image:
        """Signal that the hits added, likewise, unit of the cube; 0 where there is none."""
        return self._spread(np.float32, self.hits.size)

    def _spread(self, dtype: Any, values: Any) -> NDArray[Any]:
        *stack, ny, nx = self.rate.shape
        cube = np.zeros((*stack, self.nread - 1, ny, nx), dtype)
        integration, pixel = np.divmod(self.hits.pixel, ny * nx)
        cube.reshape(math.prod(stack), self.nread - 1, ny * nx)[integration, self.hits.after, pixel] = values
        return cube

    def mark(self, dq: NDArray[Any], bit: int = 4) -> NDArray[Any]:
        """Return flags with the hits in them: `bit` is set in the sample after each.

        Parameters
        ----------
        dq : ndarray of int
            DQ bits of the samples, shaped as the cube.
        bit : int, optional
            The bit, by default JUMP_DET of JWST and Roman.

        Returns
        -------
        ndarray
            A copy.
        """
        *stack, ny, nx = self.rate.shape
        if dq.shape != (*stack, self.nread, ny, nx):
            raise ValueError(f"dq has shape {dq.shape}, expected {(*stack, self.nread, ny, nx)}")
        marked = np.array(dq)
        integration, pixel = np.divmod(self.hits.pixel, ny * nx)
        flat = marked.reshape(math.prod(stack), self.nread, ny * nx)
        flat[integration, self.hits.after + 1, pixel] |= marked.dtype.type(bit)
        return marked

    def combine(self) -> RampFit:
        """Average the integrations, each with the weight of its variance at their common rate.

        Returns
        -------
        RampFit
            Of (ny, nx); without hits, which belong to an integration. The fit itself if there is only one.
        """
        if self.mean is not None:
            return self.mean
        if self.rate.ndim == 2:
            return self
        if self.var_poisson is None or self.var_rnoise is None:
            # Errors alone: no telling which part of them follows the rate.
            own = self.err
            rate, _, variance = combine_rates(self.rate, np.zeros_like(own), own * own)
            return RampFit(
                rate=rate,
                var_poisson=None,
                var_rnoise=None,
                chi2=None,
                dof=None,
                hits=NO_HITS,
                nread=self.nread,
                method=self.method,
                jump_method=self.jump_method,
                error=np.sqrt(variance),
            )
        rate, var_poisson, var_rnoise = combine_rates(self.rate, self.var_poisson, self.var_rnoise)
        chi2: Image | None = None
        dof: NDArray[np.int16] | None = None
        if self.chi2 is not None and self.dof is not None:
            none = np.isnan(rate)
            chi2 = np.where(none, np.float32(np.nan), np.nansum(self.chi2, axis=0, dtype=np.float32))
            dof = np.where(none, np.int16(-1), np.maximum(self.dof, 0).sum(axis=0, dtype=np.int16))
        return RampFit(
            rate=rate,
            var_poisson=var_poisson,
            var_rnoise=var_rnoise,
            chi2=chi2,
            dof=dof,
            hits=NO_HITS,
            nread=self.nread,
            method=self.method,
            jump_method=self.jump_method,
        )


def combine_rates(rate: Image, var_poisson: Image, var_rnoise: Image) -> tuple[Image, Image, Image]:
    """Weighted mean of the rates of integrations, and its two variances.

    Parameters
    ----------
    rate, var_poisson, var_rnoise : (nints, ny, nx) ndarray of float32
        Rates of the integrations with the variances that were found with them.

    Returns
    -------
    tuple of (ny, nx) ndarray of float32
        The same of the mean; NaN where no integration has a rate.

    Notes
    -----
    An integration with a low rate by chance is said to have little photon noise: weighting with that would make the
    mean too low. The photon noise of all is therefore taken at the common rate, in two rounds.
    """
    known = np.isfinite(rate)
    value = np.where(known, rate, 0).astype(np.float64)
    photon = np.where(known, var_poisson, 0).astype(np.float64)
    read = np.where(known, var_rnoise, 0).astype(np.float64)
    count = known.sum(axis=0)
    common = value.sum(axis=0) / np.maximum(count, 1)
    scaled, weight = photon, known / np.maximum(count, 1)
    for _ in range(2):
        # Where an integration is below zero its photon noise is that of the dark alone: it stays.
        factor = np.where(value > 0, np.maximum(common, 0) / np.where(value > 0, value, 1), 1)
        scaled = photon * factor
        total = scaled + read
        weight = np.where(known & (total > 0), 1 / np.where(total > 0, total, 1), 0)
        # Neither photons nor read noise in any: equal weights.
        weight = np.where(weight.sum(axis=0) > 0, weight, known)
        weight = weight / np.where(count > 0, weight.sum(axis=0), 1)
        common = (weight * value).sum(axis=0)
    none = count == 0
    made = [common, (weight**2 * scaled).sum(axis=0), (weight**2 * read).sum(axis=0)]
    one, two, three = (np.where(none, np.nan, image).astype(np.float32) for image in made)
    return one, two, three


def stack_fits(parts: Sequence[RampFit], single: bool) -> RampFit:
    """Join the fits of integrations.

    Parameters
    ----------
    parts : sequence of RampFit
        One for each integration.
    single : bool
        The cube had three axes: return the only one as it is.
    """
    if single:
        return parts[0]
    first = parts[0]

    def join(name: str) -> Any:
        images = [getattr(part, name) for part in parts]
        return None if images[0] is None else np.stack(images)

    size = first.rate.size
    hits = HitList(
        np.concatenate([part.hits.pixel + k * size for k, part in enumerate(parts)]),
        np.concatenate([part.hits.after for part in parts]),
        np.concatenate([part.hits.size for part in parts]),
    )
    return RampFit(
        rate=join("rate"),
        var_poisson=join("var_poisson"),
        var_rnoise=join("var_rnoise"),
        chi2=join("chi2"),
        dof=join("dof"),
        hits=hits,
        nread=first.nread,
        method=first.method,
        jump_method=first.jump_method,
        pedestal=join("pedestal"),
        pedestal_err=join("pedestal_err"),
        pedestal_cov=join("pedestal_cov"),
        error=join("error"),
    )
