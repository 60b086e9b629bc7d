"""Cosmic rays in a single image: L.A.Cosmic."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ccd.cosmics_psf import as_kernel, psf_kernel

__all__ = ["CosmicRays", "LacosmicParams", "detect_cosmics", "find_hits"]

CLEAN_TYPES = ("median", "medmask", "meanmask", "idw")
FINE_STRUCTURE = ("median", "convolve")

logger = logging.getLogger(__name__)


class CosmicRays(NamedTuple):
    """Result of :func:`detect_cosmics`."""

    mask: NDArray[np.bool_]
    """True where a cosmic ray was found, (ny, nx)."""
    clean: NDArray[np.float32]
    """The image with those pixels replaced, in the unit of the input, its sky included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LacosmicParams:
    """Limits of L.A.Cosmic under the names of astroscrappy.

    Parameters
    ----------
    sigclip : float
        Limit of the Laplacian, in units of its noise.
    sigfrac : float
        Limit for neighbours of a hit, as a fraction of `sigclip`.
    objlim : float
        Least contrast between the Laplacian and the fine structure: larger spares more stars. About 5 with
        separable medians, 2 with true ones.
    gain : float
        Electrons per unit of the data.
    readnoise : float
        Read noise, electrons.
    satlevel : float
        Saturation level, electrons; infinity: none.
    niter : int
        Rounds at most.
    sepmed : bool
        Separable medians instead of true ones.
    cleantype : {'median', 'medmask', 'meanmask', 'idw'}
        Fill hit pixels by the median of the 5 x 5 pixels about them, by the median or mean of the good ones among
        them, or by their mean weighted with the inverse distance.
    grow : float, optional
        Neighbours of hits that stand so many sigma above their surroundings are hit as well: faint wings, for which
        L.A.Cosmic does not look. Default: as there.
    """

    sigclip: float = 4.5
    sigfrac: float = 0.3
    objlim: float = 5.0
    gain: float = 1.0
    readnoise: float = 6.5
    satlevel: float = 65536.0
    niter: int = 4
    sepmed: bool = True
    cleantype: str = "meanmask"
    grow: float | None = None


def detect_cosmics(
    indat: ArrayLike,
    inmask: ArrayLike | None = None,
    inbkg: ArrayLike | None = None,
    invar: ArrayLike | None = None,
    *,
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
    psfk: ArrayLike | None = None,
    psfbeta: float = 4.765,
    verbose: bool = False,
    threads: int | None = None,
) -> CosmicRays:
    r"""Find cosmic rays in a single image by their sharp edges, and replace them.

    In every round a pixel is hit where

    .. math:: S' = \frac{L}{2 N} - \mathrm{med}\left(\frac{L}{2 N}\right) > \mathrm{sigclip}, \quad
              \frac{S'}{F} > \mathrm{objlim}

    with :math:`L` the positive part of the Laplacian of the image sampled twice as finely, :math:`N` the noise of
    the median-filtered image and :math:`F` the fine structure, what a star of the image's sharpness could make;
    neighbours follow by lower limits. Rounds end when they find nothing.

    Parameters
    ----------
    indat : (ny, nx) array_like
        Image with its sky: any real type, byte order and layout, memory maps too. Never changed. Values that are
        not finite (or beyond 1e30), and the masked ones of a masked array, are bad pixels.
    inmask : (ny, nx) array_like, optional
        Bad pixels are not 0 (or True): never flagged, and not used to replace others. They do enter medians.
    inbkg : (ny, nx) array_like, optional
        Sky or object model in the unit of `indat`: taken off to search and put back; its Poisson noise counts.
    invar : (ny, nx) array_like, optional
        Variance in squares of the unit of `indat`; default `gain` times data plus read noise squared.
    sigclip, sigfrac, objlim, gain, readnoise, satlevel, niter, sepmed, cleantype
        See :class:`LacosmicParams`.
    fsmode : {'median', 'convolve'}, optional
        Fine structure by medians, or by convolution with a point spread function.
    psfmodel, psffwhm, psfsize, psfbeta : optional
        That function: see :func:`psf_kernel`.
    psfk : (ky, kx) array_like, optional
        The same as an array, used as it is.
    verbose : bool, optional
        Log the count of every round at level INFO instead of DEBUG.
    threads : int, optional
        Threads; default one for every core this process may use. The result does not depend on it.

    Returns
    -------
    mask : (ny, nx) ndarray of bool
        True where a cosmic ray was found; neither bad nor saturated pixels are in it.
    clean : (ny, nx) ndarray of float32
        The image with those pixels replaced, in the unit of `indat`, sky included. Bad pixels as they came.

    Raises
    ------
    TypeError
        `indat` holds no real numbers.
    ValueError
        An argument is out of its range or shaped unlike the image; the message names it.

    Notes
    -----
    Mask and image are those of astroscrappy 1.3.0 to the bit (x86-64; ``tests/golden/test_lacosmic.py``), except
    where that reads memory that it does not own or has not set: with ``cleantype="median"``, with NaN among the
    data, and for images smaller than its filters. No hit is found within 3 pixels of the border (2 with true
    medians), and stars within 6 of it may be taken for one.

    References
    ----------
    .. [1] van Dokkum 2001, PASP 113, 1420.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((20, 20), 100.0)
    >>> image[7, 11] = 900.0
    >>> mask, clean = detect_cosmics(image, threads=1)
    >>> int(mask.sum()), float(clean[7, 11])
    (1, 100.0)
    """
    params = LacosmicParams(
        sigclip=sigclip,
        sigfrac=sigfrac,
        objlim=objlim,
        gain=gain,
        readnoise=readnoise,
        satlevel=satlevel,
        niter=niter,
        sepmed=bool(sepmed),
        cleantype=cleantype,
    )
    if fsmode not in FINE_STRUCTURE:
        raise ValueError(f"fsmode is {fsmode!r}, expected one of {', '.join(FINE_STRUCTURE)}")
    kernel = None
    if fsmode == "convolve":
        # Turned, and turned back by the convolution: a correlation.
        kernel = as_kernel(
            psf_kernel(psfmodel, psffwhm, psfsize, psfbeta)[::-1, ::-1] if psfk is None else psfk
        )
    found, counts = find_hits(indat, inmask, inbkg, invar, params, kernel, count_threads(threads))
    for i, count in enumerate(counts, 1):
        logger.log(logging.INFO if verbose else logging.DEBUG, "round %d: %d cosmic-ray pixels", i, count)
    return found


