"""Calibration from the RAW: references that are missing or do not fit, batches, dummies, defaults."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import upramp
from upramp import detector
from upramp.cli import main
from upramp.wfc3ir.references import Cache, Refs


@pytest.fixture
def refs(shared: Path, tmp_path: Path) -> Path:
    """The reference files, unpacked where they may be changed."""
    folder = tmp_path / "refs"
    folder.mkdir()
    for packed in (shared / "golden" / "wf3ir" / "refs_s64").glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@pytest.fixture
def raw(shared: Path, tmp_path: Path) -> Path:
    """A RAW file that may be changed."""
    source = shared / "golden" / "wf3ir" / "s64_nominal" / "isim01aaq_raw.fits.gz"
    path = tmp_path / "isim01aaq_raw.fits"
    path.write_bytes(gzip.decompress(source.read_bytes()))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("keyword", "name", "column"),
    [
        ("OSCNTAB", "sim_osc.fits", "BIASSECTA1"),
        ("CCDTAB", "sim_ccd.fits", "ATODGNB"),
        ("IMPHTTAB", "sim_imp.fits", "OBSMODE"),
    ],
)
def test_a_table_without_a_column_is_named(
    raw: Path, refs: Path, out: Path, capsys: pytest.CaptureFixture[str], keyword: str, name: str, column: str
) -> None:
    with fits.open(refs / name, mode="update") as hdus:
        hdus[1].columns.del_col(column)
        hdus[1] = fits.BinTableHDU(hdus[1].data, hdus[1].header)
    assert main(["cal", str(raw), "--refs", str(refs), "-o", str(out)]) == 4
    assert f"{refs / name}: lacks '{column}' ({keyword} of {raw})" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_a_table_with_words_for_numbers_is_named(
    raw: Path, refs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fits.open(refs / "sim_ccd.fits", mode="update") as hdus:
        words = fits.Column("ATODGNA", "8A", array=["unknown"] * len(hdus[1].data))
        rest = [column for column in hdus[1].columns if column.name != "ATODGNA"]
        hdus[1] = fits.BinTableHDU.from_columns([*rest, words])
    assert main(["cal", str(raw), "--refs", str(refs), "-o", str(out)]) == 4
    told = capsys.readouterr().err
    assert f"{refs / 'sim_ccd.fits'}: could not convert string to float: 'unknown' (CCDTAB of {raw})" in told


def test_all_that_is_wrong_is_told_at_once(
    raw: Path, refs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (refs / "sim_lin.fits").unlink()
    fits.setval(refs / "sim_ccd.fits", "FILETYPE", value="DARK")
    fits.setval(refs / "sim_f160w_pfl.fits", "FILTER", value="F105W")
    before = hashlib.sha256(raw.read_bytes()).digest()
    assert main(["cal", str(raw), "--refs", str(refs), "-o", str(out)]) == 4
    told = capsys.readouterr().err
    for part in (
        "3 reference files",
        "NLINFILE = iref$sim_lin.fits not found",
        "FILETYPE is 'DARK'",
        "FILTER is 'F105W'",
    ):
        assert part in told
    assert main(["refs", str(raw), "--refs", str(refs), "--check"]) == 4
    assert list(out.iterdir()) == []
    assert hashlib.sha256(raw.read_bytes()).digest() == before


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sim_spars25_sq64sub_drk.fits", {"SAMP_SEQ": "SPARS2"}, "SAMP_SEQ is 'SPARS2'"),
        ("sim_spars25_sq64sub_drk.fits", {"SUBTYPE": "SQ256SUB"}, "SUBTYPE is 'SQ256SUB'"),
        ("sim_spars25_sq64sub_drk.fits", {"NUMEXPOS": 0}, "NUMEXPOS is 0"),
        ("sim_lin.fits", {"DETECTOR": "UVIS"}, "DETECTOR is 'UVIS'"),
        ("sim_lin.fits", {"NCOEF": 9}, "COEF,5 is missing"),
        ("sim_osc.fits", {"FILETYPE": "BIAS"}, "FILETYPE is 'BIAS'"),
        ("sim_ccd.fits", {"PEDIGREE": "DUMMY"}, "is a DUMMY"),
        ("sim_crr.fits", {"PEDIGREE": "DUMMY"}, "is a DUMMY"),
    ],
)
def test_an_unfit_reference_is_refused(
    raw: Path, refs: Path, out: Path, name: str, change: dict[str, object], message: str
) -> None:
    for keyword, value in change.items():
        fits.setval(refs / name, keyword, value=value)
    with pytest.raises(upramp.ReferenceFileError, match=message):
        upramp.calibrate_file(raw, out, refs=Refs(refs))
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["sim_lin.fits", "sim_spars25_sq64sub_drk.fits", "sim_bpx.fits", "sim_imp.fits"]
)
def test_a_truncated_reference_is_refused(raw: Path, refs: Path, out: Path, name: str) -> None:
    whole = (refs / name).read_bytes()
    (refs / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(upramp.ReferenceFileError, match=name):
        upramp.calibrate_file(raw, out, refs=Refs(refs))
    assert list(out.iterdir()) == []


def test_a_dark_of_another_size_is_refused(raw: Path, refs: Path, out: Path) -> None:
    with fits.open(refs / "sim_spars25_sq64sub_drk.fits", mode="update") as hdus:
        for hdu in hdus[1:]:
            if hdu.data is not None:
                hdu.data = hdu.data[:70, :70].copy()
            elif "NPIX1" in hdu.header:
                hdu.header["NPIX1"] = hdu.header["NPIX2"] = 70
    with pytest.raises(upramp.ReferenceFileError, match="DARKFILE"):
        upramp.calibrate_file(raw, out, refs=Refs(refs))


def test_a_missing_imset_is_named(raw: Path, refs: Path, out: Path) -> None:
    with fits.open(raw) as hdus:
        del hdus["TIME", 4]
        hdus.writeto(raw, overwrite=True)
    with pytest.raises(upramp.InputError, match="TIME,4 is missing"):
        upramp.calibrate_file(raw, out, refs=Refs(refs))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("sim_bpx.fits", "DQICORR"),
        ("sim_osc.fits", "BLEVCORR"),
        ("sim_spars25_sq64sub_drk.fits", "DARKCORR"),
        ("sim_imp.fits", "PHOTCORR"),
    ],
)
def test_a_dummy_skips_its_step_and_says_so(raw: Path, refs: Path, out: Path, name: str, step: str) -> None:
    fits.setval(refs / name, "PEDIGREE", value="DUMMY 01/01/2010")
    done = upramp.calibrate_file(raw, out, refs=Refs(refs))
    left = upramp.calibrate_file(
        raw, out, refs=Refs(refs), omit=[step], overwrite=False, names=(out / "a.fits", out / "b.fits")
    )
    with fits.open(done.flt) as flt, fits.open(left.flt) as without:
        assert flt[0].header[step] == "SKIPPED"
        assert any("dummy" in line for line in flt[0].header["HISTORY"])
        np.testing.assert_array_equal(flt["SCI"].data, without["SCI"].data)


def test_a_dummy_flat_is_ignored(raw: Path, refs: Path, out: Path) -> None:
    fits.setval(refs / "sim_f160w_dfl.fits", "PEDIGREE", value="DUMMY")
    assert upramp.calibrate_file(raw, out, refs=Refs(refs)).unit == "ELECTRONS/S"
    fits.setval(refs / "sim_f160w_pfl.fits", "PEDIGREE", value="DUMMY")
    done = upramp.calibrate_file(raw, out, refs=Refs(refs), overwrite=True)
    assert done.unit == "COUNTS/S"
    assert fits.getheader(done.flt)["FLATCORR"] == "SKIPPED"


def test_own_reference_and_plain_iref(
    raw: Path, refs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(refs / "sim_lin.fits", out / "mine.fits")
    monkeypatch.setenv("iref", str(refs))  # without the trailing slash that calwf3 needs
    assert main(["cal", str(raw), "--set", f"NLINFILE={out / 'mine.fits'}", "-o", str(out), "--quiet"]) == 0


def test_arrays_in_arrays_out_and_the_same_as_the_files(raw: Path, refs: Path, out: Path) -> None:
    ramp = upramp.read_ramp(raw)
    kept = ramp.sci.copy(), ramp.dq.copy()
    done, fit = upramp.calibrate(ramp, refs=Refs(refs))
    assert np.array_equal(ramp.sci, kept[0])
    assert np.array_equal(ramp.dq, kept[1])
    assert done.unit == fit.unit == "ELECTRONS/S"
    assert done.primary["DARKCORR"] == "COMPLETE"
    assert ramp.primary["DARKCORR"] == "PERFORM"
    with fits.open(upramp.calibrate_file(raw, out, refs=Refs(refs)).flt) as flt:
        assert np.array_equal(flt["SCI"].data, fit.rate)
        assert np.array_equal(flt["ERR"].data, fit.err)


def test_going_on_from_any_step_is_the_same_as_going_through(raw: Path, refs: Path, out: Path) -> None:
    whole = upramp.calibrate_file(raw, out, refs=Refs(refs), parity=True)
    late = ["UNITCORR", "CRCORR", "FLATCORR"]
    first = upramp.calibrate_file(
        raw, out, refs=Refs(refs), omit=late, names=(out / "h_ima.fits", out / "h_flt.fits")
    )
    second = upramp.calibrate_file(
        first.ima,
        out,
        refs=Refs(refs),
        only=late,
        parity=True,
        names=(out / "w_ima.fits", out / "w_flt.fits"),
    )
    with fits.open(whole.flt) as a, fits.open(second.flt) as b:
        for name in ("SCI", "ERR", "DQ", "SAMP", "TIME"):
            assert np.array_equal(a[name].data, b[name].data), name


def test_steps_on_counts_are_refused_on_rates(raw: Path, refs: Path, out: Path) -> None:
    first = upramp.calibrate_file(raw, out, refs=Refs(refs))
    with pytest.raises(upramp.InputError, match="DARKCORR asked for, but BUNIT is ELECTRONS/S"):
        upramp.calibrate_file(
            first.ima, out, refs=Refs(refs), only=["DARKCORR"], names=(out / "a", out / "b")
        )


def test_a_raw_can_be_fixed_at_once(shared: Path, refs: Path, out: Path) -> None:
    """Flattened before the fit in one pass: the same as calwf3, flatten, calwf3 on the IMA."""
    source = shared / "golden" / "wf3ir" / "s64_helium10" / "isim01aaq_raw.fits.gz"
    fixed = upramp.fix_file(source, out, refs=Refs(refs))
    plain = upramp.calibrate_file(
        source, out, refs=Refs(refs), names=(out / "p_ima.fits", out / "p_flt.fits")
    )
    assert fixed.hit_fraction < 0.5 * plain.hit_fraction


def test_references_are_read_once_for_a_batch(
    raw: Path, refs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upramp.wfc3ir import flat, reference_files

    read: list[str] = []
    images = reference_files.read_images

    def counted(path: Path) -> reference_files.ImageFile:
        read.append(path.name)
        return images(path)

    for module in (reference_files, flat):
        monkeypatch.setattr(module, "read_images", counted)
    copies = [raw, *(raw.with_name(f"isim01a{letter}q_raw.fits") for letter in "bcdef")]
    for copy in copies[1:]:
        shutil.copy(raw, copy)
    assert (
        main(["cal", *map(str, copies), "--refs", str(refs), "-o", str(out), "--jobs", "3", "--quiet"]) == 0
    )
    assert sorted(read) == sorted(set(read))
    assert len(read) == 4
    flts = [fits.getdata(path) for path in sorted(out.glob("*_flt.fits"))]
    assert len(flts) == 6
    assert all(np.array_equal(flt, flts[0]) for flt in flts)


def test_an_association_stands_for_its_exposures(shared: Path, refs: Path, tmp_path: Path, out: Path) -> None:
    for packed in (shared / "golden" / "wf3ir" / "s64_asn").glob("*.fits.gz"):
        if "_raw" in packed.name or "_asn" in packed.name:
            (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    assert (
        main(["cal", str(tmp_path / "isim02010_asn.fits"), "--refs", str(refs), "-o", str(out), "--quiet"])
        == 0
    )
    assert sorted(path.name for path in out.glob("*_flt.fits")) == [
        "isim02aaq_flt.fits",
        "isim02abq_flt.fits",
    ]


def test_a_batch_goes_on_past_an_unusable_association(
    raw: Path, refs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = raw.with_name("broken_asn.fits")
    broken.write_text("no table")
    assert main(["cal", str(broken), str(raw), "--refs", str(refs), "-o", str(out)]) == 6
    assert "broken_asn.fits" in capsys.readouterr().err
    assert (out / "isim01aaq_flt.fits").is_file()
    assert main(["cal", str(broken), "--refs", str(refs), "-o", str(out)]) == 3


def test_arrays_of_any_byte_order_and_layout_are_taken(raw: Path, refs: Path) -> None:
    ramp = upramp.read_ramp(raw)
    odd = ramp.with_(sci=np.asfortranarray(ramp.sci.astype(">f4")), err=ramp.err.astype(float))
    for array in (odd.sci, odd.err):
        array.flags.writeable = False
    assert np.array_equal(
        upramp.calibrate(odd, refs=Refs(refs))[1].rate, upramp.calibrate(ramp, refs=Refs(refs))[1].rate
    )


def test_reads_with_errors_of_their_own_keep_them(shared: Path, refs: Path, out: Path) -> None:
    """calwf3 gives no errors to any read after such a one."""
    source = shared / "golden" / "wf3ir" / "s64_aux_err1" / "isim01aaq_raw.fits.gz"
    done = upramp.calibrate_file(source, out, refs=Refs(refs), omit=["CRCORR", "FLATCORR", "UNITCORR"])
    ramp = upramp.read_ramp(done.ima)
    assert all(ramp.err[r][ramp.border].all() for r in range(ramp.nread))


def test_cache_keeps_what_fits_and_forgets_the_oldest(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"x")
    read: list[str] = []

    def load(path: Path) -> str:
        read.append(path.name)
        return path.name

    cache = Cache(20)
    for name in "abacabb":
        assert cache.get(tmp_path / name, load, lambda made: 10) == name
    assert read == ["a", "b", "c", "b"]
    Cache(5).get(paths[0], load, lambda made: 10)
    paths[0].write_bytes(b"another")
    cache.get(paths[0], load, lambda made: 10)
    assert read[-2:] == ["a", "a"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 5),
    st.integers(11, 40),
    st.integers(11, 40),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 99),
)
def test_the_answer_does_not_depend_on_threads(
    nread: int, ny: int, nx: int, threads: int, zero_signal: bool, seed: int
) -> None:
    """One pass over bands and runs against the same done with one thread, and each pixel by itself."""
    rng = np.random.default_rng(seed)
    shape = nread, ny, nx
    region = (5, ny - 5, 5, nx - 5)
    inner = ny - 10, nx - 10
    linearity = detector.Linearity(
        tuple(rng.normal(0, 1e-6, inner).astype(np.float32) for _ in range(4)),
        rng.uniform(500, 1500, inner).astype(np.float32),
        rng.integers(0, 2, inner).astype(np.uint16) * np.uint16(8),
        rng.uniform(90, 110, inner).astype(np.float32),
        np.ones(inner, np.float32),
    )
    sci = np.cumsum(rng.uniform(50, 400, shape), axis=0).astype(np.float32)
    dq = (rng.random(shape) < 0.02).astype(np.uint16) * np.uint16(256)

    def done(threads: int) -> list[np.ndarray]:
        planes = [sci.copy(), np.zeros(shape, np.float32), dq.copy()]
        detector.calibrate_reads(
            *planes,
            region,
            zero_signal=zero_signal,
            zero_offset=True,
            noise=[True] * nread,
            amps=([2.3, 2.4, 2.5, 2.6], [20.0] * 4, (ny // 2, nx // 2)),
            linearity=linearity,
            linearize=True,
            threads=threads,
        )
        return planes

    one, many = done(1), done(threads)
    assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))
    # Saturated once, a pixel stays so.
    saturated = (one[2] & 256) != 0
    assert not np.any(saturated[:-1] & ~saturated[1:])
    assert not one[1][:, :5].any()


def test_a_dark_of_any_sequence_is_interpolated(raw: Path, refs: Path, out: Path) -> None:
    """SAMP_SEQ = NONE: darks that match are taken as they are, others lie between two, or are scaled."""
    from upramp.wfc3ir.reference_files import load, load_dark, read_images

    nominal = upramp.calibrate_file(raw, out, refs=Refs(refs))
    dark = refs / "sim_spars25_sq64sub_drk.fits"
    for path in (raw, dark):
        fits.setval(path, "SAMP_SEQ", value="NONE")
    same = upramp.calibrate_file(raw, out, refs=Refs(refs), names=(out / "n_ima.fits", out / "n_flt.fits"))
    assert np.array_equal(fits.getdata(nominal.flt), fits.getdata(same.flt))
    ramp, images = upramp.read_ramp(raw), load(Refs(refs), dark, read_images)
    times = np.array([images.primary[f"EXPOS_{i}"] for i in range(16, 0, -1)])
    asked = times.copy()
    asked[1:] += 5.0
    found = load_dark(ramp, images, dark, asked).reads
    stored = [images.planes["SCI", 16 - r] for r in range(16)]
    share = np.float32((asked[5] - times[5]) / (times[6] - times[5]))
    expected = stored[5] + (stored[6] - stored[5]) * share
    np.testing.assert_allclose(found[5].sci, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found[15].sci, stored[15] * np.float32(asked[15] / times[15]))
    # The reference program takes the last shorter and the first longer one as they are listed.
    share = np.float32((asked[5] - times[0]) / (times[15] - times[0]))
    expected = stored[0] + (stored[15] - stored[0]) * share
    parity = load_dark(ramp, images, dark, asked[:-1], parity=True).reads
    np.testing.assert_allclose(parity[5].sci, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mjd", [54000.0, 54900.0, 56000.5, 57000.0, 61000.0])
def test_photometry_follows_the_date_and_beyond_its_ends(refs: Path, mjd: float) -> None:
    from upramp.wfc3ir.photometry import load_photometry, photometry

    path = refs / "sim_imp.fits"
    table = load_photometry(Refs(refs), path)
    found = photometry(f"WFC3 IR F160W MJD#{mjd:.4f}", table, path)
    row = next(row for row in table[1][0] if row["OBSMODE"].strip() == "wfc3,ir,f160w,mjd#")
    x, y = np.array(row["PAR1VALUES"]), np.array(row["PHOTFLAM1"])
    pair = slice(0, 2) if mjd < x[1] else slice(1, 3)
    assert found["PHOTFLAM"] == pytest.approx(np.polyval(np.polyfit(x[pair], y[pair], 1), mjd), rel=1e-9)
    assert found["PHOTFNU"] == pytest.approx(3.33564e4 * found["PHOTFLAM"] * found["PHOTPLAM"] ** 2)
    with pytest.raises(upramp.ReferenceFileError, match="no row for"):
        photometry("WFC3 IR F999W MJD#55000.0", table, path)
    table[0]["EXTRAP"] = False
    if not 54900 <= mjd <= 60000:
        with pytest.raises(upramp.ReferenceFileError, match="is outside of"):
            photometry(f"WFC3 IR F160W MJD#{mjd:.4f}", table, path)
