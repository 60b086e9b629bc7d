"""Reading and writing exposures."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import upramp
from planes import differences
from upramp.io import FitsReader
from upramp.io.writer import _Pieces
from upramp.simulate import Exposure, Simulation, simulate

if sys.platform == "linux":
    import fcntl


def test_reads_come_in_time_order_with_their_numbers(helium: Simulation, ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    assert np.array_equal(ramp.sci, helium.sci)
    assert np.array_equal(ramp.err, helium.err)
    assert np.array_equal(ramp.dq, helium.dq)
    np.testing.assert_allclose(ramp.times, helium.times, rtol=1e-6)
    assert ramp.sampnum.tolist() == list(range(16))
    assert ramp.imset.tolist() == list(range(16, 0, -1))
    assert ramp.header("SCI", 3)["SAMPNUM"] == 3
    assert (ramp.samp.ndim, ramp.time.ndim) == (1, 1)


@pytest.mark.parametrize("nsamp", [2, 3, 7, 16])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_any_nsamp_and_subarray_survives_a_round_trip(tmp_path: Path, nsamp: int, size: int) -> None:
    source = simulate(Exposure(nsamp=nsamp, size=size, samp_seq="STEP50")).write(tmp_path)["ima"]
    upramp.write_ima(tmp_path / "copy.fits", upramp.read_ramp(source))
    assert differences(tmp_path / "copy.fits", source) == {}


@pytest.mark.parametrize("piece", [2880, 4096, 1 << 20])
def test_pieces_of_any_size_make_the_same_file(
    ima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("upramp.io.writer.PIECE", piece)
    upramp.write_ima(tmp_path / "copy.fits", upramp.read_ramp(ima))
    assert differences(tmp_path / "copy.fits", ima) == {}


class Reluctant(io.FileIO):
    """A file that takes little at a time, and refuses what a disk might when the cache is passed by."""

    refused = 0

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if sys.platform == "linux" and fcntl.fcntl(self, fcntl.F_GETFL) & os.O_DIRECT:
            self.refused += 1
            raise OSError(errno.EINVAL, "not a whole number of pages")
        return super().write(view[:1000])


def test_what_the_disk_refuses_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upramp.io.writer.PIECE", 4096)
    image = np.arange(5000, dtype=np.float32)
    with Reluctant(tmp_path / "image", "w") as stream, _Pieces(stream) as pieces:
        for _ in range(3):
            pieces.put_swapped(image)
        pieces.finish()
    assert stream.refused <= 1
    assert (tmp_path / "image").read_bytes() == 3 * image.astype(">f4").tobytes()


class Full(io.FileIO):
    """A file on a disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("count", [100, 5000])
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("upramp.io.writer.PIECE", 4096)
    image = np.arange(count, dtype=np.float32)

    def write() -> None:
        with Full(tmp_path / "image", "w") as stream, _Pieces(stream) as pieces:
            pieces.put_swapped(image)
            pieces.finish()

    with pytest.raises(OSError, match="No space left"):
        write()


@pytest.mark.parametrize("size", [512, 1014])
def test_large_frames(tmp_path: Path, size: int) -> None:
    source = simulate(Exposure(nsamp=2, size=size)).write(tmp_path)["ima"]
    ramp = upramp.read_ramp(source)
    assert ramp.sci.shape == (2, size + 10, size + 10)


def test_a_single_read_can_be_read_but_not_fitted(ima: Path, tmp_path: Path) -> None:
    with fits.open(ima) as hdus:
        hdus[0].header["NSAMP"] = 1
        fits.HDUList(hdus[:6]).writeto(tmp_path / "one_ima.fits")
    ramp = upramp.read_ramp(tmp_path / "one_ima.fits")
    assert ramp.nread == 1
    with pytest.raises(upramp.InputError, match="NSAMP is 1"):
        upramp.fit_ramp(ramp)


@pytest.mark.parametrize("packing", ["gz", "fz"])
def test_compressed_input(ima: Path, tmp_path: Path, packing: str) -> None:
    packed = tmp_path / f"x_ima.fits.{packing}"
    if packing == "gz":
        packed.write_bytes(gzip.compress(ima.read_bytes()))
    else:
        with fits.open(ima) as hdus:
            made = [fits.PrimaryHDU(header=hdus[0].header)]
            for hdu in hdus[1:]:
                if hdu.data is None:
                    made.append(hdu.copy())
                else:
                    compressed = fits.CompImageHDU(
                        hdu.data, hdu.header, compression_type="GZIP_1", quantize_level=0
                    )
                    made.append(compressed)
            fits.HDUList(made).writeto(packed)
    ours, plain = upramp.read_ramp(packed), upramp.read_ramp(ima)
    for name in ("sci", "err", "dq", "samp", "time", "times"):
        assert np.array_equal(getattr(ours, name), getattr(plain, name)), name


