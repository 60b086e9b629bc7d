"""The functions of the notebooks on time-variable background, with their arguments, for any exposure.

>>> from upramp.compat.tvb import read_wfc3, compute_diff_imas, get_median_fullframe_lhs_rhs  # doctest: +SKIP
>>> cube, integ_time = read_wfc3("ibohbfb9q_ima.fits")  # doctest: +SKIP
>>> rates = compute_diff_imas(cube, integ_time, diff_method="instantaneous")  # doctest: +SKIP

A notebook that imports ``ima_visualization_and_differencing`` or ``wfc3tools.make_flattened_ramp_flt`` works with
this module in its place; no ginga, no wfc3tools, no C program.

What is kept: names, arguments, their order; cubes indexed ``cube[y, x, read]`` in time order; regions as dicts of
``x0``, ``x1``, ``y0``, ``y1`` over the readout with its border, ends excluded; no use of DQ; nothing drawn of the
first interval, which lasts 3 s.

What is mended:

* frames that are not square, subarrays and any number of reads: the cube's axes were swapped, the panels' labels
  those of 16 reads and their texts placed for 1024 pixels, and fewer than 16 reads an IndexError;
* a file in counts (RAW) is turned into rates since the zeroth read, which is what the differences need;
* TIME extensions with pixels: SAMPTIME is taken in place of the PIXVALUE that they lack;
* panels show the signed difference, not its absolute value, each on its own zscale;
* ``exclude_sources`` clips each difference image in units of its own noise; a fixed 3 e-/s before the differences
  cut most of the sky out of the short first read, and a pixel lost in one read was lost in both its intervals;
* titles are the files' names, whatever their order, not fixed words, for any number of files;
* a region outside the frame is an error, not NaN or the opposite edge;
* no global setting is changed; figures and axes are returned, of a size that fits a screen;
* ``make_flattened_ramp_flt`` takes `stats_subregion` (it failed on any but None), leaves all 5 pixels of the border
  out on all four sides (not on two), works with sigma_clip under any astropy, needs no association table, changes
  neither the RAW nor the working directory, and leaves the reference
  pixels and the zeroth read alone.
"""

from __future__ import annotations

from upramp.compat._difference_plots import (
    panel_plot,
    plot_ima_difference_subplots,
    plot_ima_subplots,
    plot_ramp,
    plot_ramp_subplots,
)
from upramp.compat._differences import (
    compute_diff_imas,
    get_median_fullframe_lhs_rhs,
    get_median_std_fullframe_lhs_rhs,
    get_std_fullframe_lhs_rhs,
    read_wfc3,
)
from upramp.compat._flattened import make_flattened_ramp_flt

__all__ = [
    "compute_diff_imas",
    "get_median_fullframe_lhs_rhs",
    "get_median_std_fullframe_lhs_rhs",
    "get_std_fullframe_lhs_rhs",
    "make_flattened_ramp_flt",
    "panel_plot",
    "plot_ima_difference_subplots",
    "plot_ima_subplots",
    "plot_ramp",
    "plot_ramp_subplots",
    "read_wfc3",
]
