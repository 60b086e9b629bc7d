"""``stsci.skypac.skymatch``: lists of images in, header cards and subtracted skies out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from upramp._arrays import __version__
from upramp.io import fits
from upramp.sky import (
    METHODS,
    ImageEntry,
    SkyImage,
    SkyResult,
    SkyStatistic,
    match_sky,
    parse_images,
    read_image,
    read_images,
)
from upramp.sky.rewrite import rewrite

__all__ = ["skymatch"]


class Held(NamedTuple):
    """An image, and the open file of the caller whose headers must change with it; None for a file by name."""

    image: SkyImage
    file: Any


def skymatch(
    input: Any,
    skymethod: str = "globalmin+match",
    match_down: bool = True,
    skystat: str = "mode",
    lower: float | None = None,
    upper: float | None = None,
    nclip: int = 5,
    lsigma: float = 4.0,
    usigma: float = 4.0,
    binwidth: float = 0.1,
    skyuser_kwd: str = "SKYUSER",
    units_kwd: str = "BUNIT",
    invsens_kwd: str | None = None,
    readonly: bool = True,
    subtractsky: bool = False,
    dq_bits: int | str | None = None,
    optimize: str = "balanced",
    clobber: bool = False,
    clean: bool = True,
    verbose: bool = True,
    flog: Any = "skymatch.log",
    _taskname4history: str = "SkyMatch",
    *,
    units: Any = None,
    threads: int = 1,
) -> SkyResult | None:
    """Compute the sky of images, make skies agree where images overlap, and write or subtract them.

    Parameters
    ----------
    input : str or sequence
        Comma list of files with wildcards, association tables and extensions, or ``@file`` with masks
        (:func:`upramp.sky.parse_images`); or a list of such, or of skypac's ``FileExtMaskInfo``.
    skymethod : {'globalmin+match', 'match', 'globalmin', 'localmin'}, optional
        Method.
    match_down : bool, optional
        Whether the faintest image has the sky 0 by ``match``, or the brightest.
    skystat : {'mode', 'median', 'mean', 'midpt'}, optional
        Statistic; the median is 15 to 37 times less noisy than the mode.
    lower, upper : float, optional
        Limits, data units.
    nclip, lsigma, usigma, binwidth : optional
        Rounds of clipping, their thresholds and the bin of the histogram, in standard deviations.
    skyuser_kwd : str, optional
        Card to write.
    units_kwd : str, optional
        Card of the units.
    invsens_kwd : str, optional
        Card of the inverse sensitivity, such as PHOTFLAM; default none.
    readonly : bool, optional
        Whether nothing is written but the log.
    subtractsky : bool, optional
        Whether skies are subtracted from the pixels, in place.
    dq_bits : int, str or None, optional
        DQ bits that do not make a pixel bad; None: DQ is not used.
    optimize, clobber, clean : optional
        Taken and not needed: there are no temporary files.
    verbose : bool, optional
        Whether the log is printed.
    flog : str, path-like, file or None, optional
        Where the log is appended.
    units : {'counts', 'rate'}, optional
        Units of images whose headers do not tell; not in skypac.
    threads : int, optional
        Images worked on at a time; not in skypac.

    Returns
    -------
    SkyResult or None
        What was found (skypac: None); None if there was nothing to match.

    Raises
    ------
    InputError
        An image cannot be measured; nothing is written then.
    ValueError
        A parameter is out of its range.

    Warns
    -----
    UserWarning
        A single image cannot be matched and is left alone; overlaps leave several groups.
    """
    if skymethod not in METHODS:
        raise ValueError(f"skymethod is {skymethod!r}, expected one of {', '.join(METHODS)}")
    held = _read(input, dq_bits, units, invsens_kwd, units_kwd)
    if len(held) < 2 and "match" in skymethod:
        warnings.warn(
            f"{skymethod}: a single image has nothing to be matched with, nothing is written", stacklevel=2
        )
        return None
    how = SkyStatistic(skystat, lower, upper, nclip, lsigma, usigma, binwidth)
    images = [one.image for one in held]
    found = match_sky(
        images,
        skymethod,
        engine="compat",
        statistic=how,
        anchor="down" if match_down else "up",
        threads=threads,
    )
    _tell(found, skyuser_kwd, readonly, verbose, flog)
    if not readonly:
        task = _taskname4history
        for one, values in zip(held, found.values, strict=True):
            record(one, skyuser_kwd, values, subtract=subtractsky, task=task, description=found.description)
    return found


def record(
    one: Held, keyword: str, values: Sequence[float], *, subtract: bool, task: str, description: str = ""
) -> None:
    """Write the sky of an image into its headers, as skypac does.

    Parameters
    ----------
    one : Held
        Image.
    keyword : str
        Card.
    values : sequence of float
        Sky of every chip, data units.
    subtract : bool
        Whether it is subtracted from the pixels: the card is the total then.
    task : str
        Who computed it; lines of HISTORY are written for SkyMatch only.
    description : str, optional
        How, for HISTORY.
    """
    sky = {chip.index: value for chip, value in zip(one.image.chips, values, strict=True)}

    def edit(index: int, header: fits.Header) -> bool:
        own = task == "SkyMatch"
        if index in sky:
            total, told = sky[index], f"Sky value computed by {task}"
            if subtract:
                total += float(header.get(keyword, 0.0))
                told = "Total sky value subtracted from data"
                if own:
                    header.add_history(f"{keyword} {sky[index]:E} subtracted from image by {task}")
            header[keyword] = float(total), told
        if index == 0 and own:
            header.add_history(f"{keyword} by skymatch of upramp {__version__}: {description}")
        return index in sky or (index == 0 and own)

    if one.file is None:
        rewrite(one.image, one.image.path, edit, sky.__getitem__ if subtract else None, overwrite=True)
        return
    # The caller's open file is written when the caller closes it.
    for index in {0, *sky}:
        edit(index, one.file[index].header)
    if subtract:
        for index, value in sky.items():
            one.file[index].data -= value


def _read(given: Any, bits: Any, units: Any, sensitivity: str | None, units_keyword: str) -> list[Held]:
    options = {
        "units": units,
        "sensitivity": (sensitivity or "").strip() or None,
        "units_keyword": units_keyword,
    }
    if isinstance(given, (str, os.PathLike)):
        return [Held(image, None) for image in read_images(parse_images(given), bits=bits, **options)]
    if not isinstance(given, Sequence):
        raise TypeError(f"input is {type(given).__name__}, expected a list of images or its text")
    found: list[Held] = []
    for one in given:
        if hasattr(one, "fext") and hasattr(one, "mask_images"):
            found.append(_of_skypac(one, bits, options))
        else:
            entries = [one] if isinstance(one, ImageEntry) else parse_images(one)
            found += [Held(image, None) for image in read_images(entries, bits=bits, **options)]
    return found


def _of_skypac(info: Any, bits: Any, options: dict[str, Any]) -> Held:
    """An image that skypac has opened, or knows by name."""
    closed = info.fnamesOnly or info.DQimage is None or info.DQimage.closed
    bits = bits if bits is not None else None if closed else info.dq_bits
    masks: list[Any] = []
    for mask, extension in zip(info.mask_images, info.maskext, strict=True):
        if mask is None or (not isinstance(mask, str) and mask.closed):
            masks.append(None)
        elif isinstance(mask, str):
            masks.append((Path(mask), extension))
        else:
            masks.append(np.asarray(mask.hdu[extension].data) != 0)
    path = info.image if info.fnamesOnly else info.image.filename
    extensions = tuple(one for one in info.fext if one != "*")
    # skypac leaves masks out at the end of the list and drops those too many.
    image = read_image(path, bits=bits, extensions=extensions, **options)
    masks = (masks + [None] * len(image.chips))[: len(image.chips)]
    if any(mask is not None for mask in masks):
        image = read_image(path, bits=bits, extensions=extensions, mask=masks, **options)
    return Held(image, None if info.fnamesOnly else info.image.hdu)


def _tell(found: SkyResult, keyword: str, readonly: bool, verbose: bool, log: Any) -> None:
    """Append the values to the log, and print them."""
    lines = [f"skymatch of upramp {__version__}, {datetime.now():%Y-%m-%dT%H:%M:%S}", found.description]
    lines.append(f"{keyword} is {'not written' if readonly else 'written'}; data units")
    for image, values in zip(found.images, found.values, strict=True):
        lines += [
            f"{image.path.name}[{chip.header.get('EXTNAME', 'PRIMARY')},{chip.extver}]  {value:.9g}"
            for chip, value in zip(image.chips, values, strict=True)
        ]
    for group in found.groups[1:] and found.groups:
        lines.append("group: " + ", ".join(group))
    text = "\n".join(lines) + "\n"
    if verbose:
        print(text, end="")
    if log is None or log == "":
        return
    if isinstance(log, (str, os.PathLike)):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(text)
        return
    # A file, or skypac's own log, which does the printing by itself.
    entry: Callable[..., Any] | None = getattr(log, "logentry", None)
    if entry is not None and not verbose:
        entry("{}", text)
    elif entry is None:
        stream_: TextIO = log
        stream_.write(text)
