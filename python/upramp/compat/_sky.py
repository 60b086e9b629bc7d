"""``drizzlepac.sky.sky``: MDRIZSKY of images as AstroDrizzle computes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from upramp.compat._skymatch import Held, record
from upramp.sky import (
    METHODS,
    ImageEntry,
    SkyImage,
    SkyResult,
    SkyStatistic,
    match_sky,
    parse_images,
    read_images,
    read_sky_file,
    read_sky_keyword,
    with_masks,
)
from upramp.sky.lists import Extensions

__all__ = ["sky"]

_DEFAULTS: dict[str, Any] = {
    "skysub": True,
    "skymethod": "localmin",
    "skystat": "median",
    "skywidth": 0.1,
    "skylower": None,
    "skyupper": None,
    "skyclip": 5,
    "skylsigma": 4.0,
    "skyusigma": 4.0,
    "skymask_cat": "",
    "use_static": True,
    "static_sig": 4.0,
    "sky_bits": "0",
    "skyfile": "",
    "skyuser": "",
    "in_memory": False,
}
"""AstroDrizzle's."""

_IGNORED = {"input", "output", "updatewcs", "group", "in_memory", "clean"}
_KEYWORD = "MDRIZSKY"


def sky(
    input: Any = None,
    outExt: str | None = None,
    configObj: Mapping[str, Any] | None = None,
    group: Any = None,
    editpars: bool = False,
    **pars: Any,
) -> SkyResult | None:
    """Compute the sky of images and write it to their headers as MDRIZSKY; pixels are not touched.

    Parameters
    ----------
    input : str or list of str
        Files, with wildcards, association tables or ``@file``.
    outExt : str, optional
        Without effect, there as here: no image is written.
    configObj : mapping, optional
        Parameters, also in sections as in AstroDrizzle's configuration; those of other steps are passed over.
    group : int, str, tuple or list, optional
        Extensions to work on: numbers, ``"1,4"``, or ``("sci", 1)``; default all SCI.
    editpars : bool, optional
        Not offered: there is no editor.
    **pars
        skysub, skymethod, skystat, skywidth, skylower, skyupper, skyclip, skylsigma, skyusigma, skymask_cat,
        use_static, static_sig, sky_bits, skyfile, skyuser, in_memory: meanings and defaults of AstroDrizzle.

    Returns
    -------
    SkyResult or None
        What was written; None where ``skysub=False`` left it at zero (drizzlepac: None).

    Raises
    ------
    ValueError
        No input; a parameter that is not known or out of its range; a file without a value of the user.
    InputError
        An image cannot be measured, or matched: no other method takes the place of the one asked for.
    """
    if input is None:
        raise ValueError("input is None, expected images")
    if editpars:
        raise ValueError("editpars is True, there is no editor of parameters; pass them by name")
    values = _parameters(configObj, pars)
    entries = _entries(input, group if group is not None else (configObj or {}).get("group"))
    if not values["skysub"]:
        return _without(entries, values)
    if text := _text(values["skyfile"]):
        images = read_images(entries, bits=None)
        found = match_sky(images, user=read_sky_file(text))
    else:
        images = read_images(_masked(entries, _text(values["skymask_cat"])), bits=values["sky_bits"])
        found = _compute(images, values)
    _write(found)
    return found


def _compute(images: Sequence[SkyImage], values: Mapping[str, Any]) -> SkyResult:
    names = ("skystat", "skylower", "skyupper", "skyclip", "skylsigma", "skyusigma", "skywidth")
    static = values["static_sig"] if values["use_static"] else None
    method = values["skymethod"]
    if len(images) < 2 and "match" in method:
        raise ValueError(f"skymethod is {method!r} for a single image, expected localmin or globalmin")
    return match_sky(
        images,
        method,
        engine="compat",
        statistic=SkyStatistic(*(values[name] for name in names)),
        static=static,
        threads=1,
    )


def _without(entries: Sequence[ImageEntry], values: Mapping[str, Any]) -> SkyResult | None:
    """``skysub=False``: values of the user, or zero where there is none."""
    images = read_images(entries, bits=None)
    given = _text(values["skyuser"])
    if not given:
        for image in images:
            if lacking := [chip for chip in image.chips if _KEYWORD not in chip.header]:
                bare = replace(image, chips=tuple(lacking))
                record(Held(bare, None), _KEYWORD, [0.0] * len(lacking), subtract=False, task="AstroDrizzle")
        return None
    if given.startswith("@"):
        # Not subtracted yet, whatever the file says of it.
        user = replace(read_sky_file(given[1:]), applied=False)
    else:
        user = read_sky_keyword(images, given)
    found = match_sky(images, user=user)
    _write(found)
    return found


def _write(found: SkyResult) -> None:
    for image, values in zip(found.images, found.values, strict=True):
        record(Held(image, None), _KEYWORD, values, subtract=False, task="AstroDrizzle")


def _parameters(configuration: Mapping[str, Any] | None, pars: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(_DEFAULTS)
    for name, value in _flat(configuration or {}):
        # A configuration of AstroDrizzle has the parameters of all its steps.
        if name in values:
            values[name] = value
    for name, value in pars.items():
        if name in values:
            values[name] = value
        elif name not in _IGNORED:
            raise ValueError(f"{name} is no parameter of sky, expected one of {', '.join(_DEFAULTS)}")
    for name in ("skysub", "use_static"):
        if not isinstance(values[name], bool):
            raise TypeError(f"{name} is {values[name]!r}, expected True or False")
    if values["skymethod"] not in METHODS:
        raise ValueError(f"skymethod is {values['skymethod']!r}, expected one of {', '.join(METHODS)}")
    for name in ("skylower", "skyupper"):
        if values[name] in ("", "INDEF", "None"):
            values[name] = None
    return values


def _flat(configuration: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in configuration.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value


def _text(value: Any) -> str:
    return "" if value is None or str(value).strip() in ("", "None") else str(value).strip()


def _entries(given: Any, group: Any) -> list[ImageEntry]:
    entries = parse_images(given)
    if group in (None, "", "None"):
        return entries
    parts: list[Any]
    if isinstance(group, str):
        words = [word.strip() for word in group.split(",")]
        named = len(words) == 2 and words[0].isalpha()
        parts = [(words[0], int(words[1]))] if named else [int(word) for word in words]
    elif isinstance(group, (int, tuple)):
        parts = [group]
    else:
        parts = [int(number) for number in group]
    extensions: Extensions = tuple(parts)
    return [replace(entry, extensions=extensions) for entry in entries]


def _masked(entries: list[ImageEntry], catalogue: str) -> list[ImageEntry]:
    return with_masks(entries, catalogue) if catalogue else entries
