"""Which calibration steps there are, and which of them to do."""

from __future__ import annotations

from collections.abc import Sequence

from upramp.exceptions import InputError
from upramp.wfc3ir.exposure import Ramp

__all__ = ["COUNT_STEPS", "EARLY_STEPS", "SWITCHES", "steps_to_do"]

COUNT_STEPS = ("ZSIGCORR", "BLEVCORR", "ZOFFCORR", "NLINCORR", "DARKCORR")
"""Steps that work on counts."""

EARLY_STEPS = ("DQICORR", *COUNT_STEPS, "PHOTCORR")
"""Steps before the unit conversion."""

SWITCHES = (*EARLY_STEPS, "UNITCORR", "CRCORR", "FLATCORR")
"""Calibration switches of WFC3/IR in the order of the steps."""


def steps_to_do(
    ramp: Ramp,
    only: Sequence[str] | None = None,
    omit: Sequence[str] | None = None,
    *,
    require: Sequence[str] = (),
) -> tuple[str, ...]:
    """Steps to do, in order: those whose switch is PERFORM, or `only` these, without `omit`.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    only : sequence of str, optional
        Do just these, whatever the header says.
    omit : sequence of str, optional
        Leave these out.
    require : sequence of str, optional
        Do these in any case.

    Raises
    ------
    ValueError
        A name that is no calibration switch.
    InputError
        A switch has a value that means nothing.
    """
    for name in (*(only or ()), *(omit or ())):
        if name not in SWITCHES:
            raise ValueError(f"step is {name!r}, expected one of {', '.join(SWITCHES)}")
    switches = {name: str(ramp.primary.get(name, "OMIT")).strip().upper() for name in SWITCHES}
    for name, value in switches.items():
        if value not in ("PERFORM", "COMPLETE", "SKIPPED", "OMIT", ""):
            raise InputError(f"{ramp.path}: {name} is {value!r}, expected PERFORM, COMPLETE, SKIPPED or OMIT")
    wanted = only if only is not None else [name for name in SWITCHES if switches[name] == "PERFORM"]
    return tuple(
        name for name in SWITCHES if name in require or (name in wanted and name not in (omit or ()))
    )
