"""Compare FITS products plane by plane; null extensions count as constant planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

PLANES = ("SCI", "ERR", "DQ", "SAMP", "TIME")


def plane(hdu: fits.ImageHDU) -> NDArray[np.generic]:
    """Pixels of an extension."""
    if hdu.data is not None:
        return np.asarray(hdu.data)
    header = hdu.header
    dtype = np.int16 if hdu.name in ("DQ", "SAMP") else np.float32
    return np.full((header["NPIX2"], header["NPIX1"]), header["PIXVALUE"], dtype)


def differences(ours: Path, theirs: Path, ulps: dict[str, int] | None = None) -> dict[str, int]:
    """Number of pixels that differ, for every extension that differs at all (NaN equals NaN).

    `ulps` allows a plane so many units in the last place.
    """
    found = {}
    with fits.open(ours) as a, fits.open(theirs) as b:
        labels = [(hdu.name, hdu.ver) for hdu in b if hdu.name in PLANES]
        assert labels == [(hdu.name, hdu.ver) for hdu in a if hdu.name in PLANES]
        for label in labels:
            x, y = plane(a[label]), plane(b[label])
            assert x.shape == y.shape
            assert x.dtype.itemsize == y.dtype.itemsize
            same = (x == y) | ((x != x) & (y != y))
            allowed = (ulps or {}).get(label[0], 0)
            if allowed:
                same |= np.abs(x - y) <= allowed * np.spacing(np.abs(y))
            if not same.all():
                found[f"{label[0]},{label[1]}"] = int((~same).sum())
    return found
