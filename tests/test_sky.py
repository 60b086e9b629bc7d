"""Sky of single images: units, masks, what is refused, values given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from upramp.exceptions import InputError
from upramp.io import Extension
from upramp.sky import match_sky, parse_bits, read_image, read_images, read_sky_file, static_masks
from upramp.sky.coordinates import _plain

SHAPE = (20, 30)


def write(
    path: Path, *skies: float, dq: Any = 0, cards: dict[str, Any] | None = None, **primary: Any
) -> Path:
    """A file with a chip a sky, electrons in 100 s; a card of None is left out."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    for key, value in ({"EXPTIME": 100.0, "ROOTNAME": path.name.split("_")[0]} | primary).items():
        if value is not None:
            hdus[0].header[key] = value
    for version, sky in enumerate(skies, 1):
        science = fits.ImageHDU(np.full(SHAPE, sky, np.float32), name="SCI", ver=version)
        for key, value in ({"BUNIT": "ELECTRONS", "IDCSCALE": 0.5} | (cards or {})).items():
            if value is not None:
                science.header[key] = value
        hdus.append(science)
        if dq is not None:
            flags = np.broadcast_to(np.int16(dq), SHAPE)
            hdus.append(fits.ImageHDU(flags.copy(), name="DQ", ver=version))
    fits.HDUList(hdus).writeto(path)
    return path


def corner(value: int) -> Any:
    flags = np.zeros(SHAPE, np.int16)
    flags[:5] = value
    return flags


def test_chips_share_the_lowest_sky_and_files_their_lowest(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a_flt.fits", 50.0, 30.0),
        write(tmp_path / "b_flt.fits", 0.2, cards={"BUNIT": "ELECTRONS/S"}),
        write(tmp_path / "c_flt.fits", 10.0, cards={"IDCSCALE": 0.25}),
    ]
    images = read_images(paths)
    found = match_sky(images, "globalmin")
    assert found.methods["localmin"] == ((30.0, 30.0), (pytest.approx(0.2),), (10.0,))
    # Per arcsec²: 1.2, 0.8 and 1.6 e-/s.
    expected = ((20.0, 20.0), (0.2,), (5.0,))
    for values, wanted in zip(found.values, expected, strict=True):
        assert values == pytest.approx(wanted)
    assert found.table["globalmin"].tolist() == pytest.approx([20.0, 20.0, 0.2, 5.0])
    assert found.table["npix"].tolist() == [600] * 4


@pytest.mark.parametrize(
    ("bits", "used"),
    [(0, False), ("16", True), ("~16", False), ("~8", True), (None, True), ("none", True), ("8+16", True)],
)
def test_flagged_pixels_are_left_out(tmp_path: Path, bits: Any, used: bool) -> None:
    image = read_image(write(tmp_path / "a_flt.fits", 3.0, dq=corner(16)), bits=bits)
    accepted = np.isfinite(image.read_good(0))
    assert accepted[5:].all()
    assert (accepted[:5] == used).all()


@pytest.mark.parametrize("text", ["sixteen", "4;8", "", 70000])
def test_bits_of_another_form_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="bits is"):
        parse_bits(text)


def test_nan_and_weights_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "a_drz.fits", 3.0, dq=None)
    weight = np.ones(SHAPE, np.float32)
    weight[2:4] = 0
    with fits.open(path, mode="update") as file:
        file.append(fits.ImageHDU(weight, name="WHT", ver=1))
        file["SCI"].data[0, :] = np.nan
    (row,) = match_sky([read_image(path)]).table
    assert (row["npix"], row["localmin"]) == (600 - 30 - 60, 3.0)


def test_user_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "a_flt.fits", 3.0)
    mask = np.zeros(SHAPE, bool)
    mask[:2] = True
    assert match_sky(read_images([path], masks={path.name: mask})).measured[0][0].npix == 60
    with pytest.raises(ValueError, match="names of the files given"):
        read_images([path], masks={"b_flt.fits": mask})
    with pytest.raises(ValueError, match="has 2 chips, expected 1"):
        read_image(path, mask=[mask, mask])


