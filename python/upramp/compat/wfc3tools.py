"""The WFC3/IR functions of wfc3tools 1.6, with its arguments, without its C program.

>>> from upramp.compat.wfc3tools import calwf3, pstat  # doctest: +SKIP
>>> calwf3("ibohbfb9q_raw.fits")  # doctest: +SKIP
>>> time, counts = pstat("ibohbfb9q_ima.fits", col_slice=(100, 300), row_slice=(1, 1014))  # doctest: +SKIP

What is kept: arguments, their order and defaults; names and place of the products; reads in file order, the last
one first and the zeroth last; 0-based pixels and Python slices over the whole readout, border included; no use of
DQ; units converted with SAMPTIME; the zeroth read at 0 where a rate is asked of counts, since it has none.

What is mended:

* a bad argument raises ValueError; wfc3tools prints a line and returns ``(0, 0)``;
* the zeroth read has its own value; wfc3tools leaves 0 there, also in a RAW file with some 11000 counts;
* DQ, SAMP and TIME are not converted between counts and rates; wfc3tools multiplies flags by seconds;
* SAMP can be asked of :func:`pstack`, as documented; wfc3tools refuses it;
* a constant (null) extension counts with its PIXVALUE; wfc3tools fails;
* labels given for a plot are used as they are; wfc3tools ignores `xlabel` and appends to `ylabel`;
* ``sampinfo(mean=True)`` gives the mean; wfc3tools gives (min + max) / 2;
* a section in brackets after a file name is applied; wfc3tools drops it and takes the whole image;
* every failure of a calibration raises; ``wfc3tools.calwf3`` returns as if all were well after a crash;
* several inputs, by list, wildcard or @file, are done one after the other, as documented; wfc3tools refuses them;
* an IMA needs no association table beside it;
* nothing is imported, opened or made interactive by the import alone.

``make_flattened_ramp_flt`` of its development version is described in :mod:`upramp.compat.tvb`.
"""

from __future__ import annotations

from upramp.compat._calwf3 import calwf3, wf3ir
from upramp.compat._flattened import make_flattened_ramp_flt
from upramp.compat._reads import pstack, pstat, sampinfo

__all__ = ["calwf3", "make_flattened_ramp_flt", "pstack", "pstat", "sampinfo", "wf3ir"]
