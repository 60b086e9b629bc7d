"""Science frames: raw to flat-fielded, with uncertainties and flags."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upramp.ccd.calibrated import CalibratedFrame, header_of
from upramp.ccd.cosmics_robust import find_cosmics
from upramp.ccd.detector import Detector, exptime_of, filter_of, gain_of, read_noise_of, saturation_of
from upramp.ccd.image import CcdImage, Dq, as_image, history, read_image, set_flag
from upramp.ccd.masters import CARDS, layout_lines, trimmed_header
from upramp.ccd.opening import open_frames
from upramp.exceptions import InputError

__all__ = ["choose_flat", "reduce"]

Unit = Literal["adu", "electron"]
Known = tuple[float, str]
Pixels = NDArray[np.float32]


def reduce(
    frame: Any,
    *,
    bias: Any = None,
    dark: Any = None,
    flat: Any = None,
    detector: Detector | None = None,
    unit: Unit = "adu",
    mask: Any = None,
    uncertainty: bool = True,
    cosmics: bool = False,
) -> CcdImage:
    """Reduce a science frame: (raw - overscan - bias - dark t) / flat.

    Parameters
    ----------
    frame : path-like, CCDData or array_like
        Raw frame.
    bias, dark, flat : CcdImage, path-like, CCDData or array_like, optional
        Masters, of the size of what is kept of the frame; a step without one is left out. Of `flat` there may be
        several in a mapping from the name of the filter (``Flats.flats``).
    detector : Detector, optional
        How it was read out; default: as its header says.
    unit : {'adu', 'electron'}, optional
        Unit of the result. Electrons are ADU times the gain, once: do not apply it again (BUNIT tells).
    mask : ndarray of bool, optional
        True for bad pixels, of the size of what is kept; beside the mask the frame has.
    uncertainty : bool, optional
        Whether to compute it; this needs gain and read noise.
    cosmics : bool, optional
        Whether to search the reduced frame for cosmic rays (:func:`find_cosmics`, by gain and read noise)
        and replace them; their pixels are flagged COSMIC_RAY.

    Returns
    -------
    CcdImage
        Data, standard deviation, bits of :class:`Dq`. NaN where the flat is (VIGNETTED) or a master is (BAD);
        saturated pixels keep their value. UPRGAIN and UPRRDN tell gain and read noise (ADU), HISTORY every step.

    Raises
    ------
    InputError
        A file cannot be used, or is in electrons; no flat of its filter; gain, read noise or exposure time are not
        known.
    ValueError
        Masters of other shapes, a parameter out of its range.

    Notes
    -----
    With d = raw - overscan - bias in ADU, g the gain, n the read noise, b, k, f bias, dark current and flat with
    their variances V, and s = (d - k t) / f:

    V(s) = (max(d, 0) / g + (n / g)² + V(b) + t² V(k) + s² V(f)) / f².
    """
    detector = detector or Detector()
    if unit not in ("adu", "electron"):
        raise ValueError(f"unit is {unit!r}, expected 'adu' or 'electron'")
    if cosmics and not uncertainty:
        raise ValueError("cosmics is True, uncertainty False: hits are judged by gain and read noise")
    bias_image, dark_image = (
        None if image is None else as_image(image, name) for image, name in ((bias, "bias"), (dark, "dark"))
    )
    with open_frames([frame], ext=detector.ext, memory=1 << 62) as (opened, _):
        raw = opened[0]
        header = header_of(raw, getattr(frame, "meta", None))
        if CARDS["kind"] in header:
            raise InputError(f"{raw.name}: is a {header[CARDS['kind']]} already, expected a raw frame")
        told = str(getattr(frame, "unit", None) or header.get("BUNIT", "")).strip().lower()
        if told.startswith(("electron", "e-")):
            raise InputError(f"{raw.name}: is in {told} already, expected ADU: the gain would count twice")
        made = CalibratedFrame(raw, header, detector)
        pixels = np.empty(made.shape, np.float32)
        made.words(0, made.shape[0], "f4", pixels.reshape(-1))
        bad = made.mask(0, made.shape[0])
        saturated = _saturated(made, header, detector)
    name = raw.name
    flat_image = None if flat is None else choose_flat(flat, filter_of(header, detector), name)
    seconds = 0.0 if dark_image is None else exptime_of(header, detector, name)
    for image in (bias_image, dark_image, flat_image):
        if image is not None and image.data.shape != made.shape:
            raise ValueError(
                f"{image.name} has shape {image.data.shape}, expected {made.shape}, what is kept of {name}"
            )
    out = trimmed_header(header, made.layout)
    history(out, *layout_lines(made, detector))
    gain = noise = None
    if uncertainty or unit == "electron":
        gain = _gain(header, detector, flat_image, name)
    if uncertainty and gain is not None:
        noise = _read_noise(header, detector, gain[0], bias_image, name)
    dq = np.where(saturated, Dq.SATURATED, 0).astype(np.uint8)
    for one in (None if bad is None else bad.reshape(made.shape), mask):
        if one is not None:
            if np.shape(one) != made.shape:
                raise ValueError(
                    f"mask has shape {np.shape(one)}, expected {made.shape}, what is kept of {name}"
                )
            set_flag(dq, np.asarray(one, bool), Dq.BAD)
    data = pixels
    variance: Pixels | None = None
    if bias_image is not None:
        data -= bias_image.data
        set_flag(dq, bias_image.dq != 0, Dq.BAD)
        history(out, f"bias subtracted: {Path(bias_image.name).name}")
    if uncertainty and gain is not None and noise is not None:
        photons = np.maximum(data, np.float32(0)) / np.float32(gain[0])
        variance = np.add(photons, np.float32(noise[0] ** 2), dtype=np.float32)
        _add_variance(variance, bias_image, 1.0)
        _add_variance(variance, dark_image, seconds)
    if dark_image is not None:
        data -= dark_image.data * np.float32(seconds)
        set_flag(dq, dark_image.dq != 0, Dq.BAD)
        history(out, f"dark subtracted: {Path(dark_image.name).name} times {seconds:g} s")
    if flat_image is not None:
        data, variance = _divide(data, variance, flat_image, dq)
        history(out, f"divided by flat: {Path(flat_image.name).name}")
    set_flag(dq, ~np.isfinite(data), Dq.NO_DATA)
    if cosmics and gain is not None and noise is not None:
        # Not by the variance: that of a hit has the photons that did not come. Saturated pixels are flagged.
        electrons = noise[0] * gain[0]
        hit, data = find_cosmics(data, mask=dq, gain=gain[0], readnoise=electrons, satlevel=np.inf)
        set_flag(dq, hit, Dq.COSMIC_RAY)
        history(out, f"cosmic rays: {np.count_nonzero(hit)} pixels replaced")
    error = None if variance is None else np.sqrt(variance, out=variance)
    if gain is not None:
        out[CARDS["gain"]] = round(gain[0], 4), "[e-/adu] gain"
        history(out, f"gain {gain[0]:.4g} e-/ADU ({gain[1]})")
    if noise is not None:
        out[CARDS["read_noise"]] = round(noise[0], 4), "[adu] read noise"
        history(out, f"read noise {noise[0]:.4g} ADU ({noise[1]})")
    if unit == "electron" and gain is not None:
        data *= np.float32(gain[0])
        if error is not None:
            error *= np.float32(gain[0])
        history(out, "multiplied by the gain: in electrons")
    out["BUNIT"] = unit, "unit of the data"
    out[CARDS["kind"]] = "reduced frame", "what upramp ccd made"
    return CcdImage(data, error, dq, out, name)


def choose_flat(flat: Any, name: str, frame: str) -> CcdImage:
    """The flat of a filter.

    Parameters
    ----------
    flat : mapping of str to image, or image
        Flats by filter, or the one.
    name : str
        Filter of the frame.
    frame : str
        Name of the frame, for messages.

    Raises
    ------
    InputError
        There is no flat of this filter.
    """
    if not isinstance(flat, Mapping):
        return as_image(flat, "flat")
    if name not in flat:
        known = ", ".join(repr(key) for key in flat)
        raise InputError(f"{frame}: filter is {name!r}, expected one of the flats' ({known})")
    return as_image(flat[name], "flat")


def _saturated(frame: CalibratedFrame, header: Any, detector: Detector) -> NDArray[np.bool_]:
    limit = saturation_of(header, detector)
    found = np.empty(frame.shape, bool)
    rows, columns = frame.layout.trim
    y = 0
    for raw in frame.raw_pieces(rows.start, rows.stop):
        found[y : y + len(raw)] = raw[:, columns] >= limit
        y += len(raw)
    return found


def _gain(header: Any, detector: Detector, flat: CcdImage | None, name: str) -> Known:
    """Electrons per ADU, and where that is from."""
    gain = gain_of(header, detector)
    if gain is not None:
        return gain
    if flat is not None and CARDS["gain"] in flat.header:
        return float(flat.header[CARDS["gain"]]), f"measured, {Path(flat.name).name}"
    raise InputError(
        f"{name}: gain is not known (no EGAIN, no GAIN in e-/ADU in the header); give gain=, --gain"
    )


def _read_noise(header: Any, detector: Detector, gain: float, bias: CcdImage | None, name: str) -> Known:
    """Read noise, ADU, and where it is from."""
    told = read_noise_of(header, detector)
    if told is not None:
        return told[0] / gain, told[1]
    if bias is not None and CARDS["read_noise"] in bias.header:
        return float(bias.header[CARDS["read_noise"]]), f"measured, {Path(bias.name).name}"
    raise InputError(
        f"{name}: read noise is not known (no RDNOISE in the header); give read_noise=, --readnoise"
    )


def _add_variance(variance: Pixels, image: CcdImage | None, factor: float) -> None:
    """Add that of a master; where it is not known (a single frame) it counts as none."""
    if image is not None and image.uncertainty is not None:
        more = (np.float32(factor) * image.uncertainty) ** 2
        variance += np.where(np.isfinite(more), more, 0)


def _divide(
    data: Pixels, variance: Pixels | None, flat: CcdImage, dq: NDArray[np.uint8]
) -> tuple[Pixels, Pixels | None]:
    response = np.where(flat.data > 0, flat.data, np.float32(np.nan))
    set_flag(dq, np.isnan(response), Dq.VIGNETTED)
    set_flag(dq, (flat.dq & ~np.uint8(Dq.VIGNETTED)) != 0, Dq.BAD)
    data = np.divide(data, response, dtype=np.float32)
    if variance is not None:
        if flat.uncertainty is not None:
            more = (data * flat.uncertainty) ** 2
            variance += np.where(np.isfinite(more), more, 0)
        variance /= response**2
    return data, variance


def read_flats(paths: Iterable[str | os.PathLike[str]], detector: Detector) -> dict[str, CcdImage]:
    """Master flats by their filter.

    Parameters
    ----------
    paths : iterable of path-like
        Files that :func:`upramp.ccd.master_flat` made.
    detector : Detector
        Names the keyword of the filter, perhaps.

    Raises
    ------
    ValueError
        Two of the same filter.
    """
    found: dict[str, CcdImage] = {}
    for path in paths:
        image = read_image(path)
        name = filter_of(image.header, detector)
        if name in found:
            raise ValueError(f"{found[name].name} and {path} are both flats of filter {name!r}, expected one")
        found[name] = image
    return found