def find_hits(
    data: ArrayLike,
    mask: ArrayLike | None,
    background: ArrayLike | None,
    variance: ArrayLike | None,
    params: LacosmicParams,
    kernel: NDArray[np.float32] | None,
    threads: int,
    *,
    heed_mask: bool = True,
) -> tuple[CosmicRays, list[int]]:
    """What :func:`detect_cosmics` finds, and how many pixels it selected in every round.

    Parameters
    ----------
    data, mask, background, variance : array_like
        As there.
    params : LacosmicParams
        Limits.
    kernel : ndarray of float32 or None
        Point spread function of the fine structure, with odd sides.
    threads : int
        Threads.
    heed_mask : bool, optional
        Whether the masked values of a masked array are bad pixels.
    """
    if params.cleantype not in CLEAN_TYPES:
        raise ValueError(f"cleantype is {params.cleantype!r}, expected one of {', '.join(CLEAN_TYPES)}")
    if params.niter < 0:
        raise ValueError(f"niter is {params.niter}, expected 0 or more")
    pixels, swapped = _as_pixels(data)
    shape = pixels.shape
    bad = None if mask is None else _as_plane("inmask", mask, shape) != 0
    if heed_mask and isinstance(data, np.ma.MaskedArray) and data.mask is not np.ma.nomask:
        own = np.ma.getmaskarray(data)
        bad = own if bad is None else bad | own
    gain = float(np.float32(params.gain))
    sky = None
    if background is not None:
        sky = (_as_plane("inbkg", background, shape) * gain).astype(np.float32)
        sky, bad = _fill(sky, bad)
    if variance is not None:
        variance = _as_plane("invar", variance, shape).astype(np.float32)
        variance, bad = _fill(variance, bad)
    bad = None if bad is None else np.ascontiguousarray(bad, np.bool_)
    hit, clean, counts = _core.detect_cosmics(pixels, swapped, bad, sky, variance, kernel, params, threads)
    return CosmicRays(hit, clean), counts


def _as_pixels(data: ArrayLike) -> tuple[NDArray[Any], bool]:
    """The data in one of the types the kernel reads, and whether their bytes are in the other order."""
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"indat has dtype {array.dtype}, expected real numbers")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"indat has shape {array.shape}, expected (ny, nx) with at least one pixel")
    swapped = not array.dtype.isnative
    kind = array.dtype.newbyteorder("=")
    if kind not in (np.float32, np.float64, np.uint16, np.int16, np.int32):
        # Wider integers are multiplied in double precision anyway.
        exact = np.float32 if kind == np.float16 else np.int16 if kind.itemsize == 1 else np.float64
        return np.ascontiguousarray(array, exact), False
    array = np.ascontiguousarray(array)
    return (array.view(kind), True) if swapped else (array, False)


def _as_plane(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A plane beside the data, in native byte order and C layout but of any type."""
    array = np.asarray(value)
    return as_array(name, value, array.dtype.newbyteorder("="), 2, shape)


def _fill(
    plane: NDArray[np.float32], bad: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """A pixel whose sky or variance is unknown is a bad one, and takes the median of the others."""
    limit = np.float32(1e30)
    known = np.abs(plane) < limit
    if known.all():
        return np.ascontiguousarray(plane), bad
    middle = np.median(plane[known]) if known.any() else 0.0
    return np.where(known, plane, np.float32(middle)), ~known if bad is None else bad | ~known
