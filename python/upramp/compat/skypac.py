"""Sky matching with the names of stsci.skypac and drizzlepac.

>>> from upramp.compat.skypac import skymatch, sky  # doctest: +SKIP
>>> skymatch("*_flt.fits", "match", skystat="median", dq_bits=0, readonly=False)  # doctest: +SKIP
>>> sky("*_flt.fits", skymethod="globalmin+match", skystat="median")  # doctest: +SKIP

What is kept: names, order and defaults of arguments; lists of images, association tables, @files with masks; cards,
comments and where they are written; values (``tests/golden/test_sky_match.py``,
``tests/compat/test_skypac.py``).

What is mended:

* `dq_bits` leaves out flagged pixels; skypac 1.0.11 and later use those and no others;
* any version of spherical_geometry, or none: with 1.4 skypac's ``match`` fails;
* no method takes the place of another: what fails raises, and nothing is written then;
* an image that overlaps no other gets the value 0 with a warning; skypac leaves an old value in its header;
* a pixel that is not finite is left out; in skypac it makes the sky of its image 0;
* a BUNIT that is no unit skypac knows, such as ``e-/s``, is read or refused, not divided by EXPTIME;
* EXPTIME or the inverse sensitivity missing, zero or negative, and lines of a list that cannot be read, are errors;
* no temporary masks in the working directory, which runs beside each other would share;
* ``sky`` runs by itself, and ``group`` and ``skymask_cat`` do as documented.
"""

from __future__ import annotations

from typing import Any

from upramp.compat._sky import sky
from upramp.compat._skymatch import skymatch
from upramp.compat._skystats import ClippedStatistic
from upramp.sky import SkyStatistic

__all__ = ["SkyStats", "sky", "skymatch"]


class SkyStats(ClippedStatistic):
    """A statistic with its parameters, as ``stsci.skypac.skystatistics.SkyStats``.

    Parameters
    ----------
    skystat : {'mean', 'median', 'mode', 'midpt'}, optional
        Statistic.
    lower, upper : float, optional
        Limits.
    nclip : int, optional
        Rounds of clipping.
    lsig, usig : float, optional
        Thresholds below and above the mean, standard deviations.
    binwidth : float, optional
        Bin of the histogram, standard deviations.
    **ignored
        ``fields`` and ``image`` are taken and not used, as there.

    Attributes
    ----------
    skyval, npix
        Value and pixels of the last data measured; None before.
    """

    def __init__(
        self,
        skystat: str = "mean",
        lower: float | None = None,
        upper: float | None = None,
        nclip: int = 0,
        lsig: float = 3.0,
        usig: float = 3.0,
        binwidth: float = 0.1,
        **ignored: Any,
    ) -> None:
        if unknown := set(ignored) - {"fields", "image"}:
            raise TypeError(f"{', '.join(sorted(unknown))}: no such argument")
        super().__init__(SkyStatistic(skystat, lower, upper, nclip, lsig, usig, binwidth))
