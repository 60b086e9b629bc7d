"""A mosaic of overlapping exposures on one field, with known skies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from upramp.io import atomic_path, check_output, fits

__all__ = ["MosaicTruth", "mosaic"]

RA, DEC = 83.2, -2.4  # near the Horsehead
PIXEL_SCALE = 0.13  # arcsec
EXPTIMES = (400.0, 500.0, 700.0)
READ_NOISE = 15.0  # electrons
SKY, SCATTER = 0.75, 0.1  # electrons per second
STEP = 0.82
"""Distance of fields, of their size."""
DITHER = 4.6
"""Longest offset of dithers each way, pixels."""


class MosaicTruth(NamedTuple):
    """Files of a simulated mosaic and what is in them.

    Attributes
    ----------
    paths : list of Path
        FLT files.
    skies : ndarray, (n,) float64
        Sky of every exposure, electrons per second.
    """

    paths: list[Path]
    skies: NDArray[np.float64]


def mosaic(
    directory: str | os.PathLike[str],
    *,
    fields: tuple[int, int] = (3, 2),
    dithers: int = 2,
    size: int = 128,
    nebula: float = 1.0,
    seed: int = 1,
    overwrite: bool = False,
) -> MosaicTruth:
    """Write exposures that overlap on the sky, each with its own sky level.

    Parameters
    ----------
    directory : path-like
        Where to.
    fields : (int, int), optional
        Fields to the east and to the north; neighbours share 18 % of their width.
    dithers : int, optional
        Exposures a field, a few pixels apart.
    size : int, optional
        Pixels a side.
    nebula : float, optional
        Amplitude of the nebula that fills the mosaic, electrons per second; 0 for a blank field of stars.
    seed : int, optional
        Seed of noise, stars, skies and pointing; the same one gives the same pixels.
    overwrite : bool, optional
        Whether existing files may be replaced.

    Returns
    -------
    MosaicTruth
        Files and skies.

    Raises
    ------
    ValueError
        A number is not positive.
    OutputError
        A file exists.

    Notes
    -----
    Files are those of WFC3/IR in what sky matching looks at: SCI in electrons per second and DQ (hot pixels, a
    blob, cosmic rays), a tangent-plane WCS without distortion turned by up to 2 degrees, exposure times of 400 to
    700 s, photon and read noise.
    """
    for name, value in (("fields", min(fields)), ("dithers", dithers), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    directory = Path(directory)
    rng = np.random.default_rng(seed)
    count = fields[0] * fields[1] * dithers
    skies = SKY + SCATTER * rng.standard_normal(count) + 0.25 * rng.random(count) ** 3
    extent = size * PIXEL_SCALE * (STEP * max(fields) + 1)  # arcsec
    # About as many stars a field as a short infrared exposure shows.
    stars = rng.uniform(-extent / 2, extent / 2, (int(5 + 60 * (extent / 130) ** 2), 2))
    fluxes = np.minimum(3.0 * (rng.pareto(1.1, len(stars)) + 0.5), 3000.0)
    bright = np.where(rng.random((size, size)) < 0.003, rng.exponential(15.0, (size, size)), 0.0)
    y, x = np.indices((size, size))
    blob = (x - 0.7 * size) ** 2 + (y - 0.3 * size) ** 2 < (0.03 * size) ** 2
    paths = [directory / f"imos{number:04d}q_flt.fits" for number in range(count)]
    for path in paths:
        check_output(path, overwrite=overwrite)
    for number, (path, sky) in enumerate(zip(paths, skies, strict=True)):
        field, dither = divmod(number, dithers)
        place = np.array(divmod(field, fields[1]), float) - (np.array(fields) - 1) / 2
        offset = STEP * size * place + (rng.uniform(0, DITHER, 2) if dither else 0.0)
        wcs = _wcs(offset * PIXEL_SCALE, rng.uniform(-2, 2), size)
        east, north = _plane(wcs, x, y)
        rate = sky + nebula * _nebula(east, north, extent)
        _add_stars(rate, wcs, stars, fluxes)
        exptime = EXPTIMES[number % len(EXPTIMES)]
        noise = np.sqrt(np.maximum(rate, 0.01) * exptime + READ_NOISE**2) / exptime
        rate += noise * rng.standard_normal(rate.shape)
        struck = rng.random(rate.shape) < 2e-4
        rate[struck] += rng.exponential(4.0, int(struck.sum()))
        rate += bright
        rate[blob] *= 0.88
        flags = np.where(bright > 0, 16, 0) | np.where(blob, 512, 0) | np.where(struck, 8192, 0)
        _write(path, rate.astype(np.float32), flags.astype(np.int16), wcs, exptime, overwrite)
    return MosaicTruth(paths, skies)


def _wcs(offset: NDArray[np.float64], angle: float, size: int) -> WCS:
    """Tangent plane, east and north offset in arcsec, turned by degrees."""
    turn = np.radians(30 + angle)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    scale = PIXEL_SCALE / 3600
    wcs.wcs.cd = scale * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # The grid of fields is turned as the exposures are.
    grid = np.radians(30)
    east = -np.cos(grid) * -offset[0] + np.sin(grid) * offset[1]
    north = np.sin(grid) * -offset[0] + np.cos(grid) * offset[1]
    dec = DEC + north / 3600
    wcs.wcs.crval = [RA + east / 3600 / np.cos(np.radians(dec)), dec]
    wcs.wcs.set()
    return wcs


def _plane(wcs: WCS, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of pixels east and north of the middle, arcsec."""
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    return (ra - RA) * np.cos(np.radians(dec)) * 3600, (dec - DEC) * 3600


