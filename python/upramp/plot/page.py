"""Before and after as one web page that needs nothing else: images inside, a switch between them."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.plot.comparison import draw_histograms, draw_ramps, image_limits
from upramp.plot.style import AFTER, BEFORE, require_matplotlib, unit_label

if TYPE_CHECKING:
    from upramp.tvb.compare import Comparison, Source

__all__ = ["comparison_page", "comparison_section"]

WIDTH = 512
"""Pixels of an image of the page, at most."""

STYLE = f"""
body {{ font: 14px sans-serif; margin: 1.5em; color: #222; }}
h1 {{ font-size: 20px; }} h2 {{ font-size: 16px; border-top: 1px solid #ccc; padding-top: 1em; }}
table {{ border-collapse: collapse; margin: 0.6em 1.5em 0.6em 0; }}
th, td {{ padding: 2px 10px; text-align: right; border-bottom: 1px solid #eee; }}
th:first-child, td:first-child {{ text-align: left; }}
.pair {{ display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1.5em; }}
.switch img {{ display: block; margin-top: 0.4em; image-rendering: pixelated; max-width: 100%; }}
.switch .after {{ display: none; }}
.switch .to-after:checked ~ .after {{ display: block; }}
.switch .to-after:checked ~ .before {{ display: none; }}
.b {{ color: {BEFORE}; }} .a {{ color: {AFTER}; }}
.note {{ color: #666; }}
"""


def comparison_section(
    comparison: Comparison,
    *,
    number: int = 1,
    ramps: tuple[Source, Source] | None = None,
    limits: tuple[float, float] | None = None,
    hist_range: tuple[float, float] | None = None,
    width: int = WIDTH,
) -> str:
    """Part of a page that shows one pair of images.

    Parameters
    ----------
    comparison : Comparison
        What was measured; only its region is shown.
    number : int, optional
        Which pair of the page it is.
    ramps : pair of Ramp or path-like, optional
        Exposures to draw up the ramp; by default those of the comparison.
    limits : (float, float), optional
        Values shown black and white; by default those of zscale for the good pixels of both images.
    hist_range : (float, float), optional
        Range of the histogram.
    width : int, optional
        Pixels of the images shown, at most; larger ones are averaged in blocks.

    Returns
    -------
    str
        HTML: both images in one place with a switch, histograms, ramps and the table.
    """
    require_matplotlib()
    limits = limits or image_limits(comparison)
    shown = []
    for image, when in zip(comparison.images, ("before", "after"), strict=True):
        small = _shrink(image[comparison.region], comparison.good[comparison.region], width)
        shown.append(f'<img class="{when}" alt="{when}" src="{_grey_png(small, limits)}">')
    title = html.escape(comparison.rootname or comparison.labels[1])
    names = [html.escape(label) for label in comparison.labels]
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in comparison.rows()
    )
    switch = "".join(
        f'<input type="radio" name="pair{number}" id="pair{number}-{when}" class="to-{when}"{checked}>'
        f'<label for="pair{number}-{when}" class="{when[0]}">{when}</label> '
        for when, checked in (("before", " checked"), ("after", ""))
    )
    unit = html.escape(comparison.unit.lower())
    return (
        f'<h2 id="pair{number}">{title}</h2>\n'
        f'<p><span class="b">before: {names[0]}</span><br><span class="a">after: {names[1]}</span><br>'
        f"{html.escape(comparison.exposure)}</p>\n"
        f'<div class="pair"><div class="switch">{switch}{"".join(shown)}'
        f'<p class="note">black {limits[0]:.4g}, white {limits[1]:.4g} {unit}</p></div>\n'
        f'<div><img alt="histograms and ramps" src="{_curves_png(comparison, ramps, hist_range)}">\n'
        f"<table><tr><th></th><th>before</th><th>after</th><th>change</th></tr>{rows}</table>\n"
        f'<p class="note">{comparison.stats[0].n_good} pixels without flags in both</p></div></div>\n'
    )


def comparison_page(
    sections: Sequence[str],
    comparisons: Sequence[tuple[str, str, str, str, str]] = (),
    *,
    notes: Sequence[str] = (),
    title: str = "upramp compare",
) -> str:
    """A page of pairs.

    Parameters
    ----------
    sections : sequence of str
        Of :func:`comparison_section`, their `number` counting from 1.
    comparisons : sequence of tuple of str
        Lines of the summary, in the order of the sections: name, exposure, median before and after and so on, as
        :meth:`upramp.tvb.compare.Comparison.summary` makes them; none for a page of one pair.
    notes : sequence of str, optional
        Further lines, such as products without a partner.
    title : str, optional
        Title.

    Returns
    -------
    str
        A whole HTML document without links to anything outside itself.
    """
    table = ""
    if comparisons:
        head = "".join(
            f"<th>{word}</th>" for word in ("exposure", "EXPTIME", "median", "1.4826 MAD", "change")
        )
        lines = "".join(
            f'<tr><td><a href="#pair{i}">{html.escape(line[0])}</a></td>'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in line[1:])
            + "</tr>"
            for i, line in enumerate(comparisons, start=1)
        )
        table = f"<table><tr>{head}</tr>{lines}</table>"
    remarks = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{table}{remarks}\n{''.join(sections)}"
        f'<p class="note">upramp {__version__}</p></body></html>\n'
    )


def _shrink(image: NDArray[np.float32], good: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """Mean of the good pixels of blocks so large that no side exceeds `width`; of all where none is good."""
    block = -(-max(image.shape) // width)
    if block == 1:
        return image.astype(float)
    ny, nx = (-(-size // block) for size in image.shape)
    padding = [(0, n * block - size) for n, size in zip((ny, nx), image.shape, strict=True)]
    known = np.isfinite(image)
    sums: list[NDArray[np.float64]] = []
    for use in (good & known, known):
        values = np.pad(np.where(use, image, 0).astype(float), padding).reshape(ny, block, nx, block)
        counts = np.pad(use, padding).reshape(ny, block, nx, block).sum((1, 3))
        total: NDArray[np.float64] = values.sum((1, 3))
        sums.append(np.divide(total, counts, out=np.full_like(total, np.nan), where=counts > 0))
    nothing = np.isnan(sums[0])
    sums[0][nothing] = sums[1][nothing]
    return sums[0]


def _grey_png(image: NDArray[np.float64], limits: tuple[float, float]) -> str:
    from PIL import Image  # comes with matplotlib

    low, high = limits
    span = high - low or 1.0
    levels = np.clip(np.nan_to_num((image - low) / span), 0, 1) * 255
    buffer = BytesIO()
    # First row at the bottom, as in every figure.
    Image.fromarray(levels[::-1].round().astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    return _inline(buffer)


def _curves_png(
    comparison: Comparison, ramps: tuple[Source, Source] | None, hist_range: tuple[float, float] | None
) -> str:
    from matplotlib.figure import Figure

    ramps = ramps or comparison.ramps
    figure = Figure(figsize=(8 if ramps else 4.5, 3), layout="constrained")
    panels = figure.subplots(1, 2 if ramps else 1, squeeze=False)[0]
    draw_histograms(panels[0], comparison, hist_range)
    panels[0].set_xlabel(f"signal ({unit_label(comparison.unit)})", fontsize=9)
    if ramps:
        draw_ramps(panels[1], comparison, ramps)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return _inline(buffer)


def _inline(buffer: BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
