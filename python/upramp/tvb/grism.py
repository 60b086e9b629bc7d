"""Grism exposures, whose background has a shape of its own."""

from __future__ import annotations

from upramp.wfc3ir.exposure import Ramp

__all__ = ["is_grism", "refuse_grism"]


def is_grism(ramp: Ramp) -> bool:
    """Whether the exposure was taken through a grism.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    return str(ramp.primary.get("FILTER", "")).strip().upper() in ("G102", "G141")


def refuse_grism(ramp: Ramp, *, force: bool) -> None:
    """Refuse a grism exposure, unless forced.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    force : bool
        Let it pass.

    Raises
    ------
    ValueError
        It is one.
    """
    if is_grism(ramp) and not force:
        name = str(ramp.primary["FILTER"]).strip()
        raise ValueError(
            f"{ramp.path}: {name} is a grism, whose background is not uniform: its helium has a shape of its own, "
            "which this correction cannot remove; use force=True (--force) to correct all the same"
        )
