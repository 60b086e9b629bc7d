"""Sky levels into headers, and out of pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.exceptions import InputError
from upramp.io import check_output, fits
from upramp.sky.images import SkyImage
from upramp.sky.methods import SkyResult
from upramp.sky.rewrite import rewrite

__all__ = ["subtract_sky", "write_headers"]

SUBTRACTED = "SKYSUBD"
"""Card that says whether MDRIZSKY has been subtracted from the pixels."""


_MATCHED = ("SKYMERR", "SKYMGRP", "SKYMREF", "SKYMVER")
"""Cards of exposures that were matched."""


def write_headers(result: SkyResult) -> list[Path]:
    """Write MDRIZSKY, and how it was computed, into the headers of the files measured.

    Every SCI header gets MDRIZSKY (data units of the file) and SKYMETH, SKYSTAT and SKYSUBD (False, but for values
    of the user that have been subtracted already); where exposures were matched SKYMERR (uncertainty), SKYMGRP
    (group of overlapping exposures), SKYMREF (exposure at zero) and SKYMVER (engine and version) besides; the
    primary header a line of HISTORY. Pixels stay as they are, byte by byte. Each file is replaced in one step by
    its finished copy.

    Parameters
    ----------
    result : SkyResult
        What :func:`~upramp.sky.match_sky` found.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    InputError
        A file is tile-compressed, has changed, or has had its sky subtracted; then none is written.
    OutputError
        A file cannot be replaced.
    """
    for image in result.images:
        _check(image, subtracted=False)
        check_output(image.path, overwrite=True)
    for number, values in enumerate(result.values):
        _rewrite(number, result.images[number].path, values, result, subtract=False, overwrite=True)
    return [image.path for image in result.images]


def subtract_sky(
    result: SkyResult, directory: str | os.PathLike[str], *, overwrite: bool = False
) -> list[Path]:
    """Write copies of the files measured with their sky subtracted.

    MDRIZSKY becomes the total subtracted (that of an earlier run included) and SKYSUBD True. Surfaces, where they
    were asked for, are subtracted too, MDRIZSKY being the mean level. All other
    extensions are copied byte by byte.

    Parameters
    ----------
    result : SkyResult
        What :func:`~upramp.sky.match_sky` found.
    directory : path-like
        Where the copies go, under the names of the inputs.
    overwrite : bool, optional
        Whether existing files may be replaced; an input never is.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    InputError
        A file is tile-compressed, its pixels are not floating-point numbers, or it has changed.
    OutputError
        A file exists or cannot be written; then none is.
    ValueError
        A copy would replace an input, or two would have the same name; or values of the user have been subtracted
        already.
    """
    if result.applied:
        raise ValueError("the sky given has been subtracted already (applied), expected one that has not")
    targets = [Path(directory) / image.path.name for image in result.images]
    if len(set(targets)) < len(targets):
        raise ValueError("two files of the same name cannot be written to one directory; run them apart")
    inputs = {image.path.resolve() for image in result.images}
    for image, target in zip(result.images, targets, strict=True):
        if target.resolve() in inputs:
            raise ValueError(f"{target} is an input, expected another directory for the subtracted copies")
        _check(image, subtracted=True)
        check_output(target, overwrite=overwrite)
    for number, (target, values) in enumerate(zip(targets, result.values, strict=True)):
        _rewrite(number, target, values, result, subtract=True, overwrite=overwrite)
    return targets


def _check(image: SkyImage, *, subtracted: bool) -> None:
    for chip in image.chips:
        label = f"{image.path}[SCI,{chip.extver}]"
        if not subtracted and chip.header.get(SUBTRACTED, False):
            raise InputError(f"{label}: MDRIZSKY has been subtracted from its pixels and would be lost")
        if subtracted and (chip.header["BITPIX"] > 0 or "BSCALE" in chip.header or "BZERO" in chip.header):
            raise InputError(f"{label}: pixels are integers or scaled, expected floating-point numbers")


def _rewrite(
    number: int,
    target: Path,
    values: Sequence[float],
    result: SkyResult,
    *,
    subtract: bool,
    overwrite: bool,
) -> None:
    image = result.images[number]
    places = {chip.index: (number, c) for c, chip in enumerate(image.chips)}
    sky = {chip.index: value for chip, value in zip(image.chips, values, strict=True)}

    def edit(index: int, header: fits.Header) -> bool:
        if index == 0:
            header["HISTORY"] = f"MDRIZSKY by upramp {__version__}: {result.description}"
        if index in sky:
            total = sky[index]
            if subtract and header.get(SUBTRACTED, False):
                total += float(header.get("MDRIZSKY", 0.0))
            _record(header, total, places[index], result, subtracted=subtract or result.applied)
        return index == 0 or index in sky

    def level(index: int) -> float | NDArray[np.float64]:
        surface = result.surface(*places[index])
        return sky[index] if surface is None else sky[index] + surface

    rewrite(image, target, edit, level if subtract else None, overwrite=overwrite)


def _record(
    header: fits.Header, value: float, place: tuple[int, int], result: SkyResult, *, subtracted: bool
) -> None:
    told = "total sky subtracted from the data" if subtracted else "sky computed by upramp, data units"
    statistic = "given" if result.statistic is None else result.statistic.statistic
    header["MDRIZSKY"] = value, told
    header["SKYMETH"] = result.method, "method of MDRIZSKY"
    header["SKYSTAT"] = statistic, "statistic of MDRIZSKY"
    header[SUBTRACTED] = subtracted, "MDRIZSKY is subtracted from the data"
    for key in _MATCHED:
        # What an earlier run said of its own values.
        header.remove(key, ignore_missing=True)
    matched, sigma = result.matched, result.sigma
    if matched is None or sigma is None or "match" not in result.method:
        return
    number, chip = place
    if np.isfinite(sigma[number][chip]):
        header["SKYMERR"] = sigma[number][chip], "uncertainty of MDRIZSKY, relative to its group"
    group = next(k for k, members in enumerate(matched.groups, 1) if number in members)
    header["SKYMGRP"] = group, f"group of overlapping exposures, of {len(matched.groups)}"
    lowest = [
        image.rootname for image, d in zip(result.images, matched.solution.offsets, strict=True) if d == 0
    ]
    header["SKYMREF"] = (lowest or ["mean"])[0][:60], "exposure (or mean) that has zero sky by match"
    header["SKYMVER"] = f"{matched.engine} {__version__}", "engine of match, version of upramp"
