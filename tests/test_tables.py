"""Tables of exposures and reads, and ``upramp ls``: against NumPy and against the headers."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from upramp.cli import main
from upramp.exceptions import InputError
from upramp.wfc3ir.exposure import read_ramp
from upramp.wfc3ir.tables import interval_medians, interval_rates, inventory, sample_table, strips

FIELD = np.s_[5:-5, 5:-5]


def golden(shared, kind):
    return shared / "golden/wf3ir/s64_helium" / f"isim01aaq_{kind}.fits.gz"


def plain_intervals(ramp):
    """(C_k - C_(k-1)) / dt_k in float64, read by read, with C_0 = 0."""
    totals = [np.zeros(ramp.sci.shape[1:])]
    for read in range(1, ramp.nread):
        totals.append(ramp.sci[read].astype(float) * (ramp.times[read] if ramp.is_rate else 1.0))
    return np.diff(totals, axis=0) / np.diff(ramp.times)[:, None, None]


# --- rates between reads -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ibxy01z8q", "ibh726meq"])  # electrons per second, electrons
def test_interval_rates_of_real_exposures(shared, name):
    ramp = read_ramp(shared / f"data/wfc3ir/{name}_ima.fits.gz")
    expected = plain_intervals(ramp)
    got = interval_rates(ramp)
    assert got.dtype == np.float32
    # Differences of float32 totals of up to 1e5 over 0.28 s.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=np.abs(expected).max() * 1e-6)


def test_raw_intervals_are_differences_of_stored_counts(shared):
    ramp = read_ramp(golden(shared, "raw"))
    expected = np.diff(ramp.sci.astype(float), axis=0) / np.diff(ramp.times)[:, None, None]
    np.testing.assert_allclose(interval_rates(ramp), expected, rtol=1e-5, atol=0.2)
    assert np.abs(np.median(interval_rates(ramp), axis=(1, 2))).max() < 5  # not the offset of 11462 counts


def test_zeroth_read_counts_as_zero(ima):
    ramp = read_ramp(ima)
    loud = ramp.sci.copy()
    loud[0] = 1e6
    np.testing.assert_array_equal(interval_rates(ramp.with_(sci=loud)), interval_rates(ramp))


def test_medians_follow_the_simulated_background(helium, ima):
    expected = np.median(helium.rate[FIELD]) + helium.background[1:]
    # 128 x 128 pixels of about 30 electrons noise: 0.5 e- over the length of the interval.
    tolerance = 1.5 / np.diff(helium.times) + 0.05 * expected
    assert (np.abs(interval_medians(read_ramp(ima)) - expected) < tolerance).all()


@pytest.mark.parametrize(("bit", "rejected"), [(1024, 0), (2048, 0), (8192, 0), (4, 1), (512, 1), (16384, 1)])
def test_flags_of_either_read_reject_a_sample(ima, bit, rejected):
    ramp = read_ramp(ima)
    sci, dq = ramp.sci.copy(), np.zeros_like(ramp.dq)
    # All but one column is bad in read 3 alone and shows an absurd level there.
    sci[3, :, 21:] = 1e5
    dq[3, :, 21:] = bit
    medians = interval_medians(ramp.with_(sci=sci, dq=dq), (slice(10, 90), slice(20, 80)))
    clean = interval_medians(ramp.with_(dq=np.zeros_like(dq)), (slice(10, 90), slice(20, 21)))
    touched = [2, 3]  # the intervals that end and begin with read 3
    if rejected:
        np.testing.assert_allclose(medians[touched], clean[touched])
    else:
        assert (np.abs(medians[touched]) > 1e4).all()


def test_medians_are_nan_without_good_pixels_and_empty_without_intervals(ima):
    ramp = read_ramp(ima)
    dead = ramp.with_(dq=np.full_like(ramp.dq, 4))
    assert np.isnan(interval_medians(dead)).all()
    single = ramp.with_(sci=ramp.sci[:1], dq=ramp.dq[:1], times=ramp.times[:1])
    assert interval_medians(single).shape == (0,)


def test_times_that_do_not_grow_are_named(ima):
    ramp = read_ramp(ima)
    times = ramp.times.copy()
    times[4] = times[3]
    with pytest.raises(InputError, match=r"_ima\.fits: SAMPTIME does not grow"):
        interval_medians(ramp.with_(times=times))


def test_strips_scale_with_the_width_and_mirror(ima):
    ramp = read_ramp(ima)
    full = ramp.with_(sci=np.broadcast_to(np.float32(0), (2, 1024, 1024)))
    left, right = strips(full)
    assert left == (slice(5, 1019), slice(45, 245))
    assert right == (slice(5, 1019), slice(779, 979))
    left, right = strips(full, (slice(100, 200), slice(300, 807)))
    assert left == (slice(100, 200), slice(320, 420))
    assert right == (slice(100, 200), slice(687, 787))
    narrow, _ = strips(full, (slice(0, 9), slice(50, 52)))
    assert narrow[1] == slice(50, 51)


# --- sample table --------------------------------------------------------------------------------


def test_sample_table_agrees_with_headers_and_numpy(shared):
    path = shared / "data/wfc3ir/ibh726meq_ima.fits.gz"
    table = sample_table(path, keys=["SAMPNUM", "routtime", "NOSUCHKW"])
    ramp = read_ramp(path)
    with fits.open(path) as hdus:
        for row in table:
            header = hdus["SCI", row["imset"]].header
            assert header["SAMPNUM"] == row["sampnum"]
            assert header["SAMPTIME"] == pytest.approx(row["samptime"])
            assert header["DELTATIM"] == pytest.approx(row["deltatim"])
            assert header["ROUTTIME"] == row["routtime"]
    assert table["nosuchkw"].mask.all()
    assert [str(table[name].unit) for name in ("samptime", "median")] == ["s", "electron / s"]
    assert table.meta["rootname"] == "ibh726meq"

    rates = plain_intervals(ramp)
    good = ((ramp.dq[1:] | ramp.dq[:-1]) & ~np.uint16(1024 | 2048 | 8192)) == 0
    left, right = slice(5 + 10, 5 + 61), slice(261 - 61, 261 - 10)  # 256 * 40 / 1014, 256 * 240 / 1014
    for name, columns in (("median", slice(5, 261)), ("left", left), ("right", right)):
        where = np.s_[5:261, columns]
        expected = [np.median(rate[where][ok[where]]) for rate, ok in zip(rates, good, strict=True)]
        assert np.isnan(table[name][0])
        np.testing.assert_allclose(table[name][1:], expected, rtol=1e-4)


def test_sample_table_takes_a_ramp_and_a_region(ima):
    region = (slice(20, 60), slice(30, 90))
    ramp = read_ramp(ima)
    table = sample_table(ramp, region=region)
    np.testing.assert_array_equal(table["median"][1:], interval_medians(ramp, region))
    np.testing.assert_array_equal(table["right"][1:], interval_medians(ramp, strips(ramp, region)[1]))


def test_a_flt_has_no_reads(shared):
    with pytest.raises(InputError, match="NSAMP is 16 but the file holds 1 imsets"):
        sample_table(golden(shared, "flt"))


# --- inventory -----------------------------------------------------------------------------------


def test_inventory_reads_content_not_names(shared, tmp_path):
    copies = []
    for kind, other in (("raw", "flt"), ("ima", "raw"), ("flt", "ima")):
        copies.append(tmp_path / f"x_{other}.fits")
        copies[-1].write_bytes(gzip.decompress(golden(shared, kind).read_bytes()))
    table = inventory(copies, keys=["nsamp", "ORIENTAT", "SAMPNUM", "NOSUCHKW"])
    assert list(table["kind"]) == ["RAW", "IMA", "FLT"]
    assert list(table["file"]) == [str(copy) for copy in copies]
    assert list(table["crcorr"]) == ["PERFORM", "COMPLETE", "COMPLETE"]
    assert list(table["bunit"]) == ["COUNTS", "ELECTRONS/S", "ELECTRONS/S"]
    assert table["nsamp"].dtype.kind == "i"
    assert list(table["nsamp"]) == [16] * 3
    assert list(table["sampnum"]) == [15] * 3  # of the SCI header of imset 1
    assert table["nosuchkw"].mask.all()
    assert str(table["exptime"].unit) == "s"
    header = fits.getheader(copies[0])
    for name in ("rootname", "targname", "filter", "samp_seq", "subtype", "exptime", "date-obs", "time-obs"):
        assert table[name][0] == header[name.upper()]


def test_inventory_does_not_read_pixels(ima, monkeypatch):
    def forbidden(*_):
        raise AssertionError("pixels were read")

    monkeypatch.setattr("upramp.io.FitsReader.read_into", forbidden)
    assert inventory([ima])["kind"][0] == "IMA"


def test_what_is_not_an_exposure_is_listed_with_gaps(tmp_path):
    path = tmp_path / "other.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 4)), name="SCI")]).writeto(path)
    table = inventory([path])
    assert all(table[name].mask[0] for name in ("rootname", "nsamp", "exptime", "bunit", "kind"))


def test_keys_of_mixed_types_become_text(tmp_path):
    paths = [tmp_path / f"{i}.fits" for i in range(3)]
    for path, value in zip(paths, (1, "one", True), strict=True):
        hdu = fits.PrimaryHDU()
        hdu.header["MIXED"] = value
        hdu.header["COUNT"] = 2
        hdu.header["SIZE"] = 2 if value == "one" else 2.5
        hdu.header["FLAG"] = value == "one"
        hdu.writeto(path)
    table = inventory(paths, keys=["MIXED", "COUNT", "SIZE", "FLAG"])
    assert list(table["mixed"]) == ["1", "one", "True"]
    assert [table[name].dtype.kind for name in ("count", "size", "flag")] == ["i", "f", "b"]
    assert list(table["flag"]) == [False, True, False]


def test_bad_files_raise_or_are_handed_over(ima, tmp_path):
    cut = tmp_path / "cut.fits"
    cut.write_bytes(ima.read_bytes()[:-5000])
    missing = tmp_path / "missing.fits"
    with pytest.raises(InputError, match=r"cut\.fits"):
        inventory([ima, cut])
    errors = []
    table = inventory([missing, ima, cut], on_error=errors.append)
    assert list(table["file"]) == [str(ima)]
    assert ["missing.fits" in str(errors[0]), "cut.fits" in str(errors[1])] == [True, True]


# --- upramp ls -----------------------------------------------------------------------------------


def test_ls_prints_one_aligned_line_per_file(shared, capsys):
    paths = [str(golden(shared, kind)) for kind in ("raw", "ima", "flt")]
    assert main(["ls", *paths, "--keys", "PROPOSID, NOSUCHKW"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == paths
    assert heading.split()[-3:] == ["kind", "proposid", "nosuchkw"]
    for line, kind in zip(lines, ("RAW", "IMA", "FLT"), strict=True):
        where = heading.index(" kind") + 1
        assert line[where : where + 3] == kind


@pytest.mark.parametrize("reads", [[], ["--reads"]])
def test_ls_goes_on_past_bad_files(ima, tmp_path, capsys, reads):
    missing = str(tmp_path / "missing.fits")
    assert main(["ls", *reads, missing, str(ima)]) == 6
    out, err = capsys.readouterr()
    assert str(ima) in out
    assert "missing.fits: cannot be read" in err
    assert main(["ls", *reads, missing]) == 3
    assert capsys.readouterr().out == ""


def test_ls_reads_lists_the_reads_and_writes_them(helium, ima, tmp_path, capsys):
    csv = tmp_path / "reads.csv"
    again = tmp_path / "again.fits"
    shutil.copy(ima, again)
    assert main(["ls", "--reads", str(ima), str(again), "--csv", str(csv)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{ima}: helium01q")
    assert lines[1].split() == ["sampnum", "imset", "samptime", "deltatim", "median", "left", "right"]
    assert lines[2].split() == ["0", str(len(helium.times)), "0.000", "0.000", "-", "-", "-"]
    assert float(lines[3].split()[2]) == pytest.approx(helium.times[1], abs=5e-4)
    written = Table.read(csv, format="ascii.csv")
    assert list(written["file"]) == [str(ima)] * len(helium.times) + [str(again)] * len(helium.times)
    np.testing.assert_allclose(written["samptime"][: len(helium.times)], helium.times)
    np.testing.assert_array_equal(written["median"][1 : len(helium.times)], interval_medians(read_ramp(ima)))


def test_ls_json_is_one_object_a_row(ima, capsys):
    assert main(["ls", "--json", str(ima), "--keys", "NOSUCHKW"]) == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["kind"], record["rootname"], record["nosuchkw"]) == ("IMA", "helium01q", None)
    assert main(["ls", "--json", "--reads", str(ima)]) == 0
    first, second, *_ = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["median"] is None
    assert second["median"] == interval_medians(read_ramp(ima))[0]


def test_ls_keeps_units_in_ecsv_and_does_not_replace_unasked(ima, tmp_path, capsys):
    path = tmp_path / "list.ecsv"
    assert main(["ls", "--quiet", str(ima), "--csv", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert str(Table.read(path, format="ascii.ecsv")["exptime"].unit) == "s"
    path.write_text("mine")
    assert main(["ls", str(ima), "--csv", str(path)]) == 2
    assert path.read_text() == "mine"
    assert main(["ls", str(ima), "--csv", str(path), "--overwrite"]) == 0
    assert path.read_text() != "mine"
