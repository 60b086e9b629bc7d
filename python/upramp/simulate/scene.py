"""What falls on the detector: sky, sources, variable background, satellite trail, cosmic rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

__all__ = ["HIT_DTYPE", "Scene"]

FULL_SIZE = 1014
SOURCES_FULL_FRAME = 600
LIMB_SCALE = 0.28
"""e-folding length of the Earth-limb glow, in field widths."""
TRAIL_SIGMA = 2.5
"""Gaussian width of a trail, pixels; satellites are out of focus."""
POINTS_PER_HIT = 12
HIT_ELECTRONS = (50.0, 50000.0)
HIT_DTYPE = np.dtype([("read", "i2"), ("y", "i2"), ("x", "i2"), ("electrons", "f4"), ("time", "f8")])


def require(condition: bool, name: str, got: object, expected: str) -> None:
    """Raise ValueError with one wording for every bad argument."""
    if not condition:
        raise ValueError(f"{name}: got {got!r}, expected {expected}")


def is_integer(value: object) -> bool:
    """Tell integers, NumPy's included, from truth values and everything else."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Tell finite real numbers, NumPy's included, from everything else."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What falls on the detector.

    Rates are those of a pixel of unit flat field. Scenes that differ in their background alone keep
    their sources, satellite trail and cosmic rays when the seed of the exposure is the same.

    Parameters
    ----------
    sky : float, optional
        Constant sky, e-/s per pixel.
    n_sources : int, optional
        Number of stars and galaxies; by default 600 in the full frame, in proportion to the area.
    helium : float, optional
        Extra sky (He I 1083 nm airglow) reached at the end of the exposure, e-/s per pixel.
    helium_start : float, optional
        Fraction of the exposure, 0 up to but not including 1, at which the airglow sets in; it
        rises linearly from there.
    earth_limb : float, optional
        Scattered Earth light at the left edge when the exposure starts, e-/s per pixel. It falls
        exponentially in x, with an e-folding length of 0.28 field widths.
    earth_limb_fade : float, optional
        e-folding time of the scattered light, as a fraction of the exposure.
    trail_read : int, optional
        SAMPNUM of the first read that holds the trail of a satellite; None for no trail.
    trail_electrons : float, optional
        Electrons per pixel on the axis of the trail.
    cosmic_rays : float, optional
        Hits per second in the full frame; smaller fields get their share by area.
    """

    sky: float = 0.8
    n_sources: int | None = None
    helium: float = 0.0
    helium_start: float = 0.5
    earth_limb: float = 0.0
    earth_limb_fade: float = 0.2
    trail_read: int | None = None
    trail_electrons: float = 1500.0
    cosmic_rays: float = 11.0

    def __post_init__(self) -> None:
        for name in ("sky", "helium", "earth_limb", "trail_electrons", "cosmic_rays"):
            value = getattr(self, name)
            require(is_finite(value) and value >= 0, name, value, "a finite number, 0 or more")
        start, fade = self.helium_start, self.earth_limb_fade
        require(is_finite(start) and 0 <= start < 1, "helium_start", start, "0 <= fraction < 1")
        require(is_finite(fade) and fade > 0, "earth_limb_fade", fade, "more than 0")
        for name, least in (("n_sources", 0), ("trail_read", 1)):
            value = getattr(self, name)
            valid = value is None or (is_integer(value) and value >= least)
            require(valid, name, value, f"None or an integer, {least} or more")


def source_image(scene: Scene, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the stars and galaxies, e-/s, shape (size, size)."""
    number = scene.n_sources
    if number is None:
        number = round(SOURCES_FULL_FRAME * (size / FULL_SIZE) ** 2)
    image = np.zeros((size, size), np.float32)
    # All drawn at once, so that a source does not depend on those drawn before it.
    centre = rng.uniform(-0.5, size - 0.5, (number, 2))
    magnitude = rng.uniform(0.0, 1.0, number)
    radius, axis_ratio = rng.uniform(0.8, 4.0, number), rng.uniform(0.3, 1.0, number)
    angle = rng.uniform(0.0, np.pi, number)
    for i in range(number):
        half = 30
        (y0, x0), star = centre[i], i % 2 == 0
        rows = np.arange(max(0, int(y0) - half), min(size, int(y0) + half + 1))
        columns = np.arange(max(0, int(x0) - half), min(size, int(x0) + half + 1))
        dy, dx = (rows - y0)[:, None], (columns - x0)[None, :]
        if star:  # Moffat profile, beta 2.5, 1.2 pixels FWHM
            core = 1.06**2
            profile = (1 + (dx**2 + dy**2) / core) ** -2.5 * 1.5 / (np.pi * core)
            flux = 10 ** (0.3 + 3.3 * magnitude[i])
        else:  # exponential disc
            cosine, sine = np.cos(angle[i]), np.sin(angle[i])
            along, across = dx * cosine + dy * sine, (dy * cosine - dx * sine) / axis_ratio[i]
            # The added 0.1 blunts the cusp, which a pixel could not resolve.
            profile = np.exp(-np.sqrt(along**2 + across**2 + 0.1) / radius[i])
            profile /= 2 * np.pi * axis_ratio[i] * radius[i] ** 2
            flux = 10 ** (2.6 * magnitude[i])
        image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += (flux * profile).astype(np.float32)
    return image


