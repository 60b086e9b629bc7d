"""Lists of images with masks, names of flags, inverse sensitivity, values that are given, images in the primary."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from upramp.exceptions import InputError
from upramp.sky import (
    ImageEntry,
    UserSky,
    flag_names,
    match_sky,
    parse_bits,
    parse_images,
    read_image,
    read_images,
    read_sky_file,
    read_sky_keyword,
    subtract_sky,
    write_headers,
)
from upramp.sky.lists import parse_line

SHAPE = (20, 30)


def write(path: Path, *skies: float, dq: Any = 0, **primary: Any) -> Path:
    """A file with a chip a sky, electrons in 100 s."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    hdus[0].header.update({"EXPTIME": 100.0} | primary)
    for version, sky in enumerate(skies, 1):
        science = fits.ImageHDU(np.full(SHAPE, sky, np.float32), name="SCI", ver=version)
        science.header.update({"BUNIT": "ELECTRONS", "IDCSCALE": 0.5, "PHOTFLAM": 2.0 * version, "OLD": sky})
        flags = np.zeros(SHAPE, np.asarray(dq).dtype if dq else np.int16)
        flags[0] = dq
        hdus += [science, fits.ImageHDU(flags, name="DQ", ver=version)]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize(
    ("line", "extensions", "masks"),
    [
        ("a.fits", (), ()),
        (" a.fits[1] ", (1,), ()),
        ("a.fits['sci',2]", (("sci", 2),), ()),
        ("a.fits[sci]", (("sci", 1),), ()),
        ("a.fits{'sci'}", (("sci", "*"),), ()),
        ("a.fits{1,4,('sci',3)}", (1, 4, ("sci", 3)), ()),
        ("a.fits{('sci',*)}, m.fits", (("sci", "*"),), ((Path("m.fits"), 0),)),
        (
            "a.fits{1,2,('sci',3)},mask1.fits,,mask3.fits[0]",
            (1, 2, ("sci", 3)),
            ((Path("mask1.fits"), 0), None, (Path("mask3.fits"), 0)),
        ),
        (
            "a.fits,None,'None',m.fits{1,2}",
            (),
            (None, *((Path(n), e) for n, e in [("None", 0), ("m.fits", 1), ("m.fits", 2)])),
        ),
        ('"a.fits" [2]', (2,), ()),
    ],
)
def test_lines_of_images_and_masks(line: str, extensions: Any, masks: Any) -> None:
    assert parse_line(line) == ImageEntry(Path("a.fits"), extensions, masks)


