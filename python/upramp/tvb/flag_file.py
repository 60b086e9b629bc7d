"""Flag an exposure with the files beside it, and mark it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from upramp.exceptions import InputError
from upramp.io import FitsReader, atomic_path, fits
from upramp.tvb.flag import ReadFlags, flag_reads
from upramp.tvb.jitter import find_jitter
from upramp.tvb.noise import measure_noise
from upramp.wfc3ir.exposure import read_ramp

__all__ = ["flag_file", "write_cards"]


def flag_file(
    path: str | os.PathLike[str], *, jitter: str | os.PathLike[str] | None = None, **options: Any
) -> ReadFlags:
    """Flag the reads of a file, with what lies beside it.

    Parameters
    ----------
    path : path-like
        RAW or IMA.
    jitter : path-like, optional
        Jitter file, or the directory that may hold it; default the directory of `path`.
    **options
        See :func:`upramp.tvb.flag.flag_reads`.

    Returns
    -------
    ReadFlags
        Its `noise` is that of the FLT beside the file if there is one: a fit spoiled by the background shows there.

    Raises
    ------
    InputError
        The file, or a jitter file that was named, cannot be used.
    """
    ramp = read_ramp(path)
    flags = flag_reads(ramp, jitter=find_jitter(ramp, jitter), **options)
    beside = _flt_beside(Path(path))
    if beside is None:
        return flags
    with FitsReader(beside) as reader:
        planes = {str(unit.header.get("EXTNAME", "")).strip(): i for i, unit in enumerate(reader.extensions)}
        if not {"SCI", "ERR", "DQ"} <= set(planes):
            return flags
        sources = flags.mask[ramp.border]
        if any(reader.extensions[planes[name]].shape != sources.shape for name in ("SCI", "ERR", "DQ")):
            return flags
        sci, err = np.empty(sources.shape, np.float32), np.empty(sources.shape, np.float32)
        dq = np.empty(sources.shape, np.uint16)
        for name, plane in (("SCI", sci), ("ERR", err), ("DQ", dq)):
            reader.read_into(planes[name], plane)
    object.__setattr__(flags, "noise", measure_noise(sci, err, (dq == 0) & ~sources, "flt"))
    return flags


def _flt_beside(path: Path) -> Path | None:
    for suffix in ("_ima.fits", "_raw.fits"):
        if suffix in path.name:
            found = path.with_name(path.name.replace(suffix, "_flt.fits"))
            return found if found.is_file() else None
    return None


def write_cards(path: str | os.PathLike[str], flags: ReadFlags) -> None:
    """Write TVBFLAG, TVBRMAX and TVBRNG into the primary header of a file.

    Parameters
    ----------
    path : path-like
        File; it is replaced whole by a copy with the cards, or not at all.
    flags : ReadFlags
        What was found.

    Raises
    ------
    InputError
        A compressed file, which would have to be compressed anew.
    """
    path = Path(path)
    if path.suffix.lower() != ".fits":
        raise InputError(f"{path}: cards are written to plain .fits files only")
    with atomic_path(path, overwrite=True) as temporary:
        shutil.copyfile(path, temporary)
        with fits.open(temporary, mode="update", do_not_scale_image_data=True) as hdus:
            for key in ("TVBFLAG", "TVBRMAX", "TVBRNG"):
                hdus[0].header.remove(key, ignore_missing=True)
            for key, (value, comment) in flags.cards.items():
                hdus[0].header[key] = (value, comment)
        shutil.copymode(path, temporary)
