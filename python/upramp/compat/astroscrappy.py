"""The cosmic-ray search of astroscrappy 1.3 on upramp's kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ccd.cosmics import LacosmicParams, find_hits
from upramp.ccd.cosmics_psf import as_kernel, psf_kernel

__all__ = ["detect_cosmics"]


def detect_cosmics(
    indat: ArrayLike,
    inmask: ArrayLike | None = None,
    inbkg: ArrayLike | None = None,
    invar: ArrayLike | None = None,
    sigclip: float = 4.5,
    sigfrac: float = 0.3,
    objlim: float = 5.0,
    gain: float = 1.0,
    readnoise: float = 6.5,
    satlevel: float = 65536.0,
    niter: int = 4,
    sepmed: bool = True,
    cleantype: str = "meanmask",
    fsmode: str = "median",
    psfmodel: str = "gauss",
    psffwhm: float = 2.5,
    psfsize: int = 7,
    psfk: Any = None,
    psfbeta: float = 4.765,
    verbose: bool = False,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Find cosmic rays as ``astroscrappy.detect_cosmics`` does, with its arguments, on one thread.

    Parameters
    ----------
    indat : (ny, nx) array_like
        Image with its sky. The mask of a masked array is not heeded, as there.
    inmask, inbkg, invar : (ny, nx) array_like, optional
        Bad pixels, sky, variance; any type and layout, where astroscrappy demands float32 in C order of `invar`.
    sigclip, sigfrac, objlim, gain, readnoise, satlevel, niter, sepmed, cleantype : optional
        See :class:`upramp.ccd.LacosmicParams`.
    fsmode, psfmodel, psffwhm, psfsize, psfk, psfbeta : optional
        See :func:`upramp.ccd.detect_cosmics`.
    verbose : bool, optional
        Print the count of every round, in astroscrappy's words.

    Returns
    -------
    crmask : (ny, nx) ndarray of bool
        True where a cosmic ray was found.
    cleanarr : (ny, nx) ndarray of float32
        The image with those pixels replaced, in the unit of `indat`.

    Raises
    ------
    TypeError
        `indat` holds no real numbers.
    ValueError
        An argument is out of its range or shaped unlike the image; an unknown `cleantype` even if nothing is found.
    """
    params = LacosmicParams(
        sigclip=sigclip,
        sigfrac=sigfrac,
        objlim=objlim,
        gain=gain,
        readnoise=readnoise,
        satlevel=satlevel,
        niter=max(int(niter), 0),
        sepmed=bool(sepmed),
        cleantype=cleantype,
    )
    if fsmode not in ("median", "convolve"):
        raise ValueError("Please choose a supported fine structure mode: median or convolve.")
    kernel = None
    if fsmode == "convolve":
        kernel = as_kernel(
            psf_kernel(psfmodel, psffwhm, psfsize, psfbeta)[::-1, ::-1] if psfk is None else psfk
        )
    if verbose:
        print(f"Starting {niter} L.A.Cosmic iterations")
    found, counts = find_hits(indat, inmask, inbkg, invar, params, kernel, threads=1, heed_mask=False)
    if verbose:
        for i, count in enumerate(counts, 1):
            print(f"Iteration {i}:\n{count} cosmic pixels this iteration")
    return found.mask, found.clean
