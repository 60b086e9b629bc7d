"""CCD frames reduced, against simulated truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from upramp import ccd
from upramp.ccd import Detector, Dq, FlatLimits
from upramp.exceptions import InputError, OutputError

NY, NX, OVER = 96, 128, 24
GAIN, NOISE = 1.6, 5.0
"""Electrons per ADU; read noise, electrons."""


@dataclass
class Night:
    """Files of a night and what they were made from."""

    folder: Path
    bias: list[Path]
    dark: list[Path]
    flat: list[Path]
    science: Path
    offset: Any
    current: Any
    response: Any
    sky: Any


def response_of() -> Any:
    y, x = np.mgrid[:NY, :NX]
    radius = np.hypot((y - NY / 2) / NY, (x - NX / 2) / NX)
    shape = 1 - 0.25 * radius**2 + np.random.default_rng(1).normal(0, 0.01, (NY, NX))
    return np.where(radius > 0.66, 0.3, shape)


def write_raw(path: Path, electrons: Any, offset: Any, rng: Any, drift: float = 0.0, **cards: Any) -> Path:
    """A frame with an overscan to the right, its level drifting along the rows."""
    level = 1000 + drift + 3 * np.linspace(-1, 1, NY)[:, None] ** 2
    light = level + offset + (rng.poisson(electrons) + rng.normal(0, NOISE, (NY, NX))) / GAIN
    over = level + rng.normal(0, NOISE / GAIN, (NY, OVER))
    words = np.clip(np.rint(np.hstack([light, over])), 0, 65535).astype(np.uint16)
    hdu = fits.PrimaryHDU(words)
    hdu.header["DATASEC"] = f"[1:{NX},1:{NY}]"
    hdu.header["BIASSEC"] = f"[{NX + 3}:{NX + OVER},1:{NY}]"
    hdu.header["EXPTIME"], hdu.header["FILTER"] = 0.0, "V"
    hdu.header["CRPIX1"], hdu.header["CRPIX2"] = 60.0, 50.0
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    rng = np.random.default_rng(7)
    offset = 10 * np.sin(np.arange(NX) / 9.0)[None, :] + np.zeros((NY, 1))
    current = np.where(rng.random((NY, NX)) < 0.02, 3.0, 0.2)  # e-/s
    response, sky = response_of(), 900 + 2 * np.arange(NX)[None, :] + np.zeros((NY, 1))
    none = np.zeros((NY, NX))
    bias = [write_raw(folder / f"bias{k}.fits", none, offset, rng, drift=k) for k in range(11)]
    dark = [
        write_raw(folder / f"dark{k}.fits", current * t, offset, rng, EXPTIME=t)
        for k, t in enumerate((200.0, 300.0, 300.0, 400.0, 300.0))
    ]
    flat = [
        write_raw(folder / f"flat{k}.fits", level * response, offset, rng, EXPTIME=4.0, drift=5 * k)
        for k, level in enumerate((40000, 42000, 30000, 45000, 36000))
    ]
    electrons = sky * response + 100 * current
    electrons[40, 50] += 2e5
    science = write_raw(folder / "science.fits", electrons, offset, rng, EXPTIME=100.0)
    return Night(folder, bias, dark, flat, science, offset, current, response, sky)


@pytest.fixture(scope="module")
def masters(night: Night) -> Any:
    bias = ccd.master_bias(night.bias)
    dark = ccd.master_dark(night.dark, bias=bias)
    return bias, dark, ccd.master_flat(night.flat, bias=bias, dark=dark)


def plain_overscan(raw: Any, order: int = 2) -> Any:
    """Fit of medians without any clipping."""
    y = np.arange(NY)
    medians = np.median(raw[:, NX + 2 :], axis=1)
    return np.polyval(np.polyfit(y, medians, order), y)[:, None]


def test_bias(night: Night, masters: Any) -> None:
    bias = masters[0]
    cube = np.array([fits.getdata(path).astype(float) for path in night.bias])
    plain = np.median([raw[:, :NX] - plain_overscan(raw) for raw in cube], axis=0)
    np.testing.assert_allclose(bias.data, plain, atol=0.7)  # a clipped row moves the fit a little
    assert np.abs(bias.data - night.offset).mean() < 1.5 * NOISE / GAIN / np.sqrt(11)
    assert bias.header["UPRRDN"] == pytest.approx(NOISE / GAIN, rel=0.03)
    assert bias.header["NCOMBINE"] == 11
    assert bias.header["BUNIT"] == "adu"
    assert "BIASSEC" not in bias.header
    assert "median of 11 frames" in str(bias.header["HISTORY"])
    # Honest uncertainty, and nothing masked.
    scatter = np.std(bias.data - night.offset)
    assert np.sqrt(np.mean(bias.uncertainty**2)) == pytest.approx(scatter, rel=0.1)
    assert not bias.dq.any()


def test_bias_without_overscan_is_numpys_median(night: Night) -> None:
    bias = ccd.master_bias(night.bias, detector=Detector(overscan=None, trim=None))
    cube = np.array([fits.getdata(path) for path in night.bias])
    assert bias.data.shape == (NY, NX + OVER)
    np.testing.assert_array_equal(bias.data, np.median(cube, axis=0))
    trimmed = ccd.master_bias(night.bias[:4], detector=Detector(overscan=None, trim="[11:50,5:20]"))
    np.testing.assert_array_equal(trimmed.data, np.median(cube[:4, 4:20, 10:50], axis=0))
    assert (trimmed.header["CRPIX1"], trimmed.header["CRPIX2"]) == (50.0, 46.0)


@pytest.mark.parametrize("method", ["median", "mean"])
def test_overscan_of_every_row(night: Night, method: Any) -> None:
    bias = ccd.master_bias(night.bias[:3], detector=Detector(overscan_method=method))
    cube = np.array([fits.getdata(path).astype(np.float32) for path in night.bias[:3]])
    level = getattr(np, method)(cube[:, :, NX + 2 :].astype(float), axis=2, keepdims=True).astype(np.float32)
    np.testing.assert_array_equal(bias.data, np.median(cube[:, :, :NX] - level, axis=0))


def test_overscan_levels() -> None:
    rows = np.repeat((5 + 0.1 * np.arange(50.0))[:, None], 9, axis=1)
    np.testing.assert_allclose(ccd.overscan_levels(rows, order=1), rows[:, 0], rtol=1e-6)
    rows += np.random.default_rng(3).normal(0, 0.5, rows.shape)
    hit = rows.copy()
    hit[7] = 1000
    np.testing.assert_allclose(
        ccd.overscan_levels(hit, order=1), ccd.overscan_levels(rows, order=1), atol=0.2
    )
    assert ccd.overscan_levels(rows[:1]).shape == (1,)
    with pytest.raises(ValueError, match="overscan method is 'spline'"):
        ccd.overscan_levels(rows, "spline")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order is -1"):
        ccd.overscan_levels(rows, order=-1)


def test_overscan_above_the_light(tmp_path: Path) -> None:
    # Rows of overscan give a level for every column.
    image = np.full((40, 30), 500, np.uint16)
    image[32:] = 100 + np.arange(30)
    detector = Detector(overscan="[1:30,33:40]", trim="[3:30,1:32]", overscan_method="median")
    bias = ccd.master_bias([image, image], detector=detector)
    np.testing.assert_array_equal(bias.data, np.tile(400.0 - np.arange(2, 30), (32, 1)))


def test_dark(night: Night, masters: Any) -> None:
    dark = masters[1]
    true = night.current / GAIN
    assert dark.header["BUNIT"] == "adu / s"
    assert np.median(dark.data / true) == pytest.approx(1, abs=0.03)
    off = (dark.data - true) / dark.uncertainty
    assert abs(np.median(off)) < 0.2
    with pytest.raises(InputError, match=r"bias0\.fits: exposure time is 0\.0 s"):
        ccd.master_dark(night.bias)


def test_flat(night: Night, masters: Any) -> None:
    flat = masters[2].flats["V"]
    bright = night.response > 0.82
    ratio = flat.data[bright] / night.response[bright]
    assert np.std(ratio) / np.mean(ratio) < 0.004
    assert np.nanmedian(flat.data) == pytest.approx(1, abs=1e-6)
    # Below 0.8: NaN and a bit.
    dark = night.response < 0.5
    assert dark.any()
    assert np.isnan(flat.data[dark]).all()
    assert (flat.dq[dark] & Dq.VIGNETTED).all()
    np.testing.assert_array_equal(np.isnan(flat.data), flat.dq & Dq.VIGNETTED != 0)
    assert np.nanmin(flat.data) >= 0.8
    assert not ccd.master_flat(night.flat, bias=masters[0], mask_below=None).flats["V"].dq.any()
    assert masters[2].table["used"].all()
    assert masters[2].table["level"][0] == pytest.approx(40000 / GAIN * np.median(night.response), rel=0.01)


def test_gain_is_measured(masters: Any) -> None:
    # Twelve cells are too few; larger flats tell the gain.
    assert "UPRGAIN" not in masters[2].flats["V"].header
    rng = np.random.default_rng(2)
    shape = 1 + 0.2 * np.sin(np.arange(300) / 50)[None, :] * np.ones((300, 1))
    first, second = ((rng.poisson(n * shape) + rng.normal(0, 8, shape.shape)) / GAIN for n in (20000, 30000))
    assert ccd.measure_gain(first, second, 8 / GAIN) == pytest.approx(GAIN, rel=0.02)
    assert ccd.measure_gain(first, first) is None
    assert ccd.measure_gain(first[:40], second[:40]) is None
    found = ccd.master_flat([first, second], detector=Detector())
    assert found.flats[""].header["UPRGAIN"] == pytest.approx(GAIN, rel=0.03)


def test_flats_are_corrected_before_they_are_normalised() -> None:
    # Uncorrected, a pedestal of 1000 would change the shape with the level: 0.9 of 2000 is not 0.9.
    response = np.ones((40, 40))
    response[:, 20:] = 0.9
    frames = [np.rint(1000 + level * response).astype(np.uint16) for level in (2000, 4000, 8000)]
    flat = ccd.master_flat(frames, bias=np.full((40, 40), 1000.0)).flats[""]
    np.testing.assert_allclose(flat.data / flat.data[0, 0], response, rtol=1e-3)


def test_bad_flats_are_left_out_with_the_reason(night: Night, masters: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    y = np.mgrid[:NY, :NX][0]
    bad = {
        "bright": write_raw(tmp_path / "bright.fits", 140000 * night.response, night.offset, rng),
        "faint": write_raw(tmp_path / "faint.fits", 800 * night.response, night.offset, rng),
        "odd": write_raw(
            tmp_path / "odd.fits", 30000 * night.response * (1 + 0.3 * y / NY), night.offset, rng
        ),
        "blue": write_raw(tmp_path / "blue.fits", 800 * night.response, night.offset, rng, FILTER="B"),
    }
    found = ccd.master_flat([*night.flat, *bad.values()], bias=masters[0])
    reasons = {Path(row["file"]).stem: row["reason"] for row in found.table if not row["used"]}
    assert sorted(reasons) == ["blue", "bright", "faint", "odd"]
    assert reasons["bright"].startswith("saturated: ")
    assert reasons["faint"].startswith("too faint: median 4")
    assert reasons["odd"].startswith("odd: ")
    assert list(found.flats) == ["V"]
    assert "blue.fits too faint" in found.failed["B"]
    np.testing.assert_array_equal(
        found.flats["V"].data, ccd.master_flat(night.flat, bias=masters[0]).flats["V"].data
    )
    both = ccd.master_flat([*night.flat, bad["blue"]], bias=masters[0], limits=FlatLimits(faint=100))
    assert sorted(both.flats) == ["B", "V"]
    with pytest.raises(InputError, match=r"no usable flat: faint\.fits too faint"):
        ccd.master_flat([bad["faint"]])
    for options, message in (
        ({"norm": "mode"}, "norm is 'mode'"),
        ({"mask_below": 1.5}, "mask_below is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            ccd.master_flat(night.flat, **options)  # type: ignore[arg-type]


DETECTOR = Detector(gain=GAIN, read_noise=NOISE)


def test_reduced(night: Night, masters: Any) -> None:
    bias, dark, flats = masters
    made = ccd.reduce(night.science, bias=bias, dark=dark, flat=flats.flats, detector=DETECTOR)
    good = made.dq == 0
    good[40, 50] = False
    norm = np.median(night.response[night.response > 0.5])
    true = night.sky * norm / GAIN
    off = (made.data - true)[good] / made.uncertainty[good]
    assert np.median(made.data[good] / true[good]) == pytest.approx(1, abs=0.01)
    # The scatter is what the uncertainty says.
    assert 1.4826 * np.median(np.abs(off - np.median(off))) == pytest.approx(1, abs=0.05)
    assert made.dq[40, 50] == Dq.SATURATED
    assert made.data[40, 50] > 60000
    vignetted = night.response < 0.5
    assert np.isnan(made.data[vignetted]).all()
    assert (made.dq[vignetted] == Dq.VIGNETTED | Dq.NO_DATA).all()
    assert made.unit == "adu"
    text = "\n".join(made.header["HISTORY"])
    for line in ("overscan [131:152,1:96] fit 2", "bias subtracted", "dark subtracted", "divided by flat"):
        assert line in text
    assert "gain 1.6 e-/ADU (given)" in text


def test_cosmic_rays_are_flagged_and_replaced() -> None:
    rng = np.random.default_rng(8)
    frame = rng.normal(500.0, 12.0, (60, 70)).astype(np.float32)
    places = (np.array([5, 30, 59]), np.array([9, 40, 0]))
    struck = frame.copy()
    struck[places] += 4000.0
    detector = Detector(gain=2.0, read_noise=6.0)
    made = ccd.reduce(struck, detector=detector, cosmics=True)
    assert (made.dq[places] == ccd.Dq.COSMIC_RAY).all()
    assert np.count_nonzero(made.dq) < 10
    assert np.abs(made.data[places] - 500.0).max() < 40.0
    assert "cosmic rays" in str(made.header["HISTORY"])
    plain = ccd.reduce(struck, detector=detector)
    assert (plain.dq[places] == 0).all()
    with pytest.raises(ValueError, match="cosmics is True"):
        ccd.reduce(struck, detector=detector, cosmics=True, uncertainty=False)


def test_gain_is_applied_once(night: Night, masters: Any) -> None:
    options = {"bias": masters[0], "flat": masters[2].flats, "detector": DETECTOR}
    adu = ccd.reduce(night.science, **options)
    electrons = ccd.reduce(night.science, unit="electron", **options)
    np.testing.assert_allclose(electrons.data, adu.data * GAIN, rtol=1e-6)
    np.testing.assert_allclose(electrons.uncertainty, adu.uncertainty * GAIN, rtol=1e-6)
    assert electrons.header["BUNIT"] == "electron"
    assert electrons.header["UPRGAIN"] == GAIN
    with pytest.raises(InputError, match="is in electron already"):
        ccd.reduce(CCDData(np.zeros((NY, NX)), unit="electron"), detector=DETECTOR)
    del electrons.header["UPRCCD"]
    path = electrons.write(night.folder / "electrons.fits")
    with pytest.raises(InputError, match="the gain would count twice"):
        ccd.reduce(path, **options)


def test_variance_is_the_formula() -> None:
    raw = np.full((4, 4), 1500, np.uint16)
    uncertain = {
        name: CCDData(np.full((4, 4), value), unit="adu", uncertainty=StdDevUncertainty(np.full((4, 4), std)))
        for name, value, std in (("bias", 300.0, 2.0), ("dark", 0.5, 0.01), ("flat", 0.9, 0.02))
    }
    frame = CCDData(raw, unit="adu", meta={"EXPTIME": 100.0})
    made = ccd.reduce(frame, detector=Detector(gain=2.0, read_noise=6.0), **uncertain)
    result = (1500 - 300 - 50) / 0.9
    variance = (1200 / 2 + (6 / 2) ** 2 + 2.0**2 + (100 * 0.01) ** 2 + (result * 0.02) ** 2) / 0.9**2
    np.testing.assert_allclose(made.data, result, rtol=1e-6)
    np.testing.assert_allclose(made.uncertainty, np.sqrt(variance), rtol=1e-6)


def test_gain_and_read_noise_of_the_header(night: Night, masters: Any) -> None:
    raw = CCDData.read(night.science, unit="adu")

    def told(meta: dict[str, Any], **options: Any) -> tuple[float, float]:
        header = raw.meta.copy()
        header.update(meta)
        header = ccd.reduce(CCDData(raw.data, unit="adu", meta=header), **options).header
        return header["UPRGAIN"], header["UPRRDN"]

    assert told({"GAIN": 2.0, "RDNOISE": 8.0}) == (2.0, 4.0)
    assert told({"GAIN": 9.0, "EGAIN": 2.0, "READNOIS": 3.0}) == (2.0, 1.5)
    assert told({"GAIN": 2.0, "RDNOISE": 8.0}, detector=DETECTOR) == (GAIN, NOISE / GAIN)
    noise = masters[0].header["UPRRDN"]
    assert told({"GAIN": 2.0}, bias=masters[0]) == (2.0, noise)
    # The number of a setting is no gain.
    with pytest.raises(InputError, match="gain is not known"):
        told({"GAIN": (1, "DCS GAIN INDEX"), "RDNOISE": 8.0})
    with pytest.raises(InputError, match="read noise is not known"):
        told({"GAIN": 2.0})
    assert ccd.reduce(raw, uncertainty=False).uncertainty is None
    for name in ("gain", "read_noise", "saturation"):
        with pytest.raises(ValueError, match=f"{name} is -1"):
            Detector(**{name: -1.0})


def test_bad_pixels_are_flagged(night: Night, masters: Any) -> None:
    bias = ccd.CcdImage(masters[0].data, None, masters[0].dq.copy(), masters[0].header, "bias")
    bias.dq[5, 6] = Dq.NO_DATA
    mask = np.zeros((NY, NX), bool)
    mask[7, 8] = True
    made = ccd.reduce(night.science, bias=bias, mask=mask, detector=DETECTOR)
    assert sorted(map(tuple, np.argwhere(made.dq & Dq.BAD).tolist())) == [(5, 6), (7, 8)]
    with pytest.raises(ValueError, match=r"mask has shape \(3,\)"):
        ccd.reduce(night.science, mask=np.zeros(3), detector=DETECTOR)


def test_refused(night: Night, masters: Any, tmp_path: Path) -> None:
    bias, _, flats = masters
    with pytest.raises(ValueError, match=r"bias has shape \(3, 4\), expected \(96, 128\)"):
        ccd.reduce(night.science, bias=np.zeros((3, 4)), detector=DETECTOR)
    with pytest.raises(ValueError, match="unit is 'photon'"):
        ccd.reduce(night.science, unit="photon", detector=DETECTOR)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"filter is 'V', expected one of the flats' \('R'\)"):
        ccd.reduce(night.science, flat={"R": flats.flats["V"]}, detector=DETECTOR)
    made = ccd.reduce(night.science, bias=bias, detector=DETECTOR)
    path = made.write(tmp_path / "red.fits")
    with pytest.raises(OutputError, match="exists already"):
        made.write(path)
    with pytest.raises(InputError, match="is a reduced frame already"):
        ccd.reduce(path, bias=bias, detector=DETECTOR)
    with pytest.raises(InputError, match="is a reduced frame already"):
        ccd.master_bias([path])
    with pytest.raises(ValueError, match="does not reach along all rows"):
        ccd.master_bias(night.bias, detector=Detector(overscan="[130:140,10:96]"))
    with pytest.raises(ValueError, match=r"trim of .*bias0.fits is '\[1:999,1:2\]'"):
        ccd.master_bias(night.bias, detector=Detector(trim="[1:999,1:2]"))
    broken = write_raw(tmp_path / "broken.fits", np.zeros((NY, NX)), night.offset, np.random.default_rng(1))
    fits.setval(broken, "BIASSEC", value="[1:999,1:2]")
    with pytest.raises(InputError, match=r"broken\.fits: BIASSEC is"):
        ccd.master_bias([broken])
    for text in ("1:2,3:4", "[0:3,1:2]", "[5:3,1:2]", "nothing"):
        with pytest.raises(ValueError, match="section is"):
            ccd.parse_section(text)


def test_files_and_ccddata(night: Night, masters: Any, tmp_path: Path) -> None:
    made = ccd.reduce(night.science, bias=masters[0], flat=masters[2].flats, detector=DETECTOR)
    path = made.write(tmp_path / "red.fits")
    with fits.open(path) as file:
        file.verify("exception")
        assert [hdu.name for hdu in file] == ["PRIMARY", "UNCERT", "MASK"]
        assert file["MASK"].header["BIT2"] == "VIGNETTED"
    with fits.open(path) as file:
        assert "BZERO" not in file[0].header
    back = CCDData.read(path)
    np.testing.assert_array_equal(back.data, made.data)
    np.testing.assert_array_equal(back.mask, made.dq != 0)
    np.testing.assert_array_equal(back.uncertainty.array, made.uncertainty)
    assert back.unit == "adu"
    again = ccd.read_image(path)
    for name in ("data", "uncertainty", "dq"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert isinstance(made.to_ccddata(), CCDData)
    # The same from frames in memory.
    frame = CCDData.read(night.science, unit="adu")
    bias, flat = (image.to_ccddata() for image in (masters[0], masters[2].flats["V"]))
    by_ccd = ccd.reduce(frame, bias=bias, flat=flat, detector=DETECTOR)
    np.testing.assert_array_equal(by_ccd.data, made.data)
    assert ccd.master_bias([frame, frame]).data.shape == (NY, NX)


def test_table(night: Night) -> None:
    table = ccd.frame_table([night.bias[0], night.science])
    assert list(table["exptime"]) == [0.0, 100.0]
    pixels = fits.getdata(night.bias[0])[:, :NX].astype(float)
    for name in ("min", "max", "median", "mean", "std"):
        assert table[name][0] == pytest.approx(getattr(np, name)(pixels))
    assert table["saturated"][1] == 1
    assert table["overscan"][0] == pytest.approx(1001, abs=2)
    notes: list[InputError] = []
    assert len(ccd.frame_table([night.folder / "none.fits", night.science], on_error=notes.append)) == 1
    assert "none.fits" in str(notes[0])


def test_figure(night: Night, masters: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    from upramp.plot import plot_reduction

    made = ccd.reduce(night.science, bias=masters[0], flat=masters[2].flats, detector=DETECTOR)
    figure = plot_reduction(night.science, made, cutout=np.s_[10:60, 20:80])
    assert len(figure.axes) == 4
    assert figure.axes[2].images[0].get_array().shape == (50, 60)
    with pytest.raises(ValueError, match="raw has shape"):
        plot_reduction(np.zeros((3, 3)), made)
