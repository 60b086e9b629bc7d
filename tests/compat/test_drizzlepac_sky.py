"""``sky`` with drizzlepac's parameters: MDRIZSKY as AstroDrizzle wrote it, and what the parameters do."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from upramp.compat.skypac import SkyStats, sky, skymatch
from upramp.exceptions import InputError

COMMENT = "Sky value computed by AstroDrizzle"


@pytest.fixture
def files(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three tiles in the working directory."""
    monkeypatch.chdir(tmp_path)
    names = sorted(tiles.glob("*_flt.fits"))[:3]
    return [Path(shutil.copy(path, path.name)) for path in names]


def card(path: Path, keyword: str = "MDRIZSKY") -> Any:
    with fits.open(path) as file:
        header = file["SCI", 1].header
        return (header[keyword], header.comments[keyword]) if keyword in header else None


def test_values_of_astrodrizzle(shared: Path, tmp_path: Path) -> None:
    """Three FLC files of the archive: static mask, DQ but for its own cosmic rays, clipped median."""
    wanted = {}
    for packed in sorted((shared / "data/sky/uvis_snzwicky").glob("*.gz")):
        path = tmp_path / packed.stem
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        wanted[path] = card(path)[0]
        fits.setval(path, "MDRIZSKY", value=-1.0, extname="SCI")
    data = {path: fits.getdata(path) for path in wanted}
    sky(f"{tmp_path}/*_flc.fits", sky_bits="4096")
    for path, value in wanted.items():
        assert card(path) == (pytest.approx(value, rel=1e-14), COMMENT)
        assert np.array_equal(fits.getdata(path), data[path])


def test_parameters_and_configuration(files: list[Path]) -> None:
    found = sky(files, skymethod="globalmin+match", use_static=False)
    assert found is not None
    with_names = {path: card(path) for path in files}
    assert [value for value, _ in with_names.values()] == [values[0] for values in found.values]
    step = {"skymethod": "globalmin+match", "use_static": False, "skysub": True}
    sky(
        files,
        configObj={"driz_cr": True, "STEP 2: SKY SUBTRACTION": step | {"skystat": "mean"}},
        skystat="median",
    )
    assert {path: card(path) for path in files} == with_names
    sky(",".join(map(str, files)), use_static=False, sky_bits=None)
    # The hot pixels raise an image's own sky.
    assert card(files[0])[0] > found.methods["localmin"][0][0]
    for wrong, error in (
        ({"skymode": "match"}, ValueError),
        ({"skysub": "no"}, TypeError),
        ({"skymethod": "best"}, ValueError),
        ({"editpars": True}, ValueError),
    ):
        with pytest.raises(error, match=next(iter(wrong))):
            sky(files, **wrong)
    with pytest.raises(ValueError, match="input is None"):
        sky()


def test_no_other_method_takes_the_place(files: list[Path]) -> None:
    with pytest.raises(ValueError, match="for a single image"):
        sky(files[0], skymethod="match")
    for name in ("CTYPE1", "CTYPE2"):
        fits.delval(files[1], name, extname="SCI")
    with pytest.raises(InputError, match=f"{files[1]}.*no celestial WCS"):
        sky(files, skymethod="match")
    assert [card(path) for path in files] == [None] * 3


def test_without_subtraction(files: list[Path]) -> None:
    fits.setval(files[1], "MDRIZSKY", value=7.0, extname="SCI")
    assert sky(files, skysub=False) is None
    assert [card(path)[0] for path in files] == [0.0, 7.0, 0.0]
    sky(files, skysub=False, skyuser="SKYUSER")
    assert [card(path) for path in files] == [(0.25, COMMENT)] * 3
    Path("values").write_text("".join(f"{path} {n}.5\n" for n, path in enumerate(files)))
    sky(files, skysub=False, skyuser="@values")
    assert [card(path)[0] for path in files] == [0.5, 1.5, 2.5]
    Path("values").write_text("".join(f"{path} {n}.75\n" for n, path in enumerate(files)))
    sky(files, skyfile="values")
    assert [card(path)[0] for path in files] == [0.75, 1.75, 2.75]
    with pytest.raises(InputError, match="no ELSE"):
        sky(files, skysub=False, skyuser="ELSE")
    with pytest.raises(ValueError, match="no sky of"):
        sky([*files, shutil.copy(files[0], "more_flt.fits")], skyfile="values")


def test_catalogue_of_masks_and_chips(files: list[Path]) -> None:
    """A second chip, and masks listed for one chip in another order."""
    path = files[0]
    with fits.open(path, mode="update") as file:
        file.append(fits.ImageHDU(file["SCI", 1].data - 5, file["SCI", 1].header, name="SCI", ver=2))
        file.append(fits.ImageHDU(file["DQ", 1].data, name="DQ", ver=2))
        shape = file["SCI", 1].shape
    mask = np.zeros(shape, np.uint8)
    mask[:10] = 1
    fits.PrimaryHDU(mask).writeto("m.fits")
    Path("catalogue").write_text(f"{path}{{('sci',2),('sci',1)}},m.fits\n")
    found = sky(path, skymask_cat="catalogue", use_static=False, sky_bits=None, skyclip=0)
    assert found is not None
    assert [chip.npix for chip in found.measured[0]] == [shape[0] * shape[1], 10 * shape[1]]
    with fits.open(path) as file:
        assert file["SCI", 1].header["MDRIZSKY"] == file["SCI", 2].header["MDRIZSKY"]
    for group in (1, "1", ("sci", 1), [1], "sci,1"):
        fits.setval(path, "MDRIZSKY", value=-1.0, extname="SCI", extver=2)
        found = sky(path, group=group, use_static=False)
        assert found is not None
        assert [chip.extver for chip in found.images[0].chips] == [1]
        with fits.open(path) as file:
            assert file["SCI", 2].header["MDRIZSKY"] == -1.0
    Path("catalogue").write_text(f"{files[1]},m.fits\n")
    with pytest.warns(UserWarning, match="lists no mask"):
        sky(path, skymask_cat="catalogue")


def test_skymatch_logs_and_reads_only(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = [path.read_bytes() for path in files]
    skymatch("*_flt.fits", dq_bits=0)
    text = capsys.readouterr().out
    assert Path("skymatch.log").read_text() == text
    assert "tile1q_flt.fits[SCI,1]" in text
    assert [path.read_bytes() for path in files] == before
    with pytest.warns(UserWarning, match="a single image has nothing"):
        assert skymatch(str(files[0]), "match", flog=None, readonly=False) is None
    assert files[0].read_bytes() == before[0]
    # Nothing beside the images is left behind.
    assert sorted(path.name for path in Path().iterdir()) == ["skymatch.log", *map(str, files)]


def test_statistic_keeps_its_last_result() -> None:
    statistic = SkyStats("median", nclip=2)
    assert (statistic.skyval, statistic.npix) == (None, None)
    assert statistic([1.0, 2.0, 9.0]) == (2.0, 3) == (statistic.skyval, statistic.npix)
    with pytest.raises(ValueError, match="no pixel"):
        statistic([np.nan])
    with pytest.raises(TypeError, match="bins: no such"):
        SkyStats(bins=3)
