"""Small overlapping exposures for the drop-ins of sky matching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

SIZE = 96
SCALE = 0.13


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five exposures of one bumpy field, each turned a little, in rates and in counts."""
    rng = np.random.default_rng(20)
    folder = tmp_path_factory.mktemp("tiles")
    y, x = np.mgrid[:SIZE, :SIZE]
    for number, (right, up) in enumerate([(0, 0), (60, 5), (8, 55), (70, 62), (33, 30)]):
        angle = np.radians(20 + 3 * number)
        matrix = SCALE / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [150.1 - right * SCALE / 3600, 2.2 + up * SCALE / 3600]
        wcs.wcs.crpix = [SIZE / 2 + 0.5, SIZE / 2 + 0.5]
        wcs.wcs.cd = matrix
        ra, dec = wcs.wcs_pix2world(x, y, 0)
        field = 2 * np.sin(800 * np.radians(ra - 150) * 30) * np.cos(9000 * np.radians(dec - 2.2))
        exptime, counts = 100.0 + 50 * number, number % 2 == 1
        rate = field + 10 + 1.3 * number + rng.normal(0, 0.3, (SIZE, SIZE))
        flags = rng.choice(np.array([0, 4, 64, 4096], np.int16), (SIZE, SIZE), p=[0.9, 0.05, 0.03, 0.02])
        rate[flags == 4] += 50
        primary = fits.PrimaryHDU()
        primary.header.update(
            {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "ROOTNAME": f"tile{number}q"}
            | {"EXPTIME": exptime, "PHOTCORR": "COMPLETE", "FILENAME": f"tile{number}q_flt.fits"}
        )
        # Without the cards that stwcs asks for, a WCS of plain FITS.
        science = fits.ImageHDU((rate * (exptime if counts else 1)).astype(np.float32), name="SCI", ver=1)
        science.header.update(wcs.to_header(relax=True))
        for name, value in zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), matrix.ravel(), strict=True):
            science.header[name] = value
        for name in ("PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"):
            science.header.remove(name, ignore_missing=True)
        science.header.update(
            {"BUNIT": "ELECTRONS" if counts else "ELECTRONS/S", "IDCSCALE": SCALE}
            | {"PHOTFLAM": 1.5e-20 * (1 + 0.1 * number), "SKYUSER": 0.25}
        )
        quality = fits.ImageHDU(flags, name="DQ", ver=1)
        fits.HDUList([primary, science, quality]).writeto(folder / f"tile{number}q_flt.fits")
    return folder
