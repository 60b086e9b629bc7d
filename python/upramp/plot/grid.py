"""A grid of small images: how many rows and columns, and what is written on each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

__all__ = ["grid_shape", "make_grid", "outlined_text", "show_image"]

WIDEST = 4
"""Panels beside each other unless asked for otherwise."""


def grid_shape(count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns for a number of panels.

    Parameters
    ----------
    count : int
        Panels, at least one.
    columns : int, optional
        Panels beside each other; by default as near to a square as four columns allow.

    Returns
    -------
    (int, int)
    """
    if columns is None:
        columns = min(WIDEST, math.ceil(math.sqrt(count)))
    if columns < 1:
        raise ValueError(f"columns is {columns}, expected a positive number")
    columns = min(columns, count)
    return math.ceil(count / columns), columns


def make_grid(
    figure: Figure | SubFigure, count: int, columns: int | None = None
) -> tuple[list[Axes], tuple[int, int]]:
    """Axes for a number of panels, row by row, and the shape of the grid.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
        Where they are made.
    count : int
        Panels.
    columns : int, optional
        As of :func:`grid_shape`.

    Returns
    -------
    axes : list of matplotlib.axes.Axes
    shape : (int, int)
    """
    shape = grid_shape(count, columns)
    grid = figure.add_gridspec(*shape)
    return [figure.add_subplot(grid[i // shape[1], i % shape[1]]) for i in range(count)], shape


def show_image(axes: Axes, image: NDArray[Any], limits: tuple[float, float], **options: Any) -> AxesImage:
    """Draw an image in grey, first row at the bottom, without numbers at the axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    image : (ny, nx) ndarray
        Pixels.
    limits : (float, float)
        Values shown black and white.
    **options
        Further keywords of ``imshow``.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(image, origin="lower", cmap="gray", vmin=limits[0], vmax=limits[1], **options)


def outlined_text(
    axes: Axes, where: tuple[float, float], text: str, color: str, size: float, **options: Any
) -> None:
    """Write on an image so that it can be read on any grey.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The image.
    where : (float, float)
        Place as fractions of the axes.
    text, color : str
        What, and in which colour; black around it.
    size : float
        Points.
    **options
        Further keywords of ``text``.
    """
    from matplotlib import patheffects

    axes.text(
        where[0],
        where[1],
        text,
        color=color,
        fontsize=size,
        transform=axes.transAxes,
        ha=options.pop("ha", "center"),
        va=options.pop("va", "center"),
        path_effects=[patheffects.Stroke(linewidth=1.6, foreground="black"), patheffects.Normal()],
        **options,
    )
