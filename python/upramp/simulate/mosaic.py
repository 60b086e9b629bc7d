"""Overlapping exposures of one piece of sky, each with a sky level of its own that is known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from upramp.io import check_output, fits

__all__ = ["Mosaic", "MosaicTruth", "SkyTruth", "mosaic", "simulate_mosaic"]

SCALE = 0.13
"""Arcsec per pixel."""
CENTRE = (150.0, 2.2)
"""Right ascension and declination of the scene, degrees."""
DISTORTION = {
    **{"A_0_2": 5e-8, "A_1_1": 2.4e-5, "A_2_0": -2e-7, "A_3_0": -1.5e-10},
    **{"B_0_2": 3e-5, "B_1_1": -1.7e-7, "B_2_0": 7e-6, "B_1_2": 4e-11},
}
"""SIP polynomial of about the size of WFC3/IR's."""


@dataclass(frozen=True)
class Mosaic:
    """What to simulate.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of a chip.
    tiles : tuple of int
        Rows and columns of pointings, which overlap by a fifth.
    dithers : int
        Exposures of each.
    chips : int
        Chips of an exposure, one above the other with a gap.
    nebula : float
        Brightness of a nebula that covers most of it, electrons/s; 0 for none.
    stars : int
        Stars on a chip, about.
    gradient : float
        Largest change of the sky across an exposure, electrons/s; 0 for flat skies.
    mixed : bool
        Every other exposure in electrons instead of electrons/s.
    seed : int
        Seed of all random numbers.
    """

    shape: tuple[int, int] = (200, 240)
    tiles: tuple[int, int] = (2, 2)
    dithers: int = 2
    chips: int = 1
    nebula: float = 0.0
    stars: int = 60
    gradient: float = 0.0
    mixed: bool = False
    seed: int = 1


@dataclass(frozen=True, eq=False)
class SkyTruth:
    """What was simulated.

    Attributes
    ----------
    paths : list of Path
        Files, FLT-like: SCI and DQ extensions.
    sky : ndarray, (n,) float64
        Mean sky of every exposure, electrons/s per pixel.
    planes : ndarray, (n, 2) float64
        Change of the sky from one side of the exposure to the other in x and y.
    pixel_area : float
        Nominal solid angle of a pixel, arcsec²: surface brightness times it is electrons/s.
    """

    paths: list[Path]
    sky: NDArray[np.float64]
    planes: NDArray[np.float64]
    pixel_area: float


