"""Two products of one exposure, measured on the same pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import FitsReader, fits
from upramp.ramps import read_stats
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir.exposure import Ramp, read_ramp

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["Comparison", "ImageStats", "Product", "Source", "compare", "read_product"]

CLIP = 3.0
"""Clipping limit of the statistics that leave sources out, standard deviations."""

Source = Ramp | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class ImageStats:
    """Level and scatter of one image, in its unit.

    Attributes
    ----------
    exptime : float
        Exposure time, seconds (EXPTIME); NaN if the file does not say.
    n_masked : int
        Reads left out of the exposure (NPOP); 0 if the file does not say.
    n_good : int
        Pixels measured.
    flagged : float
        Fraction of the pixels of the region that have a DQ bit set in this file.
    mean, median, std : float
        Of all pixels measured.
    robust_std : float
        1.4826 times the median absolute deviation.
    clipped_mean, clipped_median, clipped_std : float
        After clipping at 3 standard deviations about the median, in at most 5 rounds.
    """

    exptime: float
    n_masked: int
    n_good: int
    flagged: float
    mean: float
    median: float
    std: float
    robust_std: float
    clipped_mean: float
    clipped_median: float
    clipped_std: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pair of images, measured on the pixels that are good in both.

    Attributes
    ----------
    labels : (str, str)
        Names of the files, with as much of their directories as tells them apart.
    paths : (Path, Path)
        The files.
    unit : str
        BUNIT of both.
    stats : (ImageStats, ImageStats)
        What was measured.
    images : pair of (ny, nx) ndarray of float32
        Light-sensitive pixels in `unit`.
    good : (ny, nx) ndarray of bool
        Pixels without DQ bits and with a number in both, inside `region`.
    region : (slice, slice)
        Rows and columns of the images that were measured.
    ramps : (Ramp, Ramp) or None
        The reads, if both inputs hold them.
    rootname : str
        ROOTNAME of the second file, else of the first, or empty.
    popreads : (str, str)
        SAMPNUM of the reads left out of each (POPREADS), separated by blanks.
    n_intervals : int or None
        Reads after the zeroth (NSAMP - 1), if a file says.
    """

    labels: tuple[str, str]
    paths: tuple[Path, Path]
    unit: str
    stats: tuple[ImageStats, ImageStats]
    images: tuple[NDArray[np.float32], NDArray[np.float32]] = field(repr=False)
    good: NDArray[np.bool_] = field(repr=False)
    region: tuple[slice, slice]
    ramps: tuple[Ramp, Ramp] | None = field(default=None, repr=False)
    rootname: str = ""
    popreads: tuple[str, str] = ("", "")
    n_intervals: int | None = None

    @property
    def exposure(self) -> str:
        """One line on the exposure time and what was left out of it.

        Such as ``EXPTIME 1402.94 -> 1000.00 s (5 of 15 reads masked)``.
        """
        first, second = self.stats
        text = f"EXPTIME {first.exptime:.2f} -> {second.exptime:.2f} s"
        if first.n_masked == second.n_masked == 0:
            return text
        total = "" if self.n_intervals is None else f" of {self.n_intervals}"
        before = f"{first.n_masked} -> " if first.n_masked else ""
        return f"{text} ({before}{second.n_masked}{total} reads masked)"

    @property
    def table(self) -> Table:
        """One row per file with its label and :class:`ImageStats`, as an astropy Table."""
        from astropy.table import Table

        names = ImageStats.__slots__
        table = Table({"file": list(self.labels)})
        for name in names:
            table[name] = [getattr(stats, name) for stats in self.stats]
        table["popreads"] = list(self.popreads)
        table["exptime"].unit = "s"
        per_second = " / s" if self.unit.endswith("/S") else ""
        word = {"ELECTRONS": "electron", "COUNTS": "ct"}.get(self.unit.removesuffix("/S"))
        if word is not None:
            for name in names[names.index("mean") :]:
                table[name].unit = word + per_second
        return table

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Lines of the printed table.

        Yields
        ------
        tuple of str
            What was measured, its value before and after, and the change; empty where there is none to tell.
        """
        first, second = self.stats
        yield (
            "EXPTIME (s)",
            f"{first.exptime:.2f}",
            f"{second.exptime:.2f}",
            f"{second.exptime - first.exptime:+.2f}",
        )
        if first.n_masked or second.n_masked:
            yield "reads masked", str(first.n_masked), str(second.n_masked), ""
        yield "flagged (%)", f"{100 * first.flagged:.2f}", f"{100 * second.flagged:.2f}", ""
        for name, key in (
            ("mean", "mean"),
            ("median", "median"),
            ("std", "std"),
            ("1.4826 MAD", "robust_std"),
            ("clipped mean", "clipped_mean"),
            ("clipped median", "clipped_median"),
            ("clipped std", "clipped_std"),
        ):
            one, two = getattr(first, key), getattr(second, key)
            # A level may be close to zero, where a ratio says nothing; a scatter is not.
            change = _percent(one, two) if key.endswith("std") else f"{two - one:+.4f}"
            yield name, f"{one:.4f}", f"{two:.4f}", change

    def summary(self) -> tuple[str, str, str, str, str]:
        """Say the most important in one line.

        Returns
        -------
        tuple of str
            Name of the exposure, exposure time, median, robust standard deviation, and its change.
        """
        first, second = self.stats
        return (
            self.rootname or self.labels[1],
            self.exposure.removeprefix("EXPTIME "),
            f"{first.median:.4f} -> {second.median:.4f}",
            f"{first.robust_std:.4f} -> {second.robust_std:.4f}",
            _percent(first.robust_std, second.robust_std),
        )

    def __str__(self) -> str:
        """Table for people."""
        lines = [("", "before", "after", "change"), *self.rows()]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        text = [f"before: {self.labels[0]}", f"after:  {self.labels[1]}"]
        text += [self.exposure]
        text += [f"{self.stats[0].n_good} pixels without flags in both, in {self.unit}"]
        for name, *cells in lines:
            text.append(
                "  ".join(
                    [name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]
                )
            )
        return "\n".join(line.rstrip() for line in text)

    def plot(self, **options: Any) -> Figure:
        """Draw both images, their histograms and their ramps; see :func:`upramp.plot.plot_comparison`.

        Parameters
        ----------
        **options
            Keywords of that function.
        """
        from upramp.plot import plot_comparison

        return plot_comparison(self, **options)


def _percent(one: float, two: float) -> str:
    return f"{100 * (two / one - 1):+.1f} %" if one > 0 else ""


@dataclass(frozen=True, slots=True)
class Product:
    """Image of a file with what tells of its exposure."""

    image: NDArray[np.float32]
    dq: NDArray[np.uint16]
    unit: str
    exptime: float
    path: Path
    ramp: Ramp | None
    primary: fits.Header


def compare(
    a: Source,
    b: Source,
    *,
    region: tuple[slice, slice] | None = None,
) -> Comparison:
    """Compare two products of an exposure, usually before and after a correction.

    Parameters
    ----------
    a, b : Ramp or path-like
        FLT files; of an IMA file or a `Ramp` the last read (imset 1) is taken, without its border.
    region : tuple of slice, optional
        Rows and columns to measure, counted from the first light-sensitive pixel, as in a FLT file.

    Returns
    -------
    Comparison
        Statistics on the pixels whose DQ is 0 in both files.

    Raises
    ------
    InputError
        A file cannot be read or holds no image with DQ.
    ValueError
        Images of different shapes or units, a region outside them, or no pixel that is good in both.
    """
    first, second = read_product(a), read_product(b)
    pair = f"{first.path} and {second.path}"
    if first.image.shape != second.image.shape:
        raise ValueError(f"{pair}: shapes differ, {first.image.shape} and {second.image.shape}")
    if first.unit != second.unit:
        raise ValueError(f"{pair}: units differ, {first.unit or 'none'} and {second.unit or 'none'}")
    y0, y1, x0, x1 = bounds(region, first.image.shape)
    inside = (slice(y0, y1), slice(x0, x1))
    good = np.zeros(first.image.shape, bool)
    good[inside] = ((first.dq | second.dq) == 0)[inside]
    good &= np.isfinite(first.image) & np.isfinite(second.image)
    if not good.any():
        raise ValueError(f"{pair}: no pixel of the region is free of DQ flags in both")
    reads = (first.ramp, second.ramp)
    return Comparison(
        labels=_labels(first.path, second.path),
        paths=(first.path, second.path),
        unit=first.unit,
        stats=(_measure(first, good, inside), _measure(second, good, inside)),
        images=(first.image, second.image),
        good=good,
        region=inside,
        ramps=None if reads[0] is None or reads[1] is None else (reads[0], reads[1]),
        rootname=_words(second.primary, "ROOTNAME") or _words(first.primary, "ROOTNAME"),
        popreads=(_words(first.primary, "POPREADS"), _words(second.primary, "POPREADS")),
        n_intervals=_n_intervals(second.primary, first.primary),
    )


def read_product(source: Source) -> Product:
    """Read the image of a product.

    Parameters
    ----------
    source : Ramp or path-like
        FLT file; of an IMA file or a `Ramp` the last read (imset 1) is taken, without its border.

    Returns
    -------
    Product

    Raises
    ------
    InputError
        The file cannot be read or holds no image with DQ.
    """
    if not isinstance(source, Ramp):
        with FitsReader(source) as reader:
            found = [unit.header.get("EXTNAME") for unit in reader.extensions].count("SCI")
            if found == 0:
                raise InputError(f"{reader.path}: holds no SCI extension")
            if found == 1:
                return _read_flt(reader)
    ramp = source if isinstance(source, Ramp) else read_ramp(source)
    image, dq = ramp.sci[-1][ramp.border], ramp.dq[-1][ramp.border]
    exptime = float(ramp.primary.get("EXPTIME", ramp.times[-1]))
    return Product(image, dq, ramp.unit, exptime, ramp.path, ramp, ramp.primary)


def _read_flt(reader: FitsReader) -> Product:
    names = [str(unit.header.get("EXTNAME", "")).strip() for unit in reader.extensions]
    if "DQ" not in names:
        raise InputError(f"{reader.path}: holds no DQ extension")
    where = names.index("SCI")
    science = reader.extensions[where]
    if len(science.shape) != 2:
        raise InputError(f"{reader.path}[{science.label}]: shape is {science.shape}, expected an image")
    image = np.empty(science.shape, np.float32)
    reader.read_into(where, image)
    flags = reader.extensions[names.index("DQ")]
    # A DQ plane of one value is stored without pixels.
    dq = np.full(image.shape, int(flags.header.get("PIXVALUE", 0)), np.uint16)
    if flags.shape:
        if flags.shape != image.shape:
            raise InputError(f"{reader.path}[{flags.label}]: shape is {flags.shape}, expected {image.shape}")
        reader.read_into(names.index("DQ"), dq)
    unit = str(science.header.get("BUNIT", "")).strip().upper()
    primary = reader.extensions[0].header
    exptime = float(primary.get("EXPTIME", np.nan))
    return Product(image, dq, unit, exptime, reader.path, None, primary)


def _words(header: fits.Header, keyword: str) -> str:
    return str(header.get(keyword, "")).strip()


def _whole(header: fits.Header, keyword: str) -> int | None:
    value = header.get(keyword)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _n_intervals(*headers: fits.Header) -> int | None:
    for header in headers:
        reads = _whole(header, "NSAMP")
        if reads:
            return reads - 1
    return None


def _measure(product: Product, good: NDArray[np.bool_], inside: tuple[slice, slice]) -> ImageStats:
    cube = product.image[None]
    plain = read_stats(cube, mask=~good)
    clipped = read_stats(cube, mask=~good, clip=CLIP)
    median = float(plain.median[0])
    deviation = np.median(np.abs(product.image[good].astype(float) - median))
    return ImageStats(
        exptime=product.exptime,
        n_masked=_whole(product.primary, "NPOP") or 0,
        n_good=int(plain.npix[0]),
        flagged=float((product.dq[inside] != 0).mean()),
        mean=float(plain.mean[0]),
        median=median,
        std=float(plain.std[0]),
        robust_std=float(1.4826 * deviation),
        clipped_mean=float(clipped.mean[0]),
        clipped_median=float(clipped.median[0]),
        clipped_std=float(clipped.std[0]),
    )


def _labels(first: Path, second: Path) -> tuple[str, str]:
    """Shortest ends of the two paths that differ: before and after often share a file name."""
    one, two = first.absolute().parts, second.absolute().parts
    for length in range(1, max(len(one), len(two)) + 1):
        if one[-length:] != two[-length:]:
            return str(Path(*one[-length:])), str(Path(*two[-length:]))
    return first.name, second.name
