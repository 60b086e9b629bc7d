"""Put upramp's functions in the place of another package's for a while."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["REPLACEMENTS", "Replacement", "accelerate"]


class Replacement(NamedTuple):
    """A function of another package and ours for it."""

    module: str
    """Module that has the function."""
    attribute: str
    """Its name there."""
    ours: str
    """Module of ours that has one of the same name and arguments."""


REPLACEMENTS: dict[str, tuple[Replacement, ...]] = {
    "astroscrappy": (Replacement("astroscrappy", "detect_cosmics", "upramp.compat.astroscrappy"),),
    "skypac": (
        Replacement("stsci.skypac.skymatch", "skymatch", "upramp.compat.skypac"),
        Replacement("stsci.skypac.skystatistics", "SkyStats", "upramp.compat.skypac"),
    ),
    "stcal": (
        Replacement("stcal.skymatch", "skymatch", "upramp.compat.skymatch_stcal"),
        Replacement("stcal.skymatch", "SkyGroup", "upramp.compat.skymatch_stcal"),
        Replacement("stcal.skymatch", "SkyImage", "upramp.compat.skymatch_stcal"),
        Replacement("stcal.skymatch", "SkyStats", "upramp.compat.skymatch_stcal"),
        Replacement("stcal.ramp_fitting.ramp_fit", "ramp_fit_data", "upramp.compat.stcal"),
        Replacement("stcal.ramp_fitting.ols_fit", "ols_slope_fitter", "upramp.compat.stcal"),
        Replacement("stcal.ramp_fitting.likely_fit", "likely_ramp_fit", "upramp.compat.stcal"),
        Replacement("stcal.jump.jump", "detect_jumps_data", "upramp.compat.stcal"),
        Replacement("stcal.jump.twopoint_difference", "find_crs", "upramp.compat.stcal"),
    ),
}
"""What is replaced for every package that can be accelerated."""


@dataclass
class _Swap:
    """Functions of one package, swapped while at least one block wants them to be."""

    users: int = 0
    pairs: list[tuple[Callable[..., Any], Callable[..., Any]]] = field(default_factory=list)
    """Theirs, and what stands in for it."""


_lock = threading.Lock()
_swaps: dict[str, _Swap] = {}


@contextmanager
def accelerate(*packages: str) -> Iterator[None]:
    """Let other packages run on upramp's kernels inside a ``with`` block, or a function so decorated.

    Every name in any imported module that is bound to a replaced function is bound to upramp's, those that other
    modules imported for themselves too; names bound inside the block by imports get it as well. On leaving, also
    by an exception, all are bound back. Blocks may nest and run in several threads: the functions change for the
    whole process when the first block begins, and back when the last one ends.

    Parameters
    ----------
    *packages : {'astroscrappy', 'skypac', 'stcal'}
        Packages whose functions to replace, by name.

    Raises
    ------
    ValueError
        No package given, or one for which there is no replacement.
    ImportError
        A package is not installed.

    Examples
    --------
    >>> import upramp
    >>> with upramp.accelerate("astroscrappy"):  # doctest: +SKIP
    ...     ccd = ccdproc.cosmicray_lacosmic(ccd, gain=1.5, readnoise=6)
    """
    known = ", ".join(sorted(REPLACEMENTS))
    if not packages:
        raise ValueError(f"no package to accelerate was given, expected some of {known}")
    for package in packages:
        if package not in REPLACEMENTS:
            raise ValueError(f"package is {package!r}, expected one of {known}")
    with ExitStack() as stack:
        for package in packages:
            _enter(package)
            stack.callback(_leave, package)
        yield


def _enter(package: str) -> None:
    pairs = []
    for replacement in REPLACEMENTS[package]:
        try:
            theirs = getattr(import_module(replacement.module), replacement.attribute)
        except ImportError as error:
            raise ImportError(
                f"{package} cannot be accelerated: {replacement.module} is not installed"
            ) from error
        pairs.append((theirs, _stand_in(getattr(import_module(replacement.ours), replacement.attribute))))
    with _lock:
        swap = _swaps.setdefault(package, _Swap())
        swap.users += 1
        if swap.users == 1:
            swap.pairs = pairs
            for theirs, ours in pairs:
                _rebind(theirs, ours)


def _leave(package: str) -> None:
    with _lock:
        swap = _swaps[package]
        swap.users -= 1
        if swap.users == 0:
            del _swaps[package]
            for theirs, ours in swap.pairs:
                _rebind(ours, theirs)


def _stand_in(ours: Callable[..., Any]) -> Callable[..., Any]:
    """A function of its own, so that names that others have bound to ours stay theirs when the block ends."""
    if isinstance(ours, type):
        # A class is asked for by isinstance, too.
        return type(ours.__name__, (ours,), {"__module__": ours.__module__, "__doc__": ours.__doc__})

    @wraps(ours)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    return stand_in


def _rebind(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Bind every name of every imported module that is bound to `old` to `new`."""
    for module in list(sys.modules.values()):
        # The dictionary itself: asking a module for its names may import half a package.
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            for name in [name for name, value in list(names.items()) if value is old]:
                names[name] = new