def simulate_mosaic(folder: Path, what: Mosaic) -> SkyTruth:
    """Write the exposures of a mosaic.

    Sources of uniform brightness have the same value whatever the area of a pixel, as in flat-fielded data; stars
    are brighter in pixels that are smaller.

    Parameters
    ----------
    folder : Path
        Where files go; made if it is missing.
    what : Mosaic
        What to simulate.

    Returns
    -------
    SkyTruth
        Files and their skies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(what.seed)
    ny, nx = what.shape
    height = what.chips * (ny + 12) - 12
    pointings = [
        ((column - (what.tiles[1] - 1) / 2) * 0.8 * nx, (row - (what.tiles[0] - 1) / 2) * 0.8 * height)
        for row in range(what.tiles[0])
        for column in range(what.tiles[1])
    ]
    reach = 0.5 * max(what.tiles) * max(nx, height)
    scene = _scene(what, reach, rng)
    bad = rng.random((what.chips, ny, nx)) < 0.01
    paths: list[Path] = []
    skies: list[float] = []
    planes: list[NDArray[np.float64]] = []
    for x, y in pointings:
        turn = np.radians(20 + rng.uniform(-2, 2))
        for _ in range(what.dithers):
            number = len(paths)
            shift = rng.uniform(-8, 8, 2)
            sky = float(0.75 + 0.1 * rng.standard_normal())
            plane = rng.uniform(-0.5, 0.5, 2) * what.gradient
            exptime = (400.0, 500.0, 700.0)[number % 3]
            counts = what.mixed and number % 2 == 1
            cards = {"EXPTIME": exptime, "ROOTNAME": f"sim{number:04d}q"}
            units: list[Any] = [fits.PrimaryHDU(header=fits.Header(cards))]
            for chip in range(what.chips):
                up = chip * (ny + 12) - (height - ny) / 2
                header = _world((ny, nx), (x + shift[0], y + shift[1]), up, turn)
                rate = _expose(header, (ny, nx), scene)
                v, u = np.mgrid[:ny, :nx]
                rate += sky
                rate += plane[0] * ((u + 0.5) / nx - 0.5) + plane[1] * ((v + 0.5 - ny / 2 + up) / height)
                rate += (
                    rng.standard_normal((ny, nx)) * np.sqrt(np.maximum(rate, 0.01) * exptime + 225) / exptime
                )
                rate[bad[chip]] = rng.normal(0, 3, bad[chip].sum())
                dq = np.where(bad[chip], 4, 0).astype(np.int16)
                hits = rng.integers(0, rate.size, rate.size // 4000)
                rate.flat[hits] += rng.exponential(4.0, hits.size)
                header["BUNIT"] = "ELECTRONS" if counts else "ELECTRONS/S"
                header["IDCSCALE"] = SCALE
                pixels = (rate * (exptime if counts else 1.0)).astype(np.float32)
                units.append(fits.ImageHDU(pixels, header, "SCI", ver=chip + 1))
                units.append(fits.ImageHDU(dq, name="DQ", ver=chip + 1))
            paths.append(folder / _file_name(number))
            fits.HDUList(units).writeto(paths[-1], overwrite=True)
            skies.append(sky)
            planes.append(plane)
    return SkyTruth(paths, np.array(skies), np.array(planes), SCALE**2)


class MosaicTruth(NamedTuple):
    """Files of a mosaic and their skies.

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
    """Write a plain mosaic: one chip, flat skies, rates (:func:`simulate_mosaic` for others).

    Parameters
    ----------
    directory : path-like
        Where to.
    fields : (int, int), optional
        Fields to the east and to the north; neighbours share a fifth of their width.
    dithers : int, optional
        Exposures a field, a few pixels apart.
    size : int, optional
        Pixels a side.
    nebula : float, optional
        Brightness of a nebula that covers the mosaic, electrons per second; 0 for a blank field of stars.
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
    """
    for name, value in (("fields", min(fields)), ("dithers", dithers), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    what = Mosaic((size, size), (fields[1], fields[0]), dithers, nebula=nebula, seed=seed)
    folder = Path(directory)
    for number in range(fields[0] * fields[1] * dithers):
        check_output(folder / _file_name(number), overwrite=overwrite)
    truth = simulate_mosaic(folder, what)
    return MosaicTruth(truth.paths, truth.sky)


def _file_name(number: int) -> str:
    return f"sim{number:04d}q_flt.fits"


@dataclass(frozen=True, eq=False)
class _Scene:
    """Stars (x, y, electrons/s, sigma) and waves of the nebula, in nominal pixels from the centre."""

    stars: NDArray[np.float64]
    waves: NDArray[np.float64]
    nebula: float
    reach: float

    def nebula_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its brightness."""
        turbulence = sum(a * np.cos(p * x + q * y + r) for a, p, q, r in self.waves)
        envelope = np.exp(-0.5 * (x**2 + y**2) / (0.8 * self.reach) ** 2)
        found: NDArray[np.float64] = self.nebula * envelope * np.exp(0.5 * turbulence)
        return found


def _scene(what: Mosaic, reach: float, rng: np.random.Generator) -> _Scene:
    count = int(what.stars * (2.2 * reach) ** 2 / (what.shape[0] * what.shape[1]))
    stars = np.column_stack(
        [
            rng.uniform(-1.1 * reach, 1.1 * reach, (count, 2)),
            np.minimum(1.5 * (rng.pareto(1.05, count) + 0.5), 3000),
            np.where(rng.random(count) < 0.5, 0.9, rng.lognormal(np.log(2.0), 0.4, count)),
        ]
    )
    length = reach * 2 ** rng.uniform(-2.0, 1.0, 12)
    angle = rng.uniform(0, np.pi, 12)
    number = 2 * np.pi / length
    waves = np.column_stack(
        [length / reach / 2, number * np.cos(angle), number * np.sin(angle), rng.uniform(0, 2 * np.pi, 12)]
    )
    return _Scene(stars, waves, what.nebula, reach)


def _world(shape: tuple[int, int], place: tuple[float, float], up: float, turn: float) -> fits.Header:
    """Header of a chip whose exposure points at `place`, in nominal pixels from the centre of the scene."""
    ny, nx = shape
    cos, sin = np.cos(turn), np.sin(turn)
    # The mosaic is laid out along axes turned by 20 degrees, as the exposures are on average.
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    xi, eta = c * place[0] - s * place[1] - sin * up, s * place[0] + c * place[1] + cos * up
    step = SCALE / 3600
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CRPIX1"], header["CRPIX2"] = (nx + 1) / 2, (ny + 1) / 2
    header["CRVAL1"] = CENTRE[0] + xi * step / np.cos(np.radians(CENTRE[1] + eta * step))
    header["CRVAL2"] = CENTRE[1] + eta * step
    header["CD1_1"], header["CD1_2"] = step * cos, -step * sin
    header["CD2_1"], header["CD2_2"] = step * sin, step * cos
    header["A_ORDER"] = header["B_ORDER"] = 3
    header.update(DISTORTION)
    return header


def _expose(header: fits.Header, shape: tuple[int, int], scene: _Scene) -> NDArray[np.float64]:
    """Nebula and stars on a chip, electrons/s."""
    ny, nx = shape
    wcs = WCS(header)
    y, x = np.mgrid[:ny, :nx]
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    u = ((ra - CENTRE[0]) * np.cos(np.radians(CENTRE[1])) * 3600 / SCALE).reshape(shape)
    v = ((dec - CENTRE[1]) * 3600 / SCALE).reshape(shape)
    (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
    area = np.abs(ux * vy - uy * vx)
    rate = scene.nebula_at(u, v)
    stars = scene.stars
    ra = CENTRE[0] + stars[:, 0] * SCALE / 3600 / np.cos(np.radians(CENTRE[1]))
    places = wcs.all_world2pix(ra, CENTRE[1] + stars[:, 1] * SCALE / 3600, 0, quiet=True)
    for px, py, flux, sigma in zip(*places, stars[:, 2], stars[:, 3], strict=True):
        reach = int(5 * sigma) + 1
        rows = slice(max(0, int(py) - reach), max(0, min(ny, int(py) + reach + 1)))
        columns = slice(max(0, int(px) - reach), max(0, min(nx, int(px) + reach + 1)))
        distance = (x[rows, columns] - px) ** 2 + (y[rows, columns] - py) ** 2
        profile = np.exp(-0.5 * distance / sigma**2) / (2 * np.pi * sigma**2)
        rate[rows, columns] += flux * profile / area[rows, columns]
    return rate