@pytest.mark.parametrize(
    "line", ["", ",m.fits", "a.fits[", "a.fits]", "a.fits[1,2,3]", "'a.fits", "'a.fits'x"]
)
def test_lines_that_are_none(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_line(line)
    if line:
        (tmp_path / "list").write_text(f"# images\n\n{line}\n")
        with pytest.raises(InputError, match="list, line 3"):
            parse_images(f"@{tmp_path / 'list'}")


def test_lists_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [write(tmp_path / f"x{n}_flt.fits", 1.0).name for n in range(4)]
    members = [(f"X{n}".ljust(14), "EXP-DTH", True) for n in (3, 1)] + [("X9".ljust(14), "PROD-DTH", False)]
    columns = [
        fits.Column(name, form, array=[member[k] for member in members])
        for k, (name, form) in enumerate([("MEMNAME", "14A"), ("MEMTYPE", "14A"), ("MEMPRSNT", "L")])
    ]
    fits.BinTableHDU.from_columns(columns).writeto("x_asn.fits")
    Path("images").write_text("# comment\nx2_flt.fits{1}\n\n x0_flt.fits\n")

    def found(given: Any) -> list[str]:
        return [entry.path.name for entry in parse_images(given)]

    assert found("x*_flt.fits") == names
    assert found("x[12]_flt.fits,x0_flt.fits[1]") == [names[1], names[2], names[0]]
    assert found("x_asn.fits") == [names[3], names[1]]
    assert found("@images") == [names[2], names[0]]
    assert found([Path("x1_flt.fits"), "x0_flt.fits,x2_flt.fits"]) == [names[1], names[0], names[2]]
    assert parse_images("@images")[0].extensions == (1,)
    for missing in ("y_flt.fits", "@none", "z*"):
        with pytest.raises(InputError, match=r"no such file|cannot be read"):
            parse_images(missing)


def test_extensions_and_masks_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a_flt.fits", 3.0, 2.0, 1.0)
    mask = np.zeros(SHAPE, np.uint8)
    mask[:2] = 7
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(mask)]).writeto("m.fits")
    Path("list").write_text("a_flt.fits{('sci',3),3},,m.fits[1]\n")
    (image,) = read_images(parse_images("@list"))
    assert [(chip.extver, chip.index) for chip in image.chips] == [(3, 5), (2, 3)]
    # Where the list ends, chips have no mask.
    assert [chip.npix for chip in match_sky([image]).measured[0]] == [600, 60]
    fits.PrimaryHDU(mask[:5]).writeto("small.fits")
    (image,) = read_images(
        parse_images([ImageEntry(Path("a_flt.fits")).path]), masks={"a_flt.fits": [(Path("small.fits"), 0)]}
    )
    with pytest.raises(InputError, match=r"small\.fits.*shape \(5, 30\)"):
        match_sky([image])
    for wrong in (9, ("ERR", 1)):
        with pytest.raises(InputError, match="no image in extension"):
            read_image("a_flt.fits", extensions=(wrong,))


@pytest.mark.parametrize(
    ("telescope", "instrument", "detector", "bits", "good"),
    [
        ("HST", "WFC3", "IR", "UNSTABLE+badflat", 32 + 512),
        ("HST", "WFC3", "IR", "~DATAREJECT", 0xFFFF - 8192),
        ("HST", "WFC3", "UVIS", "CTETAIL,1024", 32 + 1024),
        ("HST", "ACS", "WFC", "~(SATPIXEL|WARM)", None),
        ("HST", "ACS", "WFC", "SMALLBLEM", 1024),
        ("JWST", "NIRCAM", "NRCA1", "~DO_NOT_USE+NON_SCIENCE", 0xFFFF - 1 - 512),
        ("HST", "WFPC2", "1", "HOTPIX", None),
    ],
)
def test_names_of_flags(telescope: str, instrument: str, detector: str, bits: str, good: int | None) -> None:
    names = flag_names(telescope, f"{instrument} {detector}")
    if good is None:
        with pytest.raises(ValueError, match=r"with 'WARM'|names of its flags are not known"):
            parse_bits(bits, names)
    else:
        assert parse_bits(bits, names) == good


def test_words_of_32_bits(tmp_path: Path) -> None:
    """JWST's DQ."""
    path = write(tmp_path / "a_cal.fits", 3.0, dq=np.uint32(1 << 26), TELESCOP="JWST", INSTRUME="NIRSPEC")
    for bits, used in (("0", 570), ("~DO_NOT_USE", 600), ("OPEN", 600), ("~OPEN", 570), ("none", 600)):
        image = read_image(path, bits=bits)
        assert match_sky([image]).measured[0][0].npix == used, bits


