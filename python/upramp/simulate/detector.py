"""The detector: read times, noise, flat field and saturation of a MULTIACCUM exposure."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp.simulate.scene import (
    FULL_SIZE,
    Scene,
    cosmic_ray_hits,
    is_integer,
    limb_profile,
    require,
    source_image,
    trail_image,
    variable_background,
)

__all__ = ["Exposure", "Simulation", "simulate"]

BORDER = 5
"""Width of the frame of reference pixels."""
GAIN = {"A": 2.34, "B": 2.37, "C": 2.31, "D": 2.38}
"""e-/DN per amplifier."""
MEAN_GAIN = sum(GAIN.values()) / 4
READ_NOISE = {"A": 20.2, "B": 19.8, "C": 19.9, "D": 20.1}
"""e- of the difference of two reads, per amplifier; a single read has it over the root of two."""
SATURATION = 80000.0
DARK = 0.05
UNSTABLE_ELECTRONS = 200.0
FLAT_ERROR = 0.001
DEAD, HOT, UNSTABLE, SATURATED = 4, 16, 32, 256
BAD_FRACTION = {DEAD: 0.002, HOT: 0.004, UNSTABLE: 0.004}

FRAME_TIME = {1014: 2.93229, 512: 0.853, 256: 0.277815, 128: 0.113, 64: 0.061}
"""Seconds to read one field, by its light-sensitive size; also the time of the first read."""
ZEROTH_LEAD = 0.020535
SPARS_STEP = {
    "SPARS5": 5.0009,
    "SPARS10": 10.0011,
    "SPARS25": 25.000516,
    "SPARS50": 50.00042,
    "SPARS100": 100.000307,
    "SPARS200": 200.0002,
}
"""Seconds between reads in the full frame."""
STEP_LIMIT = {
    "STEP25": 25.0005,
    "STEP50": 50.0004,
    "STEP100": 100.0003,
    "STEP200": 200.0002,
    "STEP400": 400.0002,
}
STEP_FIRST = 12.5004
SEQUENCES = ("RAPID", *SPARS_STEP, *STEP_LIMIT)
FILTERS = (
    *("F105W", "F110W", "F125W", "F140W", "F160W", "F098M", "F127M", "F139M", "F153M"),
    *("F126N", "F128N", "F130N", "F132N", "F164N", "F167N"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How the detector is read out.

    Parameters
    ----------
    rootname : str, optional
        Rootname, which the names of the files start with.
    filter : str, optional
        Name of an imaging filter, ``F105W`` for instance.
    samp_seq : str, optional
        ``RAPID``, ``SPARS5``, ``10``, ``25``, ``50``, ``100``, ``200`` or ``STEP25``, ``50``,
        ``100``, ``200``, ``400``.
    nsamp : int, optional
        Number of reads with the zeroth, 2 to 16.
    size : int, optional
        Light-sensitive pixels on a side: 1014, 512, 256, 128 or 64. The readout has 10 more.
    seed : int, optional
        Seed of the random numbers. The detector (flat field, bad pixels) does not depend on it.
    flat_fielded : bool, optional
        Whether FLATCORR has been done, so that SCI is in e-/s; otherwise it is in DN/s.
    """

    rootname: str = "isim01aaq"
    filter: str = "F105W"
    samp_seq: str = "SPARS100"
    nsamp: int = 16
    size: int = FULL_SIZE
    seed: int = 1
    flat_fielded: bool = True

    def __post_init__(self) -> None:
        name = self.rootname
        valid = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII) is not None
        require(valid, "rootname", name, "letters, digits, '_' and '-'")
        require(self.filter in FILTERS, "filter", self.filter, "one of " + ", ".join(FILTERS))
        require(self.samp_seq in SEQUENCES, "samp_seq", self.samp_seq, "one of " + ", ".join(SEQUENCES))
        require(is_integer(self.nsamp) and 2 <= self.nsamp <= 16, "nsamp", self.nsamp, "an integer, 2 to 16")
        valid = is_integer(self.size) and self.size in FRAME_TIME
        require(valid, "size", self.size, "one of " + ", ".join(map(str, FRAME_TIME)))
        require(is_integer(self.seed) and self.seed >= 0, "seed", self.seed, "an integer, 0 or more")
        valid = isinstance(self.flat_fielded, bool)
        require(valid, "flat_fielded", self.flat_fielded, "True or False")

    @property
    def times(self) -> NDArray[np.float64]:
        """Time of each read since the zeroth, s, shape (nsamp,), the zeroth first."""
        frame = FRAME_TIME[self.size]
        if self.samp_seq == "RAPID":
            steps = [frame] * 15
        elif self.samp_seq in SPARS_STEP:
            # What a smaller field saves in readout shortens the interval.
            saved = FRAME_TIME[FULL_SIZE] - frame
            steps = [frame, *[SPARS_STEP[self.samp_seq] - saved] * 14]
        else:
            longest = STEP_LIMIT[self.samp_seq]
            steps = [frame] * 4 + [min(STEP_FIRST * 2**i, longest) for i in range(11)]
        return np.round(np.cumsum([0.0, *steps])[: self.nsamp], 6)

    @property
    def sampzero(self) -> float:
        """Time from the reset to the zeroth read, s."""
        return FRAME_TIME[self.size] - ZEROTH_LEAD

    @property
    def corner(self) -> int:
        """Full-frame light-sensitive column (and row), from zero, where the field starts."""
        return (FULL_SIZE - self.size) // 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """A simulated exposure and its truth, reads in order of time, the zeroth first.

    Arrays have the shape of the readout, ``ny = nx = size + 10``, with the frame of five reference
    pixels around the light-sensitive field.

    Attributes
    ----------
    exposure : Exposure
        How it was read out.
    scene : Scene
        What fell on the detector.
    sci : ndarray of float32, shape (nsamp, ny, nx)
        Mean count rate since the zeroth read, e-/s, or DN/s if not flat-fielded. Reference pixels
        are counts, not rates, as calwf3 leaves them.
    err : ndarray of float32, shape (nsamp, ny, nx)
        Uncertainty of `sci` as calwf3 states it; 0 in reference pixels.
    dq : ndarray of uint16, shape (nsamp, ny, nx)
        Data quality: 4 dead, 16 hot, 32 unstable, 256 saturated.
    times : ndarray of float64, shape (nsamp,)
        Time of each read since the zeroth, s.
    rate : ndarray of float32, shape (ny, nx)
        Truth: sky and sources, e-/s after flat-fielding, without variable background; 0 in
        reference pixels. Dead pixels do not respond to it.
    flat : ndarray of float32, shape (ny, nx)
        Truth: flat field. DN/s are `rate` * `flat` / mean gain. 1 in reference and dead pixels.
    background : ndarray of float64, shape (nsamp,)
        Truth: mean over the field of the variable background (airglow and Earth limb, no trail)
        between a read and the one before, e-/s. 0 for the zeroth read.
    hits : structured ndarray, shape (k,)
        Truth: pixels struck by cosmic rays. `read`: first read that holds the charge; `y`, `x`:
        indices into the readout, from zero; `electrons`: charge deposited, before any flat field;
        `time`: s since the zeroth read.
    """

    exposure: Exposure
    scene: Scene
    sci: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: NDArray[np.uint16]
    times: NDArray[np.float64]
    rate: NDArray[np.float32]
    flat: NDArray[np.float32]
    background: NDArray[np.float64]
    hits: NDArray[np.void]

    def write(self, directory: str | os.PathLike[str], overwrite: bool = False) -> dict[str, Path]:
        """Write the exposure, its reference flat and the truth as FITS files.

        Parameters
        ----------
        directory : path-like
            Existing directory.
        overwrite : bool, optional
            Whether existing files may be replaced.

        Returns
        -------
        dict of str to Path
            ``ima``, ``pfl`` and ``truth``, written to ``<rootname>_ima.fits`` and so on.

        Raises
        ------
        upramp.exceptions.OutputError
            A file exists and may not be replaced, or cannot be written; none is written then.
        """
        from upramp.simulate.files import write_simulation  # astropy is slow to import

        return write_simulation(self, Path(directory), overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class _Detector:
    """Fixed properties of the light-sensitive field, each of shape (size, size)."""

    gain: NDArray[np.float32]
    read_noise: NDArray[np.float32]
    response: NDArray[np.float32]
    flat: NDArray[np.float32]
    dark: NDArray[np.float32]
    dq: NDArray[np.uint16]


def _by_amplifier(values: dict[str, float], size: int) -> NDArray[np.float32]:
    half = size // 2
    image = np.empty((size, size), np.float32)
    image[half:, :half], image[:half, :half] = values["A"], values["B"]
    image[:half, half:], image[half:, half:] = values["C"], values["D"]
    return image


def _detector(exposure: Exposure) -> _Detector:
    """Make the whole detector and cut the field out: every size sees the same pixels."""
    rng = np.random.default_rng([1702, zlib.crc32(exposure.filter.encode())])
    v, u = np.ogrid[-1 : 1 : FULL_SIZE * 1j, -1 : 1 : FULL_SIZE * 1j]
    response = 1 + 0.03 * (u - 0.5 * v) - 0.04 * (u**2 + v**2 - 2 / 3) + 0.01 * np.cos(5 * u) * np.cos(4 * v)
    response = response.astype(np.float32)
    response *= 1 + 0.01 * rng.standard_normal(response.shape, np.float32)
    # Bad pixels belong to the detector, not to the filter.
    rng = np.random.default_rng(1703)
    draw = rng.random(response.shape, np.float32)
    dq = np.zeros(response.shape, np.uint16)
    edge = 0.0
    for flag, fraction in BAD_FRACTION.items():
        dq[(draw >= edge) & (draw < edge + fraction)] = flag
        edge += fraction
    dark = np.full(response.shape, DARK, np.float32)
    dark[dq == HOT] = 10 ** rng.uniform(0.0, 1.5, np.count_nonzero(dq == HOT))

    start, size = exposure.corner, exposure.size
    field = np.s_[start : start + size, start : start + size]
    gain = _by_amplifier(GAIN, size)
    # One mean gain converts all quadrants to electrons, so the flat has to carry their ratios.
    flat = response[field] * np.float32(MEAN_GAIN) / gain
    dead = dq[field] == DEAD
    return _Detector(
        gain=gain,
        read_noise=_by_amplifier(READ_NOISE, size),
        response=np.where(dead, np.float32(0), response[field]),
        flat=np.where(dead, np.float32(1), flat),
        dark=dark[field],
        dq=dq[field],
    )


def _framed(field: NDArray[np.float32], border: float) -> NDArray[np.float32]:
    return np.pad(field, BORDER, constant_values=border)


def simulate(exposure: Exposure | None = None, scene: Scene | None = None) -> Simulation:
    """Simulate an exposure as calwf3 leaves its IMA when CRCORR is OMIT.

    Charge is accumulated from read to read, so that photon noise is correlated up the ramp, and
    all reads share the noise of the zeroth one, which has been subtracted. Dark current has been
    subtracted too; its noise stays. Charge stops at 80000 e-, where reads are flagged saturated.

    Parameters
    ----------
    exposure : Exposure, optional
        How the detector is read out; by default ``Exposure()``.
    scene : Scene, optional
        What falls on it; by default ``Scene()``.

    Returns
    -------
    Simulation
        The reads and the truth; the same for the same arguments.

    Raises
    ------
    ValueError
        The trail falls on a read that the exposure does not have.
    """
    exposure = Exposure() if exposure is None else exposure
    scene = Scene() if scene is None else scene
    last = exposure.nsamp - 1
    if scene.trail_read is not None:
        expected = f"None or 1 to {last}, a read of an exposure with nsamp {exposure.nsamp}"
        require(scene.trail_read <= last, "trail_read", scene.trail_read, expected)
    # A stream of random numbers for each, so that a change of one leaves the others as they were.
    source_rng, hit_rng, trail_rng, photon_rng, read_rng = (
        np.random.default_rng([exposure.seed, stream]) for stream in range(5)
    )
    size, times = exposure.size, exposure.times
    detector = _detector(exposure)
    rate = np.float32(scene.sky) + source_image(scene, size, source_rng)
    airglow, limb = variable_background(scene, times)
    profile = limb_profile(size)
    hits = cosmic_ray_hits(scene, size, times, hit_rng)

    shape = (exposure.nsamp, size + 2 * BORDER, size + 2 * BORDER)
    sci, err, dq = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint16)
    field = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    noise = _framed(detector.read_noise / detector.gain, READ_NOISE["A"] / GAIN["A"]) / np.float32(2**0.5)
    scale, relative_error = np.float32(1), np.float32(0)
    if exposure.flat_fielded:
        scale, relative_error = np.float32(MEAN_GAIN), np.float32(FLAT_ERROR)
    unstable = detector.dq == UNSTABLE

    charge = photon_rng.poisson((rate * detector.response + detector.dark) * exposure.sampzero)
    charge = charge.astype(np.float32)
    zeroth: NDArray[np.float32] = np.zeros(shape[1:], np.float32)
    for k in range(exposure.nsamp):
        if k:
            light = rate + (airglow[k] + limb[k] * profile).astype(np.float32)
            electrons = (light * detector.response + detector.dark) * np.float32(times[k] - times[k - 1])
            if k == scene.trail_read:
                electrons += trail_image(scene, size, trail_rng) * detector.response
            charge += photon_rng.poisson(electrons)
            arrived = hits[hits["read"] == k]
            np.add.at(charge, (arrived["y"], arrived["x"]), arrived["electrons"])
        held = np.minimum(charge, np.float32(SATURATION))
        # A random telegraph signal: the pixel is in one of two states at each read.
        held[unstable] += UNSTABLE_ELECTRONS * read_rng.integers(0, 2, np.count_nonzero(unstable))
        counts = noise * read_rng.standard_normal(shape[1:], np.float32)
        counts[field] += held / detector.gain
        dq[k][field] = detector.dq | np.where(charge >= SATURATION, SATURATED, 0).astype(np.uint16)
        if k == 0:
            zeroth = counts
            counts = np.zeros_like(zeroth)
        else:
            counts -= zeroth
        # Only the light-sensitive field becomes a rate; the gain is applied to all pixels.
        sci[k], per_time = counts * scale, np.float32(1 / times[k] if k else 1 / exposure.sampzero)
        signal = counts[field]
        error = np.sqrt(detector.read_noise**2 + np.abs(signal * detector.gain)) / detector.gain
        if k:
            signal = signal - detector.dark / detector.gain * np.float32(times[k])
        if exposure.flat_fielded:
            signal, error = signal / detector.flat, error / detector.flat
        sci[k][field] = signal * (per_time * scale)
        err[k][field] = np.hypot(error, signal * relative_error) * (per_time * scale)

    hits["y"] += BORDER
    hits["x"] += BORDER
    return Simulation(
        exposure=exposure,
        scene=scene,
        sci=sci,
        err=err,
        dq=dq,
        times=times,
        rate=_framed(rate, 0.0),
        flat=_framed(detector.flat, 1.0),
        background=airglow + limb * float(profile.mean()),
        hits=hits,
    )