def variable_background(
    scene: Scene, times: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean rates of airglow and Earth limb (left edge) between each read and the one before, e-/s.

    Both laws are integrated exactly, so that no step in time has to be chosen.
    """
    exposure_time = times[-1]
    start = scene.helium_start * exposure_time
    airglow = scene.helium * np.clip(times - start, 0, None) ** 2 / (2 * (exposure_time - start))
    fade = scene.earth_limb_fade * exposure_time
    limb = -scene.earth_limb * fade * np.expm1(-times / fade)
    means = np.zeros((2, times.size))
    means[:, 1:] = np.diff([airglow, limb], axis=1) / np.diff(times)
    return means[0], means[1]


def limb_profile(size: int) -> NDArray[np.float32]:
    """Fall of the Earth-limb glow along x, 1 at the left edge, shape (size,)."""
    profile: NDArray[np.float32] = np.exp(-np.arange(size) / (LIMB_SCALE * size)).astype(np.float32)
    return profile


def trail_image(scene: Scene, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the trail of a satellite, electrons, shape (size, size)."""
    angle = np.deg2rad(rng.uniform(20.0, 70.0))
    y0, x0 = size * rng.uniform(0.4, 0.6, 2)
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)[None, :]
    distance = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
    core = np.exp(-(distance**2) / (2 * TRAIL_SIGMA**2))
    wings = 1 / (1 + (distance / (4 * TRAIL_SIGMA)) ** 2)
    trail: NDArray[np.float32] = (scene.trail_electrons * (0.98 * core + 0.02 * wings)).astype(np.float32)
    return trail


def cosmic_ray_hits(
    scene: Scene, size: int, times: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.void]:
    """Draw the cosmic rays of an exposure: one row per struck pixel, in order of time.

    Rows have the fields of `HIT_DTYPE`, with `y` and `x` counted in the light-sensitive field.
    """
    share = (size / FULL_SIZE) ** 2
    number = int(rng.poisson(scene.cosmic_rays * share * times[-1]))
    time = np.sort(rng.uniform(0.0, times[-1], number))
    electrons = np.clip(np.exp(rng.normal(np.log(1000.0), 1.1, number)), *HIT_ELECTRONS)
    start = rng.uniform(0.0, size, (number, 2))
    angle, length = rng.uniform(0.0, 2 * np.pi, number), rng.exponential(1.3, number)
    # The charge of a hit is spread evenly over points of its path, then gathered by pixel.
    path = np.linspace(0.0, 1.0, POINTS_PER_HIT)[None, :] * length[:, None]
    y = np.floor(start[:, :1] + path * np.sin(angle)[:, None]).astype(np.int64)
    x = np.floor(start[:, 1:] + path * np.cos(angle)[:, None]).astype(np.int64)
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    hit = np.broadcast_to(np.arange(number)[:, None], y.shape)
    key, points = np.unique(((hit * size + y) * size + x)[inside], return_counts=True)
    hit, y, x = key // size**2, key // size % size, key % size
    rows = np.empty(key.size, HIT_DTYPE)
    rows["read"] = np.searchsorted(times, time[hit], side="left")
    rows["y"], rows["x"], rows["time"] = y, x, time[hit]
    rows["electrons"] = electrons[hit] * points / POINTS_PER_HIT
    return rows
