"""Bad input: a message that names it, the right exit code, nothing lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import upramp
from upramp.cli import main
from upramp.io import atomic_path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def spoil(source: Path, target: Path, kind: str) -> str:
    """Make a bad file; return what the message must contain."""
    if kind == "truncated":
        target.write_bytes(source.read_bytes()[:100_000])
        return "truncated"
    if kind == "truncated_header":
        data = source.read_bytes()
        target.write_bytes(data[: data.index(b"XTENSION") + 2000])
        return "truncated or damaged"
    if kind == "not_fits":
        target.write_text("hello\n" * 1000)
        return "not a FITS file"
    if kind == "truncated_gzip":
        import gzip

        target.write_bytes(gzip.compress(source.read_bytes())[:50_000])
        return "cannot be read"
    with fits.open(source) as hdus:
        primary = hdus[0].header
        message = {
            "missing_extension": "extension DQ,3 is missing",
            "instrument": "INSTRUME is ACS, expected WFC3",
            "detector": "DETECTOR is UVIS, expected IR",
            "nan": r"SCI,2\]: holds only NaN",
            "nsamp": "NSAMP is 17 but the file holds 16 imsets",
            "nsamp_text": "NSAMP is 'many'",
            "shapes": r"ERR,4\]: shape is \(138, 130\), expected \(138, 138\)",
            "bunit": "BUNIT is 'FURLONGS'",
            "samptime": r"SCI,5\]: SAMPTIME is None",
            "switch": "FLATCORR is 'MAYBE'",
        }[kind]
        if kind == "missing_extension":
            del hdus["DQ", 3]
        elif kind == "instrument":
            primary["INSTRUME"] = "ACS"
        elif kind == "detector":
            primary["DETECTOR"] = "UVIS"
        elif kind == "nan":
            hdus["SCI", 2].data[:] = np.nan
        elif kind == "nsamp":
            primary["NSAMP"] = 17
        elif kind == "nsamp_text":
            primary["NSAMP"] = "many"
        elif kind == "shapes":
            hdus["ERR", 4].data = hdus["ERR", 4].data[:, :130].copy()
        elif kind == "bunit":
            hdus["SCI", 1].header["BUNIT"] = "FURLONGS"
        elif kind == "samptime":
            del hdus["SCI", 5].header["SAMPTIME"]
        elif kind == "switch":
            primary["FLATCORR"] = "MAYBE"
        hdus.writeto(target)
    return message


KINDS = [
    "truncated",
    "truncated_header",
    "not_fits",
    "truncated_gzip",
    "missing_extension",
    "instrument",
    "detector",
    "nan",
    "nsamp",
    "nsamp_text",
    "shapes",
    "bunit",
    "samptime",
    "switch",
]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_named_and_left_alone(
    kind: str, ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad_ima.fits"
    message = spoil(ima, bad, kind)
    before = digest(bad)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(upramp.InputError, match=message) as caught:
        upramp.fix_file(bad, out)
    assert "bad_ima.fits" in str(caught.value)
    assert main(["fix", str(bad), "-o", str(out)]) == 3
    assert "bad_ima.fits" in capsys.readouterr().err
    assert digest(bad) == before
    assert not list(out.iterdir())


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", str(tmp_path / "none_ima.fits"), "-o", str(tmp_path)]) == 3
    assert "none_ima.fits" in capsys.readouterr().err


def test_fewer_reads_than_imsets_are_taken_with_a_warning(ima: Path, tmp_path: Path) -> None:
    fits.setval(ima, "NSAMP", value=5)
    with pytest.warns(UserWarning, match="using imsets 1 to 5"):
        ramp = upramp.read_ramp(ima)
    assert ramp.nread == 5


def test_zero_reads_left(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="excluded is every read after the zeroth"):
        upramp.fit_ramp(upramp.read_ramp(ima), exclude="1-15")
    assert main(["fix", str(ima), "-o", str(tmp_path), "--exclude", "1-15"]) == 2
    assert not list(tmp_path.glob("*.fits"))


@pytest.mark.parametrize("reads", ["16", "imset:17", "-1", "a-b"])
def test_reads_that_are_not_there(ima: Path, reads: str) -> None:
    with pytest.raises(ValueError, match="read"):
        upramp.fit_ramp(upramp.read_ramp(ima), exclude=reads)


def test_existing_output_is_kept(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    existing = tmp_path / "helium01q_flt.fits"
    existing.write_text("precious")
    assert main(["fix", str(ima), "-o", str(tmp_path)]) == 2
    assert "helium01q_flt.fits: exists already" in capsys.readouterr().err
    assert existing.read_text() == "precious"
    assert not (tmp_path / "helium01q_ima.fits").exists()
    assert main(["fix", str(ima), "-o", str(tmp_path), "--overwrite"]) == 0
    assert fits.getval(existing, "TVBMETH") == "flatten"


def test_an_input_is_never_replaced(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digest(ima)
    assert main(["fix", str(ima), "-o", str(ima.parent), "--overwrite"]) == 2
    assert "would replace the input" in capsys.readouterr().err
    assert digest(ima) == before


def test_output_directory_that_is_missing(ima: Path, tmp_path: Path) -> None:
    assert main(["fix", str(ima), "-o", str(tmp_path / "nowhere")]) == 2


def test_read_only_output_directory(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):  # root writes anywhere but into the kernel's own tree
        locked = Path("/proc/self")
        if not locked.is_dir():
            pytest.skip("no directory here is closed to this user")
    assert main(["fix", str(ima), "-o", str(locked)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "x.fits"

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_batch_goes_on_past_a_bad_file(
    ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad_ima.fits"
    bad.write_text("no")
    second = tmp_path / "second_ima.fits"
    shutil.copy(ima, second)
    out = tmp_path / "out"
    out.mkdir()
    assert main(["fix", str(bad), str(ima), str(second), "-o", str(out), "--jobs", "2"]) == 6
    printed = capsys.readouterr()
    assert "2 done, 0 skipped, 1 failed" in printed.out
    assert "failed: " in printed.err
    assert len(list(out.glob("*_flt.fits"))) == 2
    assert main(["fix", str(ima), str(second), "-o", str(out), "--resume"]) == 0
    assert "skipped" in capsys.readouterr().out


def test_missing_reference_has_its_own_code(ima: Path, tmp_path: Path) -> None:
    fits.setval(ima, "CRREJTAB", value="none_crr.fits")
    assert main(["cal", str(ima), "--only", "CRCORR", "-o", str(tmp_path), "--refs", str(tmp_path)]) == 4
    assert main(["cal", str(ima), "--only", "CRCORR", "-o", str(tmp_path), "--set", "CCDTAB=no.fits"]) == 4
    assert not list(tmp_path.glob("*.fits"))


def test_flatfielding_needs_its_flat(tmp_path: Path) -> None:
    from upramp.simulate import Exposure, simulate

    source = simulate(Exposure(size=64, nsamp=4, flat_fielded=False)).write(tmp_path)["ima"]
    (tmp_path / "isim01aaq_pfl.fits").unlink()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(upramp.ReferenceFileError, match=r"PFLTFILE = isim01aaq_pfl\.fits not found"):
        upramp.calibrate_file(source, out, only=["CRCORR", "FLATCORR"])


def test_nan_samples_are_left_out(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    sci, err = ramp.sci.copy(), ramp.err.copy()
    sci[4, 20, 30] = np.nan
    err[7, 21, 31] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = upramp.fit_ramp(ramp.with_(sci=sci, err=err))
    clean = upramp.fit_ramp(ramp)
    for y, x in ((15, 25), (16, 26)):
        assert np.isfinite(fit.rate[y, x])
        assert fit.samp[y, x] <= clean.samp[y, x]
    changed = fit.rate != clean.rate
    assert np.argwhere(changed).tolist() in ([[15, 25], [16, 26]], [[15, 25]], [[16, 26]])


def test_two_inputs_of_one_name_are_refused(
    ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / ima.name
    other.parent.mkdir()
    shutil.copy(ima, other)
    out = tmp_path / "out"
    out.mkdir()
    assert main(["fix", str(ima), str(other), "-o", str(out), "--jobs", "2", "--overwrite"]) == 2
    assert "would both be written to" in capsys.readouterr().err
    assert not list(out.iterdir())
