"""A night of the Lick Nickel 1-m, from raw frames to reduced ones, by the commands of docs/ccd.md."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from upramp import ccd
from upramp.ccd import Detector
from upramp.cli import main

DOCS = Path(__file__).parents[2] / "docs" / "ccd.md"


def spread(values: Any) -> float:
    """Robust standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


@pytest.fixture(scope="module")
def raw(shared: Path) -> Path:
    return shared / "data" / "ccd" / "nickel"


@pytest.fixture(scope="module")
def night(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of the documentation, in a fresh directory with the raw frames in raw/."""
    folder = tmp_path_factory.mktemp("nickel")
    (folder / "raw").symlink_to(raw, target_is_directory=True)
    block = re.search(r"<!-- night -->\s*```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert block is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in block[1].strip().splitlines():
            words = shlex.split(line.partition(" #")[0])
            if words[0] == "mkdir":
                Path(words[1]).mkdir()
                continue
            assert words[0] == "upramp"
            arguments = [
                name
                for word in words[1:]
                for name in (sorted(map(str, Path().glob(word))) if "*" in word or "[" in word else [word])
            ]
            assert main([*arguments, "--quiet"]) == 0, line
    return folder


def test_raw_median_is_numpys(raw: Path) -> None:
    paths = [raw / f"d{k}.fits.gz" for k in range(1001, 1011)]
    cube = np.array([fits.getdata(path) for path in paths])
    bias = ccd.master_bias(paths, detector=Detector(overscan=None, trim=None))
    np.testing.assert_array_equal(bias.data, np.median(cube, axis=0))
    plain = ccd.combine(paths, memory_limit=1 << 20)
    np.testing.assert_array_equal(plain.data, np.median(cube, axis=0))
    # Overscan of every row subtracted: the same, in the arithmetic of the frames (float32).
    rows = ccd.master_bias(paths, detector=Detector(overscan="[1033:1056,1:1024]", overscan_method="median"))
    level = np.median(cube[:, :, 1032:], axis=2, keepdims=True).astype(np.float32)
    np.testing.assert_array_equal(rows.data, np.median(cube[:, :, :1024].astype(np.float32) - level, axis=0))


def test_bias(night: Path, raw: Path) -> None:
    header = fits.getheader(night / "master_bias.fits")
    # Published for this camera: 5.2 ADU or a little more.
    assert header["UPRRDN"] == pytest.approx(5.3, abs=0.2)
    assert header["NCOMBINE"] == 10
    # A bias that the master does not know of has nothing left: level, columns, rows.
    frames = [raw / f"d{k}.fits.gz" for k in range(1001, 1011)]
    most = ccd.master_bias(frames[:-1])
    left = ccd.reduce(frames[-1], bias=most, uncertainty=False)
    # The light's level follows the overscan's to 0.7 ADU only: this frame is the farthest off of all.
    assert abs(np.median(left.data)) < 1.5
    assert spread(np.median(left.data, axis=0)) < 0.5
    assert spread(left.data) == pytest.approx(header["UPRRDN"], rel=0.1)


def test_flat(night: Path, raw: Path) -> None:
    flat = ccd.read_image(night / "master_flat_V.fits")
    assert flat.header["UPRGAIN"] == pytest.approx(1.8, abs=0.05)
    assert np.nanmedian(flat.data) == pytest.approx(1, abs=1e-6)
    assert np.nanmin(flat.data) >= 0.8
    masked = flat.dq & ccd.Dq.VIGNETTED != 0
    np.testing.assert_array_equal(np.isnan(flat.data), masked)
    assert 0.003 < masked.mean() < 0.01
    # A flat that the master does not know of is flat to 0.1 %, its noise that of its photons.
    bias = ccd.read_image(night / "master_bias.fits")
    two = ccd.master_flat([raw / "d1035.fits.gz", raw / "d1037.fits.gz"], bias=bias).flats["V"]
    third = ccd.reduce(raw / "d1036.fits.gz", bias=bias, flat=two)
    good = np.where(third.dq == 0, third.data, np.nan)
    level = np.nanmedian(good)
    cells = [np.nanmedian(cell) for row in np.split(good, 8) for cell in np.split(row, 8, axis=1)]
    assert np.std(np.array(cells) / level) < 1e-3
    off = ((good - level) / third.uncertainty)[third.dq == 0]
    assert spread(off) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", ["d1047", "d1048", "d1052", "d1074", "d1083"])
def test_science(night: Path, raw: Path, name: str) -> None:
    image = ccd.read_image(night / "red" / f"{name}_red.fits")
    bias = ccd.read_image(night / "master_bias.fits")
    flat = ccd.read_image(night / "master_flat_V.fits")
    frame = fits.getdata(raw / f"{name}.fits.gz").astype(float)
    # By hand; the overscan as one number, from which the level of a row departs by less than 4 ADU.
    plain = (frame[:, :1024] - np.median(frame[:, 1032:]) - bias.data) / flat.data
    good = image.dq == 0
    np.testing.assert_allclose(image.data[good], plain[good], atol=4 / 0.8)
    assert np.isnan(image.data[np.isnan(flat.data)]).all()
    assert good.mean() > 0.99
    # The noise of the sky, from neighbours, is what the uncertainty says (and the sources a little).
    step = (image.data[1:] - image.data[:-1])[good[1:] & good[:-1]] / np.sqrt(2)
    assert spread(step) == pytest.approx(np.median(image.uncertainty[good]), rel=0.12)
    history = "\n".join(image.header["HISTORY"])
    assert "bias subtracted: master_bias.fits" in history
    assert "divided by flat: master_flat_V.fits" in history


def test_simulated_calibration(shared: Path) -> None:
    sys.path.insert(0, str(shared / "tools"))
    try:
        from sim_ccd import calibration_set
    finally:
        sys.path.pop(0)
    made = calibration_set(size=384)
    detector = Detector()
    bias = ccd.master_bias(list(made["bias"]), detector=detector)
    assert np.std(bias.data - made["bias_true"]) < 1.8
    found = ccd.master_flat(list(made["flat"]), bias=bias, mask_below=0.5, detector=detector)
    flat = found.flats[""]
    assert found.table["used"].all()
    assert flat.header["UPRGAIN"] == pytest.approx(1.5, rel=0.03)
    good = flat.dq == 0
    ratio = flat.data[good] / made["response"][good]
    # Photon noise of seven frames of 45000 electrons, a median: 0.2 to 0.3 %.
    assert spread(ratio / np.median(ratio)) < 0.004
    clipped = ccd.master_flat(
        list(made["flat"]), bias=bias, mask_below=0.5, method="mean", sigma_clip=2, detector=detector
    ).flats[""]
    good &= clipped.dq == 0
    ratio = clipped.data[good] / made["response"][good]
    assert np.std(ratio / np.median(ratio)) < 0.004
