"""Jumps of charge in ramps by the differences of neighbouring groups, as JWST's pipeline finds them, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import count_threads
from upramp.ramps._stack import as_per_pixel, as_stack, as_words
from upramp.ramps.ols import RampBits

__all__ = ["JumpRule", "TwoPointJumps", "find_jumps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpRule:
    """What :func:`find_jumps` takes for a jump; defaults are those of JWST.

    Parameters
    ----------
    thresholds : (float, float, float)
        Least deviation from the median, in sigma, where four differences or more are usable, three, and two.
    neighbours : (float, float) or None
        The four neighbours of jumps between these two, in sigma, are flagged too: fainter ones do not reach their
        neighbours, brighter ones are not taken for charge that spread.
    after : sequence of (float, int)
        Flag so many groups after a jump of so many electrons.
    single_pass : int
        With so many differences all that stick out are flagged at once, with fewer one after the other.
    fewest : int
        With fewer usable groups no jump is looked for, unless values are clipped.
    clip : int
        With so many groups in all integrations (integrations, if `across`) values are clipped instead.
    across : bool
        Clip each difference against the same one of other integrations, instead of all differences together.
    clear : bool
        Take the bit for jumps back from groups that are saturated or not to be used.
    """

    thresholds: tuple[float, float, float] = (4.0, 5.0, 6.0)
    neighbours: tuple[float, float] | None = (10.0, 1000.0)
    after: Sequence[tuple[float, int]] = ()
    single_pass: int = 10
    fewest: int = 3
    clip: int = 100
    across: bool = True
    clear: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class TwoPointJumps:
    """Result of :func:`find_jumps`."""

    dq: NDArray[Any]
    """DQ of every group, (nints, ngroups, ny, nx), with the bit for jumps; of the type of the one given."""
    primary: int | None
    """Groups flagged before neighbours and groups after were; None: there were too few groups to look."""
    jump_bit: int
    """The bit."""

    @property
    def jumps(self) -> NDArray[np.bool_]:
        """Differences that hold a jump, (nints, ngroups - 1, ny, nx): it fell after group k where jumps[:, k]."""
        return np.asarray(self.dq[:, 1:] & self.jump_bit, bool)


def find_jumps(
    cube: ArrayLike,
    dq: ArrayLike | None = None,
    *,
    read_noise: ArrayLike,
    gain: ArrayLike = 1.0,
    nframes: int = 1,
    times: Sequence[ArrayLike] | ArrayLike | None = None,
    rule: JumpRule | None = None,
    bits: RampBits | None = None,
    threads: int | None = None,
) -> TwoPointJumps:
    r"""Find jumps of charge by the differences of neighbouring groups (Anderson & Gordon 2011).

    Parameters
    ----------
    cube : (nints, ngroups, ny, nx) or (nread, ny, nx) array_like of float32 or uint16
        Groups in order of time. Other numbers are converted to float32.
    dq : array_like of uint8 or uint16, optional
        DQ bits of every group, shaped as the cube. Groups saturated or not to be used are left out.
    read_noise : float or (ny, nx) array_like
        Noise of one read, electrons (of the difference of two reads: divide by the root of two).
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube.
    nframes : int, optional
        Reads averaged in a group, if groups are evenly spaced.
    times : (ngroups,) array_like of float, or sequence of array_like, optional
        Otherwise: time of every group, or the times of its reads, seconds.
    rule : JumpRule, optional
        What a jump is.
    bits : RampBits, optional
        Meaning of the DQ bits.
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    TwoPointJumps
        DQ with the jumps.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range; the message names it.

    See Also
    --------
    upramp.ramps.fit_gls : finds jumps as it fits, and more of them.
    upramp.ramps.find_snowballs, upramp.ramps.find_showers : what hits many pixels at once.

    Notes
    -----
    The difference d of two groups a time t apart is a jump if

    .. math:: |d - m| > s \sqrt{|m| t + \sigma^2 (1 / N_1 + 1 / N_2)} / t,

    m being the median of the pixel's differences per time over groups and integrations, N the reads averaged in
    each group and s the threshold. One by one, m is that of absolute differences without the largest (with three
    left: of all; with two: the smaller one), and after each jump the rest are looked at again. Where there is
    neither read nor photon noise (both 0), nothing is a jump.

    Masks are those of stcal 1.20 (``tests/golden/test_jump_twopoint.py``, ``tests/compat/test_stcal.py``), except:

    * groups of unequal numbers of reads: stcal takes :math:`4 \sigma^2 / (N_1 + N_2)` for the read noise, which is
      too little;
    * in ramps of one group there is nothing to look at; stcal fails with a hundred integrations of them.

    References
    ----------
    .. [1] Anderson & Gordon 2011, PASP 123, 1237.
    """
    data = as_stack("cube", cube)
    shape = data.shape[2:]
    noise = as_per_pixel("read_noise", read_noise, shape)
    time, reads = _pattern(data.shape[1], nframes, times)
    return search_groups(
        data,
        None if dq is None else as_words("dq", dq, data.shape),
        gain=as_per_pixel("gain", gain, shape),
        difference_noise=as_per_pixel("read_noise", noise * np.float32(np.sqrt(2)), shape),
        time=time,
        reads=reads,
        rule=rule or JumpRule(),
        bits=bits or RampBits(),
        threads=count_threads(threads),
    )[0]


def search_groups(
    data: NDArray[Any],
    dq: NDArray[Any] | None,
    *,
    gain: float | NDArray[np.float32],
    difference_noise: float | NDArray[np.float32],
    time: NDArray[np.float64],
    reads: NDArray[np.float64],
    rule: JumpRule,
    bits: RampBits,
    threads: int,
) -> tuple[TwoPointJumps, list[NDArray[np.int64]]]:
    """Do the work of :func:`find_jumps` on arrays that have been checked.

    Parameters
    ----------
    data, dq, gain, rule, bits, threads : optional
        As there.
    difference_noise : float or ndarray
        Noise of the difference of two reads, electrons.
    time, reads : ndarray
        Time of every difference, and reads in one of its groups (their harmonic mean); or one each for all.

    Returns
    -------
    TwoPointJumps
        The jumps.
    list of ndarray
        Places in (nints, ngroups, nx) of those in the first and in the last row that were spread to neighbours.
    """
    flags, primary, edges = _core.find_jumps(
        data, dq, gain, difference_noise, time, reads, rule, bits, threads=threads
    )
    return TwoPointJumps(flags, primary, bits.jump), edges


def _pattern(
    ngroups: int, nframes: int, times: Sequence[ArrayLike] | ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if times is None:
        if nframes < 1:
            raise ValueError(f"nframes is {nframes}, expected a positive number")
        return np.ones(1), np.full(1, float(nframes))
    groups = [np.atleast_1d(np.asarray(group, np.float64)) for group in times]  # type: ignore[union-attr]
    if len(groups) != ngroups or any(group.size == 0 for group in groups):
        raise ValueError(f"times has {len(groups)} entries, expected {ngroups}, none of them empty")
    step = np.diff([group.mean() for group in groups])
    if not np.all(step > 0):
        raise ValueError(f"times are {step} apart, expected times that increase")
    each = np.array([1.0 / group.size for group in groups])
    return step, 2.0 / (each[1:] + each[:-1])
