"""Point spread functions for the fine structure of :func:`upramp.ccd.detect_cosmics`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PSF_MODELS", "as_kernel", "psf_kernel"]

PSF_MODELS = ("gauss", "gaussx", "gaussy", "moffat")
"""Models there are."""

FWHM_PER_SIGMA = 2.35482


def psf_kernel(
    model: str = "gauss", fwhm: float = 2.5, size: int = 7, beta: float = 4.765
) -> NDArray[np.float32]:
    r"""Point spread function on a square of pixels, its sum 1.

    Gaussians are :math:`\exp(-r^2 / 2 \sigma^2)` with :math:`\sigma` = `fwhm` / 2.35482, a Moffat profile
    :math:`(1 + r^2 / \alpha^2)^{-\beta}` with :math:`\alpha = \frac{1}{2}` `fwhm` :math:`/ \sqrt{2^{1/\beta} - 1}`.

    Parameters
    ----------
    model : {'gauss', 'gaussx', 'gaussy', 'moffat'}, optional
        Profile; ``gaussx`` falls off along rows alone, ``gaussy`` along columns.
    fwhm : float, optional
        Full width at half maximum, pixels.
    size : int, optional
        Rows and columns, odd.
    beta : float, optional
        Exponent of the Moffat profile.

    Returns
    -------
    (size, size) ndarray of float32
        The kernel, to the bit that of astroscrappy 1.3.0 where `size` is odd.

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    if model not in PSF_MODELS:
        raise ValueError(f"psfmodel is {model!r}, expected one of {', '.join(PSF_MODELS)}")
    if not (fwhm > 0 and np.isfinite(fwhm)):
        raise ValueError(f"psffwhm is {fwhm}, expected a positive number")
    if not (size > 0 and size % 2 == 1):
        raise ValueError(f"psfsize is {size}, expected an odd number")
    if not (beta > 0 and np.isfinite(beta)):
        raise ValueError(f"psfbeta is {beta}, expected a positive number")
    width = np.float32(fwhm)
    offset = np.arange(size) - size // 2
    x, y = np.meshgrid(offset, offset)
    r2 = {"gaussx": x * x, "gaussy": y * y}.get(model, x * x + y * y)
    if model == "moffat":
        power = float(np.float32(beta))
        alpha = float(width) / 2 / np.sqrt(2.0 ** (1.0 / power) - 1.0)
        r = np.sqrt(r2)
        profile = (1.0 + r * r / alpha / alpha) ** -power
    else:
        # The square is rounded to single precision, as there.
        profile = np.exp(-0.5 * r2 / (float(width * width) / FWHM_PER_SIGMA / FWHM_PER_SIGMA))
    kernel = profile.astype(np.float32)
    return np.asarray(kernel / kernel.sum(), np.float32)


def as_kernel(kernel: ArrayLike) -> NDArray[np.float32]:
    """A kernel of the caller as it is applied: of an even number of rows or columns the last is dropped.

    Parameters
    ----------
    kernel : (ky, kx) array_like
        Weights, used as they are: neither turned nor normalised.

    Returns
    -------
    ndarray of float32
        Kernel with odd sides.
    """
    array = np.asarray(kernel, np.float32)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"psfk has shape {array.shape}, expected (ky, kx)")
    if not np.isfinite(array).all():
        raise ValueError("psfk has values that are not finite")
    rows, columns = ((side - 1) // 2 * 2 + 1 for side in array.shape)
    return np.ascontiguousarray(array[:rows, :columns])
