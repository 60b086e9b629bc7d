"""The simulator: what it puts in must be found in the arrays and in the files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from upramp.simulate import Exposure, Scene, simulate

FIELD = np.s_[..., 5:-5, 5:-5]
EMPTY = {"n_sources": 0, "cosmic_rays": 0.0}
GAIN = {"A": 2.34, "B": 2.37, "C": 2.31, "D": 2.38}
READ_NOISE = {"A": 20.2, "B": 19.8, "C": 19.9, "D": 20.1}


def small(**changes):
    return Exposure(**{"size": 64, "samp_seq": "SPARS25", "nsamp": 6, **changes})


def response(simulation):
    """Detected electrons per electron of the flat-fielded image, shape (size, size)."""
    gain = np.empty_like(simulation.flat)
    half = gain.shape[0] // 2
    gain[half:, :half], gain[:half, :half] = GAIN["A"], GAIN["B"]
    gain[:half, half:], gain[half:, half:] = GAIN["C"], GAIN["D"]
    return (simulation.flat * gain / 2.35)[FIELD].astype(float)


def accumulated(simulation):
    """Counts of the good light-sensitive pixels since the zeroth read, shape (nsamp, n)."""
    good = (simulation.dq[FIELD] == 0).all(axis=0)
    return (simulation.sci[FIELD] * simulation.times[:, None, None])[:, good].astype(float)


@pytest.fixture(scope="module")
def busy():
    scene = Scene(sky=1.5, helium=2.0, earth_limb=3.0, trail_read=3, cosmic_rays=300.0)
    return simulate(small(rootname="isim02abq"), scene)


@pytest.fixture(scope="module")
def written(busy, tmp_path_factory):
    return busy.write(tmp_path_factory.mktemp("written"))


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samp_seq", "size", "first", "last"),
    [  # seconds of the second and the fifteenth read after the zeroth
        ("RAPID", 1014, 5.865, 43.984),
        ("RAPID", 256, 0.556, 4.167),
        ("SPARS5", 1014, 7.933, 72.945),
        ("SPARS10", 256, 7.624, 103.136),
        ("SPARS25", 1014, 27.933, 352.940),
        ("SPARS50", 1014, 52.933, 702.938),
        ("SPARS100", 1014, 102.933, 1402.937),
        ("SPARS200", 1014, 202.932, 2802.935),
        ("STEP25", 1014, 5.865, 274.235),
        ("STEP50", 1014, 5.865, 499.234),
        ("STEP100", 1014, 5.865, 899.232),
        ("STEP200", 1014, 5.865, 1599.233),
        ("STEP400", 1014, 5.865, 2799.239),
    ],
)
def test_read_times(samp_seq, size, first, last):
    times = Exposure(samp_seq=samp_seq, size=size).times
    assert times.shape == (16,)
    assert times[0] == 0
    assert times[1] == pytest.approx({1014: 2.93229, 256: 0.277815}[size])
    assert times[2] == pytest.approx(first, abs=2e-3)
    assert times[15] == pytest.approx(last, abs=2e-2)
    np.testing.assert_array_equal(Exposure(samp_seq=samp_seq, size=size, nsamp=4).times, times[:4])


def test_step_intervals_double_up_to_the_limit():
    steps = np.diff(Exposure(samp_seq="STEP100").times)
    np.testing.assert_allclose(steps[:8], [2.93229] * 4 + [12.5, 25, 50, 100], atol=2e-3)
    np.testing.assert_allclose(steps[8:], 100, atol=2e-3)


# --- statistics ----------------------------------------------------------------------------------


def test_read_noise_of_each_amplifier():
    simulation = simulate(
        Exposure(size=256, samp_seq="RAPID", nsamp=2, flat_fielded=False), Scene(sky=0, **EMPTY)
    )
    counts = simulation.sci[1] * simulation.times[1]
    quadrants = {
        "A": np.s_[133:-5, 5:133],
        "B": np.s_[5:133, 5:133],
        "C": np.s_[5:133, 133:-5],
        "D": np.s_[133:-5, 133:-5],
    }
    for amplifier, region in quadrants.items():
        good = simulation.dq[1][region] == 0
        noise = counts[region][good].std() * GAIN[amplifier]
        # 16000 pixels: the deviation is known to 0.6 %
        assert noise == pytest.approx(READ_NOISE[amplifier], rel=0.025), amplifier
        expected = READ_NOISE[amplifier] / GAIN[amplifier] / (2.93229 - 2.654475)
        assert np.median(simulation.err[1][region]) == pytest.approx(expected, rel=0.03), amplifier


def test_noise_is_shared_and_accumulated():
    """Covariance of two reads: photons until the earlier one, and the zeroth read noise."""
    simulation = simulate(small(size=256, seed=4), Scene(sky=20.0, **EMPTY))
    times = simulation.times
    counts = accumulated(simulation)
    good = (simulation.dq[FIELD] == 0).all(axis=0)
    detected = response(simulation)[good]
    covariance = np.cov(((counts - 20.0 * times[:, None]) * detected)[1:])
    photons = (20.0 * detected.mean() + 0.05) * np.minimum.outer(times[1:], times[1:])
    np.testing.assert_allclose(covariance, photons + 200.0 * (1 + np.eye(5)), rtol=0.05)


def test_mean_rate_is_recovered():
    simulation = simulate(small(seed=5), Scene(sky=2.0, n_sources=12, cosmic_rays=0))
    good = simulation.dq[-1][FIELD] == 0
    pull = ((simulation.sci[-1] - simulation.rate)[FIELD] / simulation.err[-1][FIELD])[good]
    assert good.sum() > 4000
    assert pull.mean() == pytest.approx(0, abs=5 / np.sqrt(pull.size))
    assert pull.std() == pytest.approx(1, abs=0.1)
    assert simulation.rate[FIELD].max() > 10  # there was more than sky to recover


def test_count_rates_before_the_flat_field():
    rate = {}
    for flat_fielded in (True, False):
        exposure = small(flat_fielded=flat_fielded, size=128)
        rate[flat_fielded] = simulate(exposure, Scene(sky=30.0, **EMPTY))
    flat = rate[True].flat
    assert np.ptp(flat[FIELD]) > 0.05
    np.testing.assert_allclose(
        rate[True].sci[FIELD], (rate[False].sci / flat)[FIELD] * 2.35, rtol=2e-5, atol=1e-4
    )
    good = rate[True].dq[-1][FIELD] == 0
    assert rate[True].sci[-1][FIELD][good].mean() == pytest.approx(30.0, rel=0.005)
    assert np.corrcoef(rate[False].sci[-1][FIELD][good], flat[FIELD][good])[0, 1] > 0.3


def test_err_of_each_read():
    simulation = simulate(small(flat_fielded=False), Scene(sky=50.0, **EMPTY))
    times, sampzero = simulation.times, simulation.exposure.sampzero
    region = np.s_[5:37, 5:37]  # amplifier B
    counts = simulation.sci[3][region] * times[3] + 0.05 * times[3] / GAIN["B"]
    expected = np.sqrt(READ_NOISE["B"] ** 2 + np.abs(counts * GAIN["B"])) / GAIN["B"] / times[3]
    good = simulation.dq[3][region] == 0
    np.testing.assert_allclose(simulation.err[3][region][good], expected[good], rtol=1e-4)
    np.testing.assert_allclose(simulation.err[0][region], READ_NOISE["B"] / GAIN["B"] / sampzero, rtol=1e-5)
    assert sampzero == pytest.approx(0.061 - 0.020535)


def test_frame_of_reference_pixels_and_zeroth_read(busy):
    frame = np.ones(busy.rate.shape, bool)
    frame[FIELD] = False
    assert not busy.err[:, frame].any()
    assert not busy.rate[frame].any()
    assert (busy.flat[frame] == 1).all()
    assert busy.sci[1:, frame].std() == pytest.approx(20.0, rel=0.1)
    assert abs(busy.sci[1:, frame].mean()) < 2
    assert not busy.sci[0].any()
    assert (busy.err[0][FIELD] > 0).all()


# --- scene ---------------------------------------------------------------------------------------


def test_variable_background_reaches_the_reads():
    scene = Scene(sky=1.0, helium=30.0, helium_start=0.4, earth_limb=40.0, **EMPTY)
    simulation = simulate(small(size=128, nsamp=10, seed=2), scene)
    times = simulation.times
    added = np.diff(accumulated(simulation).mean(axis=1)) / np.diff(times)
    assert simulation.background[0] == 0
    # the first interval is too short to say anything
    assert added[1:] == pytest.approx(1.0 + simulation.background[2:], abs=0.1)
    # the airglow ends at its full value, the limb starts at its own, spread over the field
    last_gap = (times[-1] - times[-2]) / (0.6 * times[-1])
    assert simulation.background[-1] == pytest.approx(30 * (1 - last_gap / 2), abs=0.3)
    assert simulation.background[1] == pytest.approx(40 * 0.28 * (1 - np.exp(-1 / 0.28)), rel=0.02)


def test_earth_limb_falls_in_x_and_fades():
    simulation = simulate(small(nsamp=10), Scene(sky=0, earth_limb=100.0, **EMPTY))
    counts = simulation.sci[FIELD] * simulation.times[:, None, None]
    early, late = counts[2], counts[-1] - counts[-2]
    assert np.median(early[:, :8]) > 5 * np.median(early[:, -8:])
    assert np.median(late[:, :8]) < 0.1 * np.median(early[:, :8])


def test_trail_falls_in_its_read():
    plain, crossed = (simulate(small(), Scene(trail_read=read, trail_electrons=3000.0)) for read in (None, 3))
    times = plain.times[:, None, None]
    difference = ((crossed.sci - plain.sci) * times)[FIELD]
    assert not difference[:3].any()
    good = (plain.dq[FIELD] == 0).all(axis=0)
    for read in (3, 4, 5):
        peak = np.where(good, difference[read], 0).max(axis=1)  # every row or column is crossed
        assert np.count_nonzero(peak > 2000) > 20
        assert np.median(difference[read]) < 500
    np.testing.assert_array_equal(plain.hits, crossed.hits)


def test_hits_are_steps_at_their_read():
    scene = Scene(sky=0.5, n_sources=0, cosmic_rays=300.0)
    simulation = simulate(small(size=128, seed=7, flat_fielded=False), scene)
    hits, dq = simulation.hits, simulation.dq
    # pixels struck once, hard, and otherwise good
    place = hits["y"].astype(int) * 138 + hits["x"]
    _, index, count = np.unique(place, return_index=True, return_counts=True)
    lone = hits[index[count == 1]]
    lone = lone[(lone["electrons"] > 500) & (dq[:, lone["y"], lone["x"]] == 0).all(axis=0)]
    assert len(lone) > 100
    gain = np.array([[GAIN["B"], GAIN["C"]], [GAIN["A"], GAIN["D"]]])[lone["y"] // 69, lone["x"] // 69]
    counts = simulation.sci[:, lone["y"], lone["x"]] * simulation.times[:, None] * gain
    increments = np.diff(counts, axis=0)
    rows = np.arange(len(lone))
    step = increments[lone["read"] - 1, rows]
    pull = (step - 0.5 * np.diff(simulation.times)[lone["read"] - 1] - lone["electrons"]) / 21
    assert np.abs(pull).max() < 6
    increments[lone["read"] - 1, rows] = 0
    assert np.abs(increments).max() < 150
    time = simulation.times
    assert ((time[hits["read"] - 1] <= hits["time"]) & (hits["time"] <= time[hits["read"]])).all()


def test_number_and_shape_of_hits():
    hits = simulate(Exposure(size=512, samp_seq="SPARS50", nsamp=8), Scene(n_sources=0)).hits
    expected = 11 * (512 / 1014) ** 2 * Exposure(size=512, samp_seq="SPARS50", nsamp=8).times[-1]
    events = np.unique(hits["time"]).size
    assert events == pytest.approx(expected, abs=5 * np.sqrt(expected))
    assert 1.5 < len(hits) / events < 4
    assert hits["x"].min() >= 5
    assert hits["x"].max() < 517
    assert (hits["electrons"] > 0).all()
    assert hits["electrons"].max() <= 50000


def test_saturation_is_flagged_from_then_on():
    simulation = simulate(small(), Scene(sky=1500.0, **EMPTY))
    saturated = (simulation.dq[FIELD] & 256) > 0
    share = saturated.mean(axis=(1, 2))
    # 1500 e-/s reach 80000 e- after 53 s, between the third and the fourth read
    expected = np.where(simulation.times * 1500 > 80000, 1.0, 0.0)
    assert 0 < expected.sum() < 6
    np.testing.assert_allclose(share, expected, atol=0.005)
    assert (np.diff(saturated.astype(int), axis=0) >= 0).all()
    held = simulation.sci[-1][FIELD] * simulation.times[-1] * response(simulation)
    good = simulation.dq[-1][FIELD] == 256
    assert np.median(held[good]) == pytest.approx(80000 - 1500 * 0.04, rel=0.002)


def test_bad_pixels():
    simulation = simulate(Exposure(nsamp=2, samp_seq="RAPID"), Scene(sky=30.0, **EMPTY))
    static = simulation.dq[0][FIELD]
    assert set(np.unique(static)) == {0, 4, 16, 32}
    assert (static > 0).mean() == pytest.approx(0.01, abs=0.001)
    counts = simulation.sci[1][FIELD] * simulation.times[1]
    assert counts[static == 4].mean() == pytest.approx(0, abs=3)
    assert counts[static == 0].mean() == pytest.approx(30 * 2.93229, rel=0.01)
    assert counts[static == 32].std() > 100


# --- determinism ---------------------------------------------------------------------------------


def test_same_arguments_same_bytes(busy, written, tmp_path):
    again = simulate(busy.exposure, busy.scene).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written.values()}
    for suffix, path in written.items():
        assert again[suffix].read_bytes() == path.read_bytes()


def test_another_seed_is_another_exposure_of_the_same_detector():
    one, two = (simulate(small(seed=seed), Scene()) for seed in (1, 2))
    assert (one.sci[1][FIELD] != two.sci[1][FIELD]).mean() > 0.9
    assert (one.rate != two.rate).any()
    np.testing.assert_array_equal(one.flat, two.flat)
    np.testing.assert_array_equal(one.dq[0], two.dq[0])


def test_subarray_sees_the_pixels_of_the_full_frame():
    full = simulate(Exposure(nsamp=2), Scene(**EMPTY))
    part = simulate(Exposure(nsamp=2, size=128), Scene(**EMPTY))
    corner = 5 + (1014 - 128) // 2
    section = np.s_[corner : corner + 128, corner : corner + 128]
    np.testing.assert_array_equal(part.flat[FIELD], full.flat[section])
    np.testing.assert_array_equal(part.dq[0][FIELD], full.dq[0][section])


# --- files ---------------------------------------------------------------------------------------


def test_imsets_are_in_reverse_order_of_time(busy, written):
    with fits.open(written["ima"]) as hdus:
        assert len(hdus) == 1 + 5 * 6 == 1 + hdus[0].header["NEXTEND"]
        assert [hdu.name for hdu in hdus[1:]] == ["SCI", "ERR", "DQ", "SAMP", "TIME"] * 6
        for version in range(1, 7):
            read = 6 - version
            header = hdus["SCI", version].header
            assert header["SAMPNUM"] == read
            assert header["SAMPTIME"] == busy.times[read]
            gap = busy.times[read] - busy.times[read - 1] if read else 0
            assert header["DELTATIM"] == pytest.approx(gap, abs=1e-6)
            np.testing.assert_array_equal(hdus["SCI", version].data, busy.sci[read])
            np.testing.assert_array_equal(hdus["ERR", version].data, busy.err[read])
            np.testing.assert_array_equal(hdus["DQ", version].data, busy.dq[read])
            assert hdus["DQ", version].header["BITPIX"] == 16
            assert "BZERO" not in hdus["DQ", version].header


def test_samp_and_time_are_null_extensions(busy, written):
    with fits.open(written["ima"]) as hdus:
        for version in range(1, 7):
            for name, value, bitpix in (("SAMP", 7 - version, 16), ("TIME", busy.times[6 - version], -32)):
                header = hdus[name, version].header
                assert hdus[name, version].data is None
                assert (header["NAXIS"], header["BITPIX"]) == (0, bitpix)
                assert (header["NPIX1"], header["NPIX2"]) == (74, 74)
                assert header["PIXVALUE"] == pytest.approx(value, rel=1e-7)


def test_primary_header(written):
    header = fits.getheader(written["ima"])
    expected = {
        "TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "ROOTNAME": "isim02abq",
        "FILENAME": "isim02abq_ima.fits", "FILETYPE": "SCI", "FILTER": "F105W", "SAMP_SEQ": "SPARS25",
        "NSAMP": 6, "SUBTYPE": "SQ64SUB", "SUBARRAY": True, "OBSTYPE": "IMAGING", "IMAGETYP": "EXT",
        "CRCORR": "OMIT", "FLATCORR": "COMPLETE", "UNITCORR": "COMPLETE", "NLINCORR": "COMPLETE",
        "PFLTFILE": "isim02abq_pfl.fits", "DFLTFILE": "N/A", "ASN_ID": "NONE", "CCDAMP": "ABCD",
        "CCDGAIN": 2.5, "ATODGNC": 2.31, "READNSEA": 20.2,
    }  # fmt: skip
    assert {key: header[key] for key in expected} == expected
    assert header["EXPEND"] - header["EXPSTART"] == pytest.approx(header["EXPTIME"] / 86400, rel=1e-5)
    assert written["pfl"].name == header["PFLTFILE"]


@pytest.mark.parametrize(
    ("flat_fielded", "switch", "unit"), [(True, "COMPLETE", "ELECTRONS/S"), (False, "OMIT", "COUNTS/S")]
)
def test_unit_follows_the_flat_switch(tmp_path, flat_fielded, switch, unit):
    exposure = small(nsamp=2, flat_fielded=flat_fielded)
    with fits.open(simulate(exposure).write(tmp_path)["ima"]) as hdus:
        assert hdus[0].header["FLATCORR"] == switch
        assert hdus["SCI", 1].header["BUNIT"] == hdus["ERR", 2].header["BUNIT"] == unit


@pytest.mark.parametrize(("size", "ltv"), [(1014, 5), (512, -246), (256, -374), (128, -438), (64, -470)])
def test_offset_of_the_field(tmp_path, size, ltv):
    paths = simulate(Exposure(size=size, nsamp=2), Scene(**EMPTY)).write(tmp_path)
    for suffix in ("ima", "pfl"):
        header = fits.getheader(paths[suffix], "SCI", 1)
        assert (header["LTV1"], header["LTV2"], header["LTM1_1"], header["LTM2_2"]) == (ltv, ltv, 1, 1)
        assert header["NAXIS1"] == size + 10


def test_reference_flat(busy, written):
    with fits.open(written["pfl"]) as hdus:
        assert hdus[0].header["FILETYPE"] == "PIXEL-TO-PIXEL FLAT"
        assert (hdus[0].header["DETECTOR"], hdus[0].header["FILTER"]) == ("IR", "F105W")
        assert hdus[0].header["PEDIGREE"] != "DUMMY"
        assert hdus[0].header["DESCRIP"]
        assert [hdu.name for hdu in hdus[1:]] == ["SCI", "ERR", "DQ"]
        np.testing.assert_array_equal(hdus["SCI"].data, busy.flat)
        assert hdus["DQ"].data.dtype.kind == "i"


def test_truth_file(busy, written):
    with fits.open(written["truth"]) as hdus:
        np.testing.assert_array_equal(hdus["RATE"].data, busy.rate)
        np.testing.assert_array_equal(hdus["FLAT"].data, busy.flat)
        assert len(busy.hits) > 50
        for name in ("read", "y", "x", "electrons", "time"):
            np.testing.assert_array_equal(hdus["HITS"].data[name], busy.hits[name])
        np.testing.assert_array_equal(hdus["READS"].data["SAMPNUM"], np.arange(6))
        np.testing.assert_array_equal(hdus["READS"].data["SAMPTIME"], busy.times)
        np.testing.assert_array_equal(hdus["READS"].data["BACKGROUND"], busy.background)


def test_files_obey_the_standard(written):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in written.values():
            with fits.open(path) as hdus:
                hdus.verify("exception")
        wcs = WCS(fits.getheader(written["ima"], "SCI", 1))
    scale = 0.128254 / 3600
    np.testing.assert_allclose(wcs.proj_plane_pixel_scales()[0].to_value("deg"), scale, rtol=1e-4)
    assert np.linalg.det(wcs.wcs.cd) < 0  # east to the left of north


def test_empty_table_of_hits_can_be_written(tmp_path):
    path = simulate(small(nsamp=2), Scene(**EMPTY)).write(tmp_path)["truth"]
    assert len(fits.getdata(path, "HITS")) == 0


@pytest.mark.parametrize("existing", ["ima", "pfl", "truth"])
def test_existing_files_are_kept(tmp_path, existing):
    simulation = simulate(small(nsamp=2))
    path = tmp_path / f"isim01aaq_{existing}.fits"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=path.name):
        simulation.write(tmp_path)
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]  # all or none
    paths = simulation.write(tmp_path, overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())
    assert fits.getheader(path)["SIMPLE"] is True


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rootname", "../escape"), ("rootname", ""), ("filter", "F606W"), ("samp_seq", "SPARS15"),
        ("nsamp", 1), ("nsamp", 17), ("nsamp", 4.0), ("nsamp", True), ("size", 100), ("size", 64.0),
        ("seed", -1), ("seed", "1"), ("flat_fielded", "no"),
    ],
)  # fmt: skip
def test_bad_exposure(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: got .*, expected ") as caught:
        Exposure(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sky", -1.0), ("sky", float("nan")), ("sky", "bright"), ("n_sources", -1), ("n_sources", 2.5),
        ("helium", float("inf")), ("helium_start", 1.0), ("helium_start", -0.1), ("earth_limb", -2),
        ("earth_limb_fade", 0.0), ("trail_read", 0), ("trail_read", 1.0), ("trail_electrons", -1),
        ("cosmic_rays", -1),
    ],
)  # fmt: skip
def test_bad_scene(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: got .*, expected ") as caught:
        Scene(**{name: value})
    assert repr(value) in str(caught.value)


def test_trail_beyond_the_last_read():
    with pytest.raises(ValueError, match="trail_read: got 6, expected None or 1 to 5"):
        simulate(small(), Scene(trail_read=6))


def test_numpy_numbers_are_numbers():
    exposure = small(nsamp=np.int64(3), seed=np.uint32(1))
    scene = Scene(sky=np.float32(0.5), n_sources=np.int16(4))
    np.testing.assert_array_equal(
        simulate(exposure, scene).sci, simulate(small(nsamp=3), Scene(sky=0.5, n_sources=4)).sci
    )
