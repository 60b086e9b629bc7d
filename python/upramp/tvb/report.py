"""Figures and a page of flagged exposures: one look tells which are affected."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from upramp.io import atomic_path
from upramp.tvb.flag import ReadFlags, ranges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Thumbnail", "plot_flags", "thumbnail", "write_page"]

COLORS = {
    "scattered": "#E69F00",
    "uniform": "#CC79A7",
    "both": "#D55E00",
    "satellite": "#56B4E9",
    "faint": "0.75",
    "no pixels": "0.5",
}
"""Of the causes, told apart by colour-blind eyes (Okabe and Ito)."""

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%;margin:1em 0}
th,td{text-align:left;padding:.3em .7em;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}.none{color:#777}.found{font-weight:600;color:#b3470a}
section{display:inline-block;width:34em;max-width:100%;vertical-align:top;margin:0 1em 1.5em 0}
section h2{font-size:1em;margin:.2em 0}img{max-width:100%}p{margin:.2em 0}
"""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One exposure of the page."""

    flags: ReadFlags
    """What was found."""
    png: bytes = field(default=b"", repr=False)
    """Picture, or nothing."""


def plot_flags(flags: ReadFlags) -> Figure:
    """Draw the levels of an exposure with its disturbed intervals shaded by cause.

    Parameters
    ----------
    flags : ReadFlags
        Result of :func:`upramp.tvb.flag.flag_reads`.

    Returns
    -------
    matplotlib.figure.Figure
        Median of every interval (squares), its left (<) and right (>) strips; not registered with pyplot.

    Raises
    ------
    MatplotlibMissingError
        matplotlib is not installed.
    """
    from upramp.plot.style import LEFT, RIGHT, require_matplotlib

    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    table = flags.table
    times = np.asarray(table["samptime"])
    for k in range(1, len(table)):
        if cause := str(table["cause"][k]):
            axes.axvspan(times[k - 1], times[k], color=COLORS.get(cause, "0.9"), alpha=0.3, linewidth=0)
    # The first interval of a second or two is so noisy that it would set the scale.
    sure = np.asarray(table["error"][1:]) < 5 * np.nanmedian(table["error"][1:])
    times = times[1:]

    def shown(name: str) -> NDArray[np.float64]:
        return np.where(sure, np.asarray(table[name][1:], np.float64), np.nan)

    for name, marker, color in (("left", "<", LEFT), ("right", ">", RIGHT), ("median", "s", "black")):
        main = name == "median"
        axes.plot(
            times,
            shown(name),
            marker=marker,
            color=color,
            linestyle="-" if main else ":",
            markersize=4.5 if main else 4,
            markerfacecolor=color if main else "white",
            label="all columns" if main else name,
        )
    axes.errorbar(times, shown("median"), np.asarray(table["error"][1:]), fmt="none", ecolor="0.4")
    axes.set_xlim(-0.02 * times[-1], 1.02 * times[-1])
    axes.set_xlabel("SAMPTIME (s)")
    axes.set_ylabel("rate (e$^-$ s$^{-1}$)")
    axes.set_title(f"{flags.rootname} {flags.filter}: {flags.verdict}", fontsize="medium")
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return figure


def thumbnail(flags: ReadFlags, *, dpi: int = 100) -> Thumbnail:
    """Draw an exposure for the page.

    Parameters
    ----------
    flags : ReadFlags
        Result of :func:`upramp.tvb.flag.flag_reads`.
    dpi : int, optional
        Dots per inch of 6.4 x 3.4 inches.

    Returns
    -------
    Thumbnail
    """
    buffer = io.BytesIO()
    # No creation date: the same exposure gives the same bytes.
    plot_flags(flags).savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return Thumbnail(flags, buffer.getvalue())


def write_page(
    thumbnails: Sequence[Thumbnail],
    path: str | os.PathLike[str],
    *,
    failures: Sequence[tuple[str, str]] = (),
    overwrite: bool = False,
) -> None:
    """Write one HTML page that needs no other file.

    Parameters
    ----------
    thumbnails : sequence of Thumbnail
        Exposures.
    path : path-like
        File; it appears whole or not at all.
    failures : sequence of (str, str), optional
        Files that could not be used, and why.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    """
    rows, pictures = [], []
    for i, one in enumerate(thumbnails):
        flags = one.flags
        kind = "none" if flags.verdict == "none" else "found"
        reads = ranges(flags.flagged) or "–"
        cells = [
            f'<a href="#e{i}">{html.escape(flags.rootname)}</a>',
            html.escape(flags.filter),
            f'<span class="{kind}">{flags.verdict}</span>',
            reads,
            *(_number(value) for value in (flags.low, flags.high, flags.max_ratio, flags.noise.ratio)),
            flags.advice,
            html.escape(flags.reason),
        ]
        marks = ["", "", "", "", *[' class="n"'] * 4, "", ""]
        rows.append(
            "<tr>"
            + "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(marks, cells, strict=True))
            + "</tr>"
        )
        picture = ""
        if one.png:
            text = base64.b64encode(one.png).decode()
            picture = f'<img alt="rates of {html.escape(flags.rootname)}" src="data:image/png;base64,{text}">'
        title = f"{html.escape(flags.rootname)} {html.escape(flags.filter)}: {flags.verdict}"
        detail = f"reads {reads}; advice: {flags.advice}; {html.escape(flags.reason)}"
        pictures.append(f'<section id="e{i}"><h2>{title}</h2>{picture}<p>{detail}</p></section>')
    bad = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in failures)
    affected = sum(one.flags.verdict != "none" for one in thumbnails)
    heads = (
        *("exposure", "filter", "verdict", "reads", "lowest", "highest", "L/R"),
        *("scatter/error", "advice", "reason"),
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Variable background</title>'
        f"<style>{STYLE}</style></head><body><h1>Variable background</h1>"
        f"<p>{affected} of {len(thumbnails)} exposures affected. Rates in e-/s per pixel; reads by SAMPNUM.</p>"
        "<table><thead><tr>"
        + "".join(f"<th>{head}</th>" for head in heads)
        + "</tr></thead><tbody>"
        + "".join(rows)
        + "</tbody></table>"
        + (f"<h2>Not read</h2><ul>{bad}</ul>" if bad else "")
        + "".join(pictures)
        + "</body></html>\n"
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
