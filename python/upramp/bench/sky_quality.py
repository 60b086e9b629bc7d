"""How near matched skies are to the truth, and how well their uncertainties tell it.

``python -m upramp.bench.sky_quality`` simulates mosaics with known skies and prints the table of docs/sky.md: the
rms error of the skies by both engines, and for ``robust`` the rms of errors in units of the uncertainty and the
share of exposures within three of them. Only differences can be matched: the mean error of every mosaic is taken
out, and with planes the plane that fits the errors all over it best.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp.simulate.mosaic import Mosaic, SkyTruth, simulate_mosaic
from upramp.sky import SkyResult, View, match_sky, read_images, views
from upramp.sky.surface import basis

__all__ = ["CASES", "Errors", "errors"]

CASES = {
    "blank": Mosaic(),
    "nebula": Mosaic(nebula=0.5),
    "nebula, rates and counts": Mosaic(nebula=0.5, mixed=True),
    "two chips, 3 x 3 pointings": Mosaic(shape=(100, 220), tiles=(3, 3), chips=2, stars=25),
    "nebula, gradients": Mosaic(nebula=0.5, gradient=0.2, tiles=(3, 3)),
}
"""Mosaics of the table."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one mosaic, electrons/s.

    Attributes
    ----------
    level : ndarray, (n,) float64
        Of the mean skies of exposures.
    sigma : ndarray, (n,) float64
        Their uncertainties.
    field : ndarray
        Of the skies all over the exposures, planes included.
    """

    level: NDArray[np.float64]
    sigma: NDArray[np.float64]
    field: NDArray[np.float64]


def errors(found: SkyResult, truth: SkyTruth) -> Errors:
    """Errors of matched skies that overlaps can tell.

    Parameters
    ----------
    found : SkyResult
        Result of a method that matches, all exposures in one group.
    truth : SkyTruth
        What was simulated.

    Returns
    -------
    Errors
        Mean, or with planes the common plane, taken out.
    """
    if found.matched is None:
        raise ValueError(f"method is {found.method!r}, expected one that matches overlaps")
    solution, robust = found.matched.solution, found.matched.robust
    surfaces = robust.surfaces if robust else None
    level = solution.raw * truth.pixel_area - truth.sky
    chips = views(found.images)
    field, sky = [], []
    centre = np.sum([chip.nodes.mean(axis=(0, 1)) for chip in chips], axis=0)
    axes = np.linalg.svd(centre[None])[2][1:]
    for chip in chips:
        error = np.full(chip.nodes.shape[:2], level[chip.image])
        if surfaces is not None:
            place = surfaces.frames[chip.image].place(chip.chip, _places(chip))
            error += basis(place, surfaces.order) @ surfaces.coefficients[chip.image] * truth.pixel_area
            error -= place @ truth.planes[chip.image]
        field.append(error.ravel())
        sky.append((chip.nodes @ axes.T).reshape(-1, 2))
    every, places = np.concatenate(field), np.concatenate(sky)
    common = np.column_stack([np.ones(len(places)), places])[:, : 1 if surfaces is None else 3]
    every = every - common @ np.linalg.lstsq(common, every, rcond=None)[0]
    owner = np.repeat([chip.image for chip in chips], [len(one) for one in field])
    mean = np.bincount(owner, every) / np.bincount(owner)
    return Errors(mean, solution.sigma * truth.pixel_area, every)


def _places(chip: View) -> NDArray[np.float64]:
    """Pixels (x, y) of the nodes of a chip."""
    my, mx = chip.nodes.shape[:2]
    y, x = np.meshgrid(
        np.linspace(0, chip.shape[0] - 1, my), np.linspace(0, chip.shape[1] - 1, mx), indexing="ij"
    )
    return np.stack([x, y], axis=-1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.sky_quality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="mosaics of each kind (20)")
    seeds = parser.parse_args(arguments).seeds
    print("| mosaic | exposures | compat rms | robust rms | pull | within 3 sigma |")
    print("|---|---|---|---|---|---|")
    for name, what in CASES.items():
        found: list[Errors] = []
        other: list[Errors] = []
        for seed in range(1, seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                truth = simulate_mosaic(Path(folder), replace(what, seed=seed))
                images = read_images(truth.paths)
                order = 1 if what.gradient else 0
                found.append(errors(match_sky(images, "match", order=order), truth))
                other.append(errors(match_sky(images, "match", engine="compat"), truth))
        pulls = np.concatenate([one.level / one.sigma for one in found])
        rms = [np.sqrt(np.mean(np.concatenate([one.field for one in both]) ** 2)) for both in (other, found)]
        print(
            f"| {name} | {pulls.size} | {rms[0]:.5f} | {rms[1]:.5f} | {np.sqrt(np.mean(pulls**2)):.2f} | "
            f"{np.mean(np.abs(pulls) < 3):.1%} |"
        )


if __name__ == "__main__":
    main()