def test_raw_words_are_scaled(tmp_path: Path, shared: Path) -> None:
    source = shared / "golden" / "wf3ir" / "s64_nominal" / "isim01aaq_raw.fits.gz"
    ramp = upramp.read_ramp(source)
    with fits.open(source) as hdus:
        assert np.array_equal(ramp.sci[0], hdus["SCI", 16].data.astype(np.float32))
    assert ramp.unit == "COUNTS"


def test_real_file_keeps_every_card(shared: Path, tmp_path: Path) -> None:
    """Order, type and text of everything that was in the file; only what is meant to change does."""
    source = shared / "data" / "wfc3ir" / "ibxy01z8q_ima.fits.gz"
    done = upramp.calibrate_file(source, tmp_path, only=["CRCORR"])
    meant = {"NEXTEND", "FILENAME", "BUNIT", "PIXVALUE", "UPRVERS"}
    meant |= {f"{a}{b}" for a in ("GOOD", "SNR") for b in ("MEAN", "MIN", "MAX")} | {"NGOODPIX"}
    with fits.open(source) as before, fits.open(done.ima) as after:
        assert [(h.name, h.ver, type(h)) for h in before] == [(h.name, h.ver, type(h)) for h in after]
        for old, new in zip(before, after, strict=True):
            kept = [card.image for card in old.header.cards if card.keyword not in meant]
            there = [card.image for card in new.header.cards if card.keyword not in meant]
            assert there[: len(kept)] == kept
        assert any("CRCORR complete." in line for line in after[0].header["HISTORY"][-3:])
    with fits.open(source) as before, fits.open(done.flt) as flt:
        assert [h.name for h in flt] == ["PRIMARY", "SCI", "ERR", "DQ", "SAMP", "TIME"]
        for key in ("LTV1", "LTV2", "CRPIX1", "CRPIX2"):
            assert flt["SCI"].header[key] == before["SCI", 1].header[key] - 5
        assert flt["SCI"].data.dtype == np.dtype(">f4")
        assert flt["DQ"].data.dtype == np.dtype(">i2")
        assert flt[0].header["NEXTEND"] == 5


def test_units(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    assert ramp.rate is ramp.sci
    counts = ramp.with_(sci=ramp.counts, unit="ELECTRONS")
    np.testing.assert_allclose(counts.rate[1:], ramp.sci[1:], rtol=3e-7)
    assert counts.counts is counts.sci


def test_representations_tell_what_it_is(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    assert "SPARS100, 16 reads" in repr(ramp)
    page = ramp._repr_html_()
    assert page.startswith("<table>")
    assert "ELECTRONS/S" in page


def test_changed_constants_are_written_to_the_last_bit(ima: Path, tmp_path: Path) -> None:
    ramp = upramp.read_ramp(ima)
    time = ramp.time.copy()
    time[3] = np.nextafter(time[3], np.float32(1e6))
    upramp.write_ima(tmp_path / "x_ima.fits", ramp.with_(time=time))
    again = upramp.read_ramp(tmp_path / "x_ima.fits")
    assert again.time[3] == time[3]
    assert again.headers["TIME", 13]["NAXIS"] == 0


@pytest.mark.parametrize("packing", ["", "gz", "fz"])
def test_planes_outlive_their_file_however_it_is_packed(ima: Path, tmp_path: Path, packing: str) -> None:
    name = tmp_path / f"x_ima.fits.{packing}".rstrip(".")
    with fits.open(ima) as hdus:
        sci, dq = hdus["SCI", 2].data.astype(np.float32), hdus["DQ", 2].data.astype(np.uint16)
        where = hdus.index_of(("SCI", 2)), hdus.index_of(("DQ", 2))
        if packing == "fz":
            packed = [
                unit
                if unit.data is None
                else fits.CompImageHDU(unit.data, unit.header, compression_type="GZIP_2", quantize_level=0)
                for unit in hdus[1:]
            ]
            fits.HDUList([hdus[0], *packed]).writeto(name)
    if packing != "fz":
        name.write_bytes(gzip.compress(ima.read_bytes()) if packing else ima.read_bytes())
    with FitsReader(name) as reader:
        found = [
            reader.plane(index, dtype) for index, dtype in zip(where, (np.float32, np.uint16), strict=True)
        ]
        # Another type than the file's has to be made.
        wider = reader.plane(where[0], np.float64)
    name.unlink()
    for got, expected in ((found[0], sci), (found[1], dq), (wider, sci.astype(np.float64))):
        assert got.dtype.newbyteorder("=") == expected.dtype
        assert np.array_equal(got, expected)
        with pytest.raises(ValueError, match="read-only"):
            got[0, 0] = 1
    # Only what lies in the file just so is left in its byte order.
    assert [plane.dtype.isnative for plane in (*found, wider)] == [packing == "fz", packing == "fz", True]