def _nebula(east: NDArray[np.float64], north: NDArray[np.float64], extent: float) -> NDArray[np.float64]:
    """A bright ridge with waves of several lengths across it, between 0 and about 1."""
    u, v = east / extent, north / extent
    ridge = np.exp(-0.5 * ((u + 0.4 * v + 0.08 * np.sin(9 * v)) / 0.22) ** 2)
    waves = 0.5 + 0.25 * np.sin(17 * u - 6 * v) * np.cos(11 * v + 3 * u) + 0.15 * np.sin(41 * u + 29 * v)
    return np.asarray(ridge * waves)


def _add_stars(
    rate: NDArray[np.float64], wcs: WCS, stars: NDArray[np.float64], fluxes: NDArray[np.float64]
) -> None:
    """Gaussians of 1.1 pixels, electrons per second."""
    dec = DEC + stars[:, 1] / 3600
    x, y = wcs.wcs_world2pix(RA + stars[:, 0] / 3600 / np.cos(np.radians(dec)), dec, 0)
    reach, width = 7, 1.1
    near = (x > -reach) & (y > -reach) & (x < rate.shape[1] + reach) & (y < rate.shape[0] + reach)
    for u, v, flux in zip(x[near], y[near], fluxes[near], strict=True):
        rows = slice(max(0, int(v) - reach), max(0, int(v) + reach + 1))
        columns = slice(max(0, int(u) - reach), max(0, int(u) + reach + 1))
        part = rate[rows, columns]
        down, across = np.mgrid[
            rows.start : rows.start + part.shape[0], columns.start : columns.start + part.shape[1]
        ]
        distance = ((across - u) ** 2 + (down - v) ** 2) / width**2
        part += flux / (2 * np.pi * width**2) * np.exp(-0.5 * distance)


def _write(
    path: Path,
    rate: NDArray[np.float32],
    flags: NDArray[np.int16],
    wcs: WCS,
    exptime: float,
    overwrite: bool,
) -> None:
    primary = fits.PrimaryHDU()
    rootname = path.name.partition("_")[0]
    primary.header.update(
        {"FILENAME": path.name, "TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "ROOTNAME": rootname}
        | {"FILTER": "F160W", "EXPTIME": exptime, "PHOTCORR": "COMPLETE", "PHOTFLAM": 1.93e-20}
    )
    science = fits.ImageHDU(rate, name="SCI", ver=1)
    (cd11, cd12), (cd21, cd22) = wcs.wcs.cd
    science.header.update(
        {
            "BUNIT": "ELECTRONS/S",
            "ROOTNAME": rootname,
            "WCSAXES": 2,
            "RADESYS": "ICRS",
            "IDCSCALE": PIXEL_SCALE,
        }
        | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
        | {"CRPIX1": wcs.wcs.crpix[0], "CRPIX2": wcs.wcs.crpix[1]}
        | {"CRVAL1": wcs.wcs.crval[0], "CRVAL2": wcs.wcs.crval[1]}
        | {"CD1_1": cd11, "CD1_2": cd12, "CD2_1": cd21, "CD2_2": cd22}
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        fits.HDUList([primary, science, fits.ImageHDU(flags, name="DQ", ver=1)]).writeto(
            temporary, overwrite=True
        )
