"""FITS files of a simulated exposure, laid out as those of WFC3/IR."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.io import atomic_path, fits
from upramp.simulate.detector import BORDER, FLAT_ERROR, GAIN, READ_NOISE, Exposure
from upramp.simulate.scene import FULL_SIZE

if TYPE_CHECKING:
    from upramp.simulate.detector import Simulation

__all__ = ["write_simulation"]

EXPSTART = 57500.25  # MJD of DATE-OBS and TIME-OBS below
RA, DEC = 150.1163, 2.2010
ORIENTATION = 31.7
PIXEL_SCALE = 0.128254  # arcsec
SECONDS_PER_DAY = 86400.0
STEPS = (
    *("DQICORR", "ZSIGCORR", "ZOFFCORR", "DARKCORR", "BLEVCORR", "NLINCORR", "FLATCORR"),
    *("CRCORR", "UNITCORR", "PHOTCORR", "RPTCORR", "DRIZCORR"),
)
REFERENCES = (
    *("BPIXTAB", "CCDTAB", "OSCNTAB", "CRREJTAB", "DARKFILE", "NLINFILE", "PFLTFILE", "DFLTFILE"),
    *("LFLTFILE", "GRAPHTAB", "COMPTAB", "IMPHTTAB", "IDCTAB", "DGEOFILE", "MDRIZTAB"),
)

Cards = dict[str, Any]


def _name(exposure: Exposure, suffix: str) -> str:
    return f"{exposure.rootname}_{suffix}.fits"


def _primary_cards(exposure: Exposure) -> Cards:
    duration = float(exposure.times[-1])
    size = exposure.size
    omitted = {"CRCORR", "RPTCORR", "DRIZCORR"} | (set() if exposure.flat_fielded else {"FLATCORR"})
    return {
        "NEXTEND": 5 * exposure.nsamp,
        "FILENAME": _name(exposure, "ima"),
        "FILETYPE": "SCI",
        "TELESCOP": "HST",
        "INSTRUME": "WFC3",
        "EQUINOX": 2000.0,
        "ROOTNAME": exposure.rootname,
        "IMAGETYP": "EXT",
        "PRIMESI": "WFC3",
        "TARGNAME": "SIMULATED-FIELD",
        "RA_TARG": RA,
        "DEC_TARG": DEC,
        "PROPOSID": 99999,
        "DATE-OBS": "2016-04-22",
        "TIME-OBS": "06:00:00",
        "EXPSTART": EXPSTART,
        "EXPEND": EXPSTART + duration / SECONDS_PER_DAY,
        "EXPTIME": duration,
        "EXPFLAG": "NORMAL",
        "OBSTYPE": "IMAGING",
        "OBSMODE": "MULTIACCUM",
        "SUBARRAY": size != FULL_SIZE,
        "SUBTYPE": "FULLIMAG" if size == FULL_SIZE else f"SQ{size}SUB",
        "DETECTOR": "IR",
        "FILTER": exposure.filter,
        "SAMP_SEQ": exposure.samp_seq,
        "NSAMP": exposure.nsamp,
        "SAMPZERO": exposure.sampzero,
        "APERTURE": "IR" if size == FULL_SIZE else f"IRSUB{size}",
        "SCAN_TYP": "N",
        **{step: "OMIT" if step in omitted else "COMPLETE" for step in STEPS},
        **dict.fromkeys(REFERENCES, "N/A"),
        "PFLTFILE": _name(exposure, "pfl"),
        # No photometry is simulated: a zero says so where a plausible number would mislead.
        "PHOTMODE": f"WFC3 IR {exposure.filter}",
        "PHOTFLAM": 0.0,
        "PHOTFNU": 0.0,
        "PHOTZPT": -21.1,
        "CCDAMP": "ABCD",
        "CCDGAIN": 2.5,
        **{f"ATODGN{amplifier}": gain for amplifier, gain in GAIN.items()},
        **{f"READNSE{amplifier}": noise for amplifier, noise in READ_NOISE.items()},
        "ASN_ID": "NONE",
        "ASN_TAB": "NONE",
    }


def _wcs_cards(exposure: Exposure) -> Cards:
    centre = (exposure.size + 2 * BORDER + 1) / 2
    angle, scale = np.deg2rad(ORIENTATION), PIXEL_SCALE / 3600
    cosine, sine = float(scale * np.cos(angle)), float(scale * np.sin(angle))
    return {
        "WCSAXES": 2,
        "CRPIX1": centre,
        "CRPIX2": centre,
        "CRVAL1": RA,
        "CRVAL2": DEC,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CD1_1": -cosine,
        "CD1_2": sine,
        "CD2_1": sine,
        "CD2_2": cosine,
    }


def _section_cards(exposure: Exposure) -> Cards:
    # Counted from the light-sensitive corner of the full frame, border included.
    offset = float(BORDER - exposure.corner)
    return {"LTV1": offset, "LTV2": offset, "LTM1_1": 1.0, "LTM2_2": 1.0}


def _read_cards(exposure: Exposure, read: int) -> Cards:
    times = exposure.times
    size = exposure.size + 2 * BORDER
    return {
        "ORIENTAT": ORIENTATION,
        "RA_APER": RA,
        "DEC_APER": DEC,
        "PA_APER": ORIENTATION,
        "VAFACTOR": 1.0,
        "CCDCHIP": 1,
        "NCOMBINE": 1,
        "CENTERA1": 513,
        "CENTERA2": 513,
        "SIZAXIS1": size,
        "SIZAXIS2": size,
        "BINAXIS1": 1,
        "BINAXIS2": 1,
        "SAMPNUM": read,
        "SAMPTIME": float(times[read]),
        "DELTATIM": round(float(times[read] - times[read - 1]), 6) if read else 0.0,
        "ROUTTIME": EXPSTART + float(times[read]) / SECONDS_PER_DAY,
        "SDQFLAGS": 31743,
    }


def _primary(cards: Cards) -> Any:
    hdu = fits.PrimaryHDU()
    hdu.header["EXTEND"] = True
    hdu.header.update(cards)
    return hdu


def _extension(data: NDArray[Any] | None, name: str, version: int, *groups: Cards) -> Any:
    cards: Cards = {"INHERIT": True, "EXTNAME": name, "EXTVER": version}
    for group in groups:
        cards |= group
    hdu = fits.ImageHDU(data=data)
    hdu.header.update(cards)
    return hdu


def _constant(name: str, version: int, bitpix: int, value: float, exposure: Exposure, *groups: Cards) -> Any:
    """Make a null extension: no data, one value for all pixels in the header."""
    size = exposure.size + 2 * BORDER
    header = _extension(None, name, version, *groups).header
    header.update({"NPIX1": size, "NPIX2": size, "PIXVALUE": value, "BITPIX": bitpix})
    # astropy keeps BITPIX of an image without data only when it comes from a file.
    return fits.ImageHDU.fromstring(header.tostring().encode("ascii"))


def _ima(simulation: Simulation) -> Any:
    exposure = simulation.exposure
    hdus = fits.HDUList([_primary(_primary_cards(exposure))])
    origin = {"ROOTNAME": exposure.rootname, "EXPNAME": exposure.rootname}
    wcs, section = _wcs_cards(exposure), _section_cards(exposure)
    image = origin | wcs | section
    unit = {"BUNIT": "ELECTRONS/S" if exposure.flat_fielded else "COUNTS/S"}
    flags = {"SDQFLAGS": 31743}
    for version in range(1, exposure.nsamp + 1):
        read = exposure.nsamp - version  # the last read comes first
        # calwf3 writes eight digits, so a TIME read back differs from SAMPTIME in the last ones.
        time = float(f"{np.float32(simulation.times[read]):.7E}")
        header = _read_cards(exposure, read)
        dq = simulation.dq[read].astype(np.int16)
        constant = (exposure, origin, wcs)
        hdus += [
            _extension(simulation.sci[read], "SCI", version, unit, image, header),
            _extension(simulation.err[read], "ERR", version, unit, image, flags),
            _extension(dq, "DQ", version, {"BUNIT": "UNITLESS"}, image, flags),
            _constant("SAMP", version, 16, read + 1, *constant, {"BUNIT": "SAMPLES"}),
            _constant("TIME", version, -32, time, *constant, {"BUNIT": "SECONDS"}),
        ]
    return hdus


def _flat(simulation: Simulation) -> Any:
    exposure = simulation.exposure
    cards = {
        "NEXTEND": 3,
        "FILENAME": _name(exposure, "pfl"),
        "FILETYPE": "PIXEL-TO-PIXEL FLAT",
        "TELESCOP": "HST",
        "INSTRUME": "WFC3",
        "DETECTOR": "IR",
        "FILTER": exposure.filter,
        "CCDAMP": "ABCD",
        "CCDGAIN": 2.5,
        "SUBTYPE": "FULLIMAG" if exposure.size == FULL_SIZE else f"SQ{exposure.size}SUB",
        "USEAFTER": "Jan 01 2009 00:00:00",
        "PEDIGREE": "MODEL",  # DUMMY would make calibration skip the step
        "DESCRIP": "Simulated flat field of upramp",
    }
    section = _section_cards(exposure)
    flat = simulation.flat
    error = np.zeros_like(flat)
    field = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    error[field] = np.float32(FLAT_ERROR) * flat[field]
    arrays: dict[str, NDArray[Any]] = {"SCI": flat, "ERR": error, "DQ": np.zeros(flat.shape, np.int16)}
    extensions = [_extension(data, name, 1, {"BUNIT": "UNITLESS"}, section) for name, data in arrays.items()]
    return fits.HDUList([_primary(cards), *extensions])


def _table(name: str, columns: dict[str, tuple[str, str | None, NDArray[Any]]]) -> Any:
    made = [
        fits.Column(name=key, format=code, unit=unit, array=array)
        for key, (code, unit, array) in columns.items()
    ]
    return fits.BinTableHDU.from_columns(made, name=name)


def _truth(simulation: Simulation) -> Any:
    exposure, hits = simulation.exposure, simulation.hits
    section = _section_cards(exposure)
    cards = {"FILENAME": _name(exposure, "truth"), "ROOTNAME": exposure.rootname, "SEED": exposure.seed}
    columns = {
        "READ": ("I", None, hits["read"]),
        "Y": ("I", "pixel", hits["y"]),
        "X": ("I", "pixel", hits["x"]),
        "ELECTRONS": ("E", "electron", hits["electrons"]),
        "TIME": ("D", "s", hits["time"]),
    }
    reads = {
        "SAMPNUM": ("I", None, np.arange(exposure.nsamp)),
        "SAMPTIME": ("D", "s", simulation.times),
        "BACKGROUND": ("D", "electron/s", simulation.background),
    }
    table = _table("HITS", columns)
    table.header["COMMENT"] = "Y and X are counted from zero in the readout."
    return fits.HDUList(
        [
            _primary(cards),
            _extension(simulation.rate, "RATE", 1, {"BUNIT": "ELECTRONS/S"}, section),
            _extension(simulation.flat, "FLAT", 1, {"BUNIT": "UNITLESS"}, section),
            table,
            _table("READS", reads),
        ]
    )


def write_simulation(simulation: Simulation, directory: Path, *, overwrite: bool) -> dict[str, Path]:
    """Write the three files of :meth:`upramp.simulate.Simulation.write`."""
    contents = {"ima": _ima, "pfl": _flat, "truth": _truth}
    paths = {suffix: directory / _name(simulation.exposure, suffix) for suffix in contents}
    with ExitStack() as stack:
        # All names are claimed before anything is written: either all files appear or none does.
        temporary = {
            suffix: stack.enter_context(atomic_path(path, overwrite=overwrite))
            for suffix, path in paths.items()
        }
        for suffix, build in contents.items():
            build(simulation).writeto(temporary[suffix])
    return paths
