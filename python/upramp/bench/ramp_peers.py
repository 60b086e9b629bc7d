"""Other packages' ramp fits, as far as they are installed, behind one face: for comparisons only."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Peer", "installed", "quiet"]

FLAGS = {
    "GOOD": 0,
    "DO_NOT_USE": 1,
    "SATURATED": 2,
    "JUMP_DET": 4,
    "PERSISTENCE": 32,
    "CHARGELOSS": 128,
    "NO_GAIN_VALUE": 1 << 19,
    "UNRELIABLE_SLOPE": 1 << 24,
    "REFERENCE_PIXEL": 1 << 31,
}
Cube = NDArray[np.float32]
Times = Sequence[NDArray[np.float64]]


class Answer(NamedTuple):
    """What a fit says of ramps of the shape (nread, ny, nx), gain 1."""

    rate: NDArray[Any]
    err: NDArray[Any]
    chi2: NDArray[Any] | None
    left_out: NDArray[np.bool_]
    """Differences that were left out, (nread - 1, ny, nx)."""


Peer = Callable[[Cube, Times, float], Answer]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep other packages' messages away."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def installed() -> dict[str, Peer]:
    """Peers that can be imported, by name."""
    found: dict[str, Peer] = {}
    for module, peers in (
        (
            "stcal.ramp_fitting.likely_fit",
            {"LIKELY": likely, "two-point + OLS_C": twopoint_ols, "cas22": cas22},
        ),
        ("fitramp", {"fitramp": fitramp}),
    ):
        with contextlib.suppress(ImportError), quiet():
            importlib.import_module(module)
            found |= peers
    return found


def spacing(times: Times) -> tuple[float, int, int] | None:
    """Frame time, frames and gap of groups that are evenly spaced; None of others."""
    counts = {len(sample) for sample in times}
    reads = np.concatenate(list(times))
    step = np.diff([sample.mean() for sample in times])
    frame = float(reads[1] - reads[0])
    if len(counts) > 1 or np.ptp(step) > 1e-6 * step[0]:
        return None
    nframes = counts.pop()
    return frame, nframes, round(float(step[0]) / frame) - nframes


def ramp_data(cube: Cube, times: Times, read_noise: float) -> tuple[Any, Any, Any]:
    """Ramps as stcal's RampData, its read noise and its gain."""
    classes = importlib.import_module("stcal.ramp_fitting.ramp_fit_class")
    shape = cube.shape[1:]
    data = classes.RampData()
    data.set_arrays(
        cube[None].copy(),
        np.zeros((1, *cube.shape), np.uint8),
        np.zeros(shape, np.uint32),
        np.zeros(shape, np.float32),
    )
    frame, nframes, gap = spacing(times) or (float(times[-1][-1]) / len(times), 1, 0)
    data.set_meta("NIRCAM", frame, frame * (nframes + gap), gap, nframes, 0)
    data.set_dqflags(FLAGS)
    if spacing(times) is None:
        data.read_pattern = list(times)
    data.start_row, data.num_rows = 0, shape[0]
    data.rejection_threshold = 4.5
    # stcal takes the noise of the difference of two reads.
    return data, np.full(shape, read_noise * np.sqrt(2), np.float32), np.ones(shape, np.float32)


def likely(cube: Cube, times: Times, read_noise: float) -> Answer:
    """Generalised least squares of stcal, with its search."""
    module = importlib.import_module("stcal.ramp_fitting.likely_fit")
    data, noise, gain = ramp_data(cube, times, read_noise)
    data.algorithm = "LIKELY"
    image, _, _ = module.likely_ramp_fit(data, noise, gain)
    return Answer(image["slope"], image["err"], image["chisq"], data.groupdq[0, 1:] & 4 != 0)


def twopoint_ols(cube: Cube, times: Times, read_noise: float) -> Answer:
    """Two-point jumps and weighted least squares of stcal; of uneven groups the jumps alone."""
    jump = importlib.import_module("stcal.jump.jump")
    jump_class = importlib.import_module("stcal.jump.jump_class")
    data, noise, gain = ramp_data(cube, times, read_noise)
    found = jump_class.JumpData(None, gain, noise, FLAGS)
    found.data, found.gdq, found.pdq = data.data, data.groupdq, data.pixeldq
    found.nframes = data.nframes
    found.set_detection_settings(4.0, 6.0, 5.0, 1000.0, 10.0, False)
    found.set_after_jump(0.0, 0, 0.0, 0)
    found.set_sigma_clipping_info(100, 100, True)
    found.max_cores = "none"
    if spacing(times) is None:
        counts = np.array([len(sample) for sample in times])
        found.dt_group = np.diff([sample.mean() for sample in times])
        found.n_reads_groupdiff = counts[1:] + counts[:-1]
    else:
        found.dt_group = np.ones(1)
        found.n_reads_groupdiff = np.full(1, 2 * data.nframes)
    gdq, pdq, _, _ = jump.detect_jumps_data(found)
    left_out = gdq[0, 1:] & 4 != 0
    if spacing(times) is None:
        nan = np.full(cube.shape[1:], np.nan)
        return Answer(nan, nan, None, left_out)
    data.groupdq, data.pixeldq, data.algorithm = gdq, pdq, "OLS_C"
    data.suppress_one_group_ramps = True
    ramp_fit = importlib.import_module("stcal.ramp_fitting.ramp_fit")
    image, _, _ = ramp_fit.ramp_fit_data(data, False, noise, gain, "OLS_C", "optimal", "none")
    return Answer(image["slope"], image["err"], None, left_out)


def cas22(cube: Cube, times: Times, read_noise: float) -> Answer:
    """Casertano's fit as romancal has it, with its jumps."""
    module = importlib.import_module("stcal.ramp_fitting.ols_cas22_fit")
    # Its times are whole numbers of a read time: microseconds.
    pattern = [[round(1e6 * time) for time in sample] for sample in times]
    made = module.fit_ramps_casertano(
        cube,
        np.zeros(cube.shape, np.int32),
        np.full(cube.shape[1:], read_noise, np.float32),
        1e-6,
        pattern,
        use_jump=True,
    )
    bad = made.dq != 0
    return Answer(made.parameters[..., 1], np.sqrt(made.variances[..., 2]), None, bad[1:] | bad[:-1])


def fitramp(cube: Cube, times: Times, read_noise: float) -> Answer:
    """Brandt's own code."""
    module = importlib.import_module("fitramp")
    nread, *shape = cube.shape
    cov = module.Covar([list(sample) for sample in times])
    diffs = np.diff(cube.reshape(nread, -1).astype(np.float64), axis=0) / cov.delta_t[:, None]
    noise = np.full(diffs.shape[1], read_noise)
    used, rate = module.mask_jumps(diffs, cov, noise)
    fit = module.fit_ramps(diffs, cov, noise, diffs2use=used, countrateguess=np.maximum(rate, 0))
    rate, err, chi2 = (image.reshape(shape) for image in (fit.countrate, fit.uncert, fit.chisq))
    return Answer(rate, err, chi2, (used == 0).reshape(nread - 1, *shape))