def test_inverse_sensitivity_makes_fluxes_comparable(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}_flt.fits", *skies, TELESCOP="HST", INSTRUME="WFC3", PHOTCORR=done)
        for name, skies, done in (("a", (30.0, 16.0), "COMPLETE"), ("b", (20.0,), "OMIT"))
    ]
    image = read_image(paths[0], sensitivity="PHOTFLAM")
    assert [chip.factor for chip in image.chips] == pytest.approx([2 * 4 / 100, 4 * 4 / 100])
    # The fainter chip is the brighter in flux: 60 against 64.
    assert match_sky([image]).values == (pytest.approx((30.0, 15.0)),)
    with pytest.warns(UserWarning, match="PHOTCORR is OMIT, not COMPLETE: PHOTFLAM is not used"):
        images = read_images(paths, sensitivity="PHOTFLAM")
    with pytest.raises(InputError, match=r"b_flt\.fits: sensitivity not used"):
        match_sky(images, "globalmin")
    bare = write(tmp_path / "c_flt.fits", 1.0, TELESCOP="HST", INSTRUME="WFC3")
    for keyword, message in (("PHOTFLAM", "no PHOTCORR"), ("PHOTFNU", "no PHOTFNU")):
        with pytest.raises(InputError, match=message):
            read_image(paths[0] if keyword == "PHOTFNU" else bare, sensitivity=keyword)
    fits.setval(paths[0], "PHOTFLAM", value=-1.0, ext=1)
    with pytest.raises(InputError, match=r"PHOTFLAM is -1\.0"):
        read_image(paths[0], sensitivity="PHOTFLAM")


def test_values_that_have_been_subtracted(tmp_path: Path) -> None:
    path = write(tmp_path / "a_flt.fits", 3.0, 4.0)
    listed = tmp_path / "sky.txt"
    listed.write_text("# applied = yes\na_flt.fits 1.5\n")
    images = read_images([path])
    told = read_sky_file(listed)
    assert told == UserSky({"a_flt.fits": (1.5,)}, applied=True)
    with pytest.raises(ValueError, match="subtracted already"):
        subtract_sky(match_sky(images, user=told), tmp_path)
    header = read_sky_keyword(images, "OLD")
    assert header == UserSky({"a_flt.fits": (3.0, 4.0)}, applied=True)
    write_headers(match_sky(images, user=header))
    with fits.open(path) as file:
        assert [file["SCI", n].header["MDRIZSKY"] for n in (1, 2)] == [3.0, 4.0]
        assert file["SCI", 1].header["SKYSUBD"] is True
        assert "subtracted already" in str(file[0].header["HISTORY"])
    with pytest.raises(InputError, match="no NEW, expected its sky"):
        read_sky_keyword(images, "NEW")


def test_plates_of_2mass(shared: Path, tmp_path: Path) -> None:
    """Eight real tiles in the primary, without DQ, BUNIT and EXPTIME, with blank borders: they fit once matched."""
    paths = sorted((shared / "data/sky/m17_2mass").glob("*.fits.gz"))
    with pytest.raises(InputError, match="no BUNIT"):
        read_images(paths, bits=None)
    with pytest.raises(InputError, match="no DQ"):
        read_images(paths, units="rate")
    images = read_images(paths, bits=None, units="rate")
    found = match_sky(images, "match")
    assert len(found.residuals) == 13
    assert found.groups == (tuple(path.name for path in paths),)
    steps = np.array([step(images, pair.i, pair.j) for pair in found.matched.pairs])  # type: ignore[union-attr]
    levels = np.array([value for (value,) in found.values])
    after = steps - [levels[pair.i] - levels[pair.j] for pair in found.matched.pairs]  # type: ignore[union-attr]
    # The range that other samples of these pixels give.
    assert [steps.min(), steps.max()] == pytest.approx([-6.66, 3.36], abs=0.1)
    assert np.sqrt(np.mean(after**2)) < 0.35 * np.sqrt(np.mean(steps**2))


def step(images: Any, i: int, j: int) -> float:
    """Median difference of two images, pixel by nearest pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world, pixel = images[i].wcs(0), images[j].wcs(0)
    one, other = images[i].read(0), images[j].read(0)
    y, x = (axis.ravel() for axis in np.mgrid[: one.shape[0] : 3, : one.shape[1] : 3])
    u, v = np.round(pixel.wcs_world2pix(*world.wcs_pix2world(x, y, 0), 0)).astype(int)
    inside = (u >= 0) & (v >= 0) & (u < other.shape[1]) & (v < other.shape[0])
    return float(np.nanmedian(one[y, x][inside] - other[v[inside], u[inside]]))