def test_static_mask_is_that_of_all_exposures(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    paths = []
    for number, name in enumerate("ab"):
        path = write(tmp_path / f"{name}_flt.fits", 0.0)
        with fits.open(path, mode="update") as file:
            file["SCI"].data[...] = rng.normal(100, 1, SHAPE)
            file["SCI"].data[3, number] = -500
        paths.append(path)
    (mask,) = static_masks(read_images(paths)).values()
    assert np.argwhere(~mask).tolist() == [[3, 0], [3, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EXPTIME": 0.0}, "EXPTIME is 0.0, expected a positive"),
        ({"EXPTIME": -3.0}, "EXPTIME is -3.0"),
        ({"EXPTIME": None}, "no EXPTIME"),
        ({"dq": None}, "no DQ .or WHT. extension of version 1"),
        ({"cards": {"BUNIT": "BRIGHT"}}, "BUNIT is 'BRIGHT'"),
        ({"cards": {"BUNIT": None}}, "no BUNIT"),
    ],
)
def test_what_cannot_be_measured_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a_flt.fits", 3.0, **change)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_no_science_extension(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no SCI extension"):
        read_image(write(tmp_path / "a_flt.fits"))


def test_units_by_instrument_and_by_argument(tmp_path: Path) -> None:
    where = {"TELESCOP": "HST", "INSTRUME": "WFC3", "cards": {"BUNIT": None}}
    uvis = write(tmp_path / "a_flt.fits", 3.0, DETECTOR="UVIS", **where)
    infrared = write(tmp_path / "b_flt.fits", 3.0, DETECTOR="IR", **where)
    assert [image.units for image in read_images([uvis, infrared])] == ["counts", "rate"]
    assert read_image(uvis, units="rate").chips[0].factor == pytest.approx(4.0)


def test_all_masked_files_are_all_named(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}_flt.fits", 3.0, dq=4) for name in "ab"]
    with pytest.raises(InputError, match=r"a_flt\.fits, b_flt\.fits: no good pixel"):
        match_sky(read_images(paths))


@pytest.mark.parametrize(
    ("cards", "message"), [({"BUNIT": "DN"}, "units are mixed: DN, ELECTRON"), ({"IDCSCALE": None}, "no WCS")]
)
def test_what_has_no_minimum_in_common(tmp_path: Path, cards: dict[str, Any], message: str) -> None:
    paths = [write(tmp_path / "a_flt.fits", 3.0), write(tmp_path / "b_flt.fits", 2.0, cards=cards)]
    images = read_images(paths)
    with pytest.raises(InputError, match=message):
        match_sky(images, "globalmin")
    alone = match_sky(images)
    assert alone.values == ((3.0,), (2.0,))
    assert "globalmin" not in alone.table.colnames


