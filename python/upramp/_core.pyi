from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "divide_flat",
    "fit_crcorr",
    "good_pixels",
    "read_stats",
    "swap_big_endian",
    "to_rate",
]

__version__: str

_Bounds = tuple[int, int, int, int]
_Summary = tuple[float, float, float]

class _CrcorrParams(Protocol):
    @property
    def crsigma(self) -> float: ...
    @property
    def bad_dq(self) -> int: ...
    @property
    def gain(self) -> float: ...
    @property
    def rate(self) -> bool: ...
    @property
    def zeroth_rescue(self) -> bool: ...
    @property
    def zeroth_time(self) -> float: ...
    @property
    def parity(self) -> bool: ...

def swap_big_endian(words: NDArray[Any]) -> None: ...
def to_rate(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    time: NDArray[np.float32],
    zeroth_time: float | None,
    region: _Bounds,
) -> None: ...
def divide_flat(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flat_sci: NDArray[np.float32],
    flat_err: NDArray[np.float32],
    flat_dq: NDArray[np.uint16],
    gain: float,
    region: _Bounds,
) -> None: ...
def good_pixels(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flags: int,
    region: _Bounds,
) -> tuple[int, _Summary, _Summary, _Summary]: ...
def read_stats(
    cube: NDArray[np.float32],
    dq: NDArray[np.uint16] | None,
    mask: NDArray[np.bool_] | None,
    region: _Bounds,
    bad_dq: int,
    clip: tuple[float, float, int] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def fit_crcorr(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    times: NDArray[np.float32],
    time_cube: NDArray[np.float32] | None,
    excluded: NDArray[np.bool_],
    to_dn: NDArray[np.float32] | None,
    region: _Bounds,
    params: _CrcorrParams,
    threads: int,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.uint16],
    NDArray[np.int16],
    NDArray[np.float32],
    NDArray[np.uint16],
    int,
]: ...