def test_values_of_the_user(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a_flt.fits", 3.0, 4.0), write(tmp_path / "b_flt.fits", 3.0)]
    listed = tmp_path / "sky.txt"
    listed.write_text("# name value\na_flt.fits 1.5 2.5\nb_flt.fits  0.5\n")
    found = match_sky(read_images(paths), user=read_sky_file(listed))
    assert found.values == ((1.5, 2.5), (0.5,))
    assert found.table["user"].tolist() == [1.5, 2.5, 0.5]
    with pytest.raises(ValueError, match=r"no sky of b_flt\.fits"):
        match_sky(read_images(paths), user={"a_flt.fits": 1.0})
    for line in ("a_flt.fits", "a_flt.fits many", "a_flt.fits nan"):
        listed.write_text(line)
        with pytest.raises(InputError, match="line 1"):
            read_sky_file(listed)


def test_methods_there_are(tmp_path: Path) -> None:
    images = read_images([write(tmp_path / "a_flt.fits", 3.0)])
    with pytest.raises(ValueError, match="localmin, globalmin"):
        match_sky(images, "lowest")
    with pytest.raises(InputError, match=r"a_flt\.fits.SCI,1.: no celestial WCS"):
        match_sky(images, "match")
    with pytest.raises(ValueError, match="at least one"):
        match_sky([])


def pointing(x: float) -> dict[str, Any]:
    """World coordinates of an image shifted by x pixels of 0.5 arcsec."""
    step = 0.5 / 3600
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
        "CRPIX1": 15.0 - x,
        "CRPIX2": 10.0,
        "CD1_1": -step,
        "CD2_2": step,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
    }


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("distorted", ["", "AB", "ABP"])
def test_quick_coordinates_are_those_of_astropy(turned: bool, distorted: str) -> None:
    shape = {"BITPIX": 8, "NAXIS": 2, "NAXIS1": 30, "NAXIS2": 20}
    more = {"LATPOLE": 2.0, "EQUINOX": 2000.0, "CD1_2": 1e-5, "CD2_1": -2e-5}
    header = fits.Header(shape | pointing(3.0) | more)
    if turned:
        header["CTYPE1"], header["CTYPE2"] = header["CTYPE2"], header["CTYPE1"]
    names = {"": (), "AB": ("A", "B"), "ABP": ("A", "B", "AP", "BP")}[distorted]
    for k, name in enumerate(names, 1):
        header[f"{name}_ORDER"] = 3
        header[f"{name}_DMAX"] = 1.0
        header[f"{name}_2_0"] = k * 1.5e-5
        header[f"{name}_1_2"] = -k * 2.5e-7
    if names:
        for axis in (1, 2):
            header[f"CTYPE{axis}"] += "-SIP"
    header = fits.Header.fromstring(header.tostring())  # numbers as files have them
    quick = _plain(Extension(header.tostring(), 0))
    assert quick is not None
    whole = WCS(header)
    rng = np.random.default_rng(3)
    places = rng.uniform(-5, 40, (2, 50))
    np.testing.assert_array_equal(quick.all_pix2world(*places, 0), whole.all_pix2world(*places, 0))
    sky = whole.all_pix2world(*places, 0)
    np.testing.assert_array_equal(quick.all_world2pix(*sky, 0), whole.all_world2pix(*sky, 0))
    if "AP" in names:
        np.testing.assert_array_equal(quick.sip_foc2pix(*places, 0), whole.sip_foc2pix(*places, 0))


def test_other_coordinates_are_left_to_astropy() -> None:
    for change in ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, {"CUNIT1": "arcsec"}, {"A_ORDER": 2}):
        assert _plain(Extension(fits.Header({"NAXIS": 0} | pointing(0.0) | change), 0)) is None


def test_overlapping_skies_are_matched(tmp_path: Path) -> None:
    """Counts and rates, across the wrap of the right ascension."""
    skies = (20.0, 0.25, 60.0)
    paths = [
        write(
            tmp_path / f"{name}_flt.fits",
            sky,
            cards=pointing(x) | ({"BUNIT": "ELECTRONS/S"} if sky < 1 else {}),
        )
        for name, sky, x in zip("abc", skies, (0.0, 18.0, 36.0), strict=True)
    ]
    found = match_sky(read_images(paths), "all")
    assert found.table["match"].tolist() == pytest.approx([0.0, 0.05, 40.0], rel=1e-6)
    assert found.table["globalmin+match"].tolist() == pytest.approx(skies, rel=1e-6)
    assert found.groups == (("a_flt.fits", "b_flt.fits", "c_flt.fits"),)
    assert found.residuals["residual"].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    with pytest.raises(ValueError, match="expected one of localmin"):
        _ = found.values
    assert match_sky(read_images(paths), "match", anchor="up").values[2] == pytest.approx((0.0,))


def test_masked_exposure_overlaps_no_other(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}_flt.fits", 5.0 * n, dq=4 * (n == 3), cards=pointing(n))
        for n, name in enumerate("abc", 1)
    ]
    with pytest.warns(UserWarning, match=r"2 groups.*a_flt\.fits, b_flt\.fits; c_flt\.fits"):
        found = match_sky(read_images(paths), "match")
    assert [value for (value,) in found.values] == pytest.approx([0.0, 5.0, 0.0])
    with (
        pytest.warns(UserWarning, match="2 groups"),
        pytest.raises(InputError, match=r"c_flt\.fits: no good pixel"),
    ):
        match_sky(read_images(paths), "globalmin+match")
