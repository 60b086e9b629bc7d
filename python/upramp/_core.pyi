from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "average_intervals",
    "calibrate_reads",
    "cell_levels",
    "combine_frames",
    "copy_swapped",
    "detect_cosmics",
    "divide_flat",
    "fill_polygons",
    "find_jumps",
    "find_overlaps",
    "fit_casertano",
    "fit_crcorr",
    "fit_differences",
    "fit_gls",
    "fit_ols",
    "good_pixels",
    "image_differences",
    "image_statistic",
    "interval_stats",
    "mask_pixels",
    "overlap_levels",
    "polygon_areas",
    "read_stats",
    "reference_levels",
    "search_differences",
    "sky_brightness",
    "swap_big_endian",
]

__version__: str

_Bounds = tuple[int, int, int, int]
_Summary = tuple[float, float, float]
_Samples = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint16]
_Flags = NDArray[np.uint8] | NDArray[np.uint16]
_Pattern = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_PerPixel = float | NDArray[np.float32]
_Covariance = tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.bool_],
    float,
]

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

class _LacosmicParams(Protocol):
    @property
    def sigclip(self) -> float: ...
    @property
    def sigfrac(self) -> float: ...
    @property
    def objlim(self) -> float: ...
    @property
    def gain(self) -> float: ...
    @property
    def readnoise(self) -> float: ...
    @property
    def satlevel(self) -> float: ...
    @property
    def niter(self) -> int: ...
    @property
    def sepmed(self) -> bool: ...
    @property
    def cleantype(self) -> str: ...
    @property
    def grow(self) -> float | None: ...

class _DqRule(Protocol):
    @property
    def bad(self) -> int: ...
    @property
    def lenient(self) -> int: ...
    @property
    def carried(self) -> int: ...
    @property
    def zeroth(self) -> int: ...
    @property
    def cleared(self) -> int: ...
    @property
    def passing(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def hit(self) -> int: ...

class _GlsProducts(Protocol):
    @property
    def err(self) -> bool: ...
    @property
    def variances(self) -> bool: ...
    @property
    def goodness(self) -> bool: ...
    @property
    def exposure(self) -> bool: ...
    @property
    def hits(self) -> bool: ...
    @property
    def flags(self) -> bool: ...
    @property
    def pedestal(self) -> tuple[float, float] | None: ...

class _RampBits(Protocol):
    @property
    def do_not_use(self) -> int: ...
    @property
    def saturated(self) -> int: ...
    @property
    def jump(self) -> int: ...
    @property
    def persistence(self) -> int: ...
    @property
    def charge_loss(self) -> int: ...
    @property
    def no_gain(self) -> int: ...

class _JumpRule(Protocol):
    @property
    def thresholds(self) -> tuple[float, float, float]: ...
    @property
    def neighbours(self) -> tuple[float, float] | None: ...
    @property
    def after(self) -> Sequence[tuple[float, int]]: ...
    @property
    def single_pass(self) -> int: ...
    @property
    def fewest(self) -> int: ...
    @property
    def clip(self) -> int: ...
    @property
    def across(self) -> bool: ...
    @property
    def clear(self) -> bool: ...

_Rates = tuple[list[NDArray[np.float32]], NDArray[np.uint32]]

def copy_swapped(words: NDArray[Any], into: NDArray[Any]) -> None: ...
def swap_big_endian(words: NDArray[Any]) -> None: ...
def calibrate_reads(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    region: _Bounds,
    *,
    bad_pixels: NDArray[np.uint16] | None,
    zero_signal: bool,
    levels: NDArray[np.float32] | None,
    zero_offset: bool,
    noise: list[bool],
    amps: tuple[list[float], list[float], tuple[int, int]],
    linearity: Any,
    linearize: bool,
    darks: Any,
    times: tuple[float, list[NDArray[np.float32]]] | None,
    threads: int,
) -> list[float]: ...
def combine_frames(
    words: Sequence[NDArray[np.uint16]] | Sequence[NDArray[np.float32]],
    swapped: Sequence[bool],
    flipped: Sequence[bool],
    bad: Sequence[NDArray[np.bool_] | None],
    sigma: Sequence[NDArray[np.float32]] | None,
    scale: Sequence[float],
    zero: Sequence[float],
    method: str,
    clip: tuple[float, float, int, str, str] | None,
    extremes: tuple[int, int] | None,
    data: NDArray[np.float32],
    uncertainty: NDArray[np.float32] | None,
    count: NDArray[np.uint16] | None,
    threads: int,
) -> bool: ...
def reference_levels(
    sci: NDArray[np.float32], region: _Bounds, columns: list[list[int]], threads: int
) -> list[float]: ...
def divide_flat(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flat: Any,
    at: tuple[int, int],
    gain: float,
    region: _Bounds,
    threads: int,
) -> None: ...
def good_pixels(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flags: int,
    region: _Bounds,
    threads: int,
) -> list[tuple[int, _Summary, _Summary, _Summary]]: ...
def read_stats(
    cube: NDArray[np.float32],
    dq: NDArray[np.uint16] | None,
    mask: NDArray[np.bool_] | None,
    response: NDArray[np.float32] | None,
    region: _Bounds,
    bad_dq: int,
    clip: tuple[float, float, int] | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def cell_levels(
    cube: NDArray[np.float32],
    dq: NDArray[np.uint16],
    weight: NDArray[np.float32],
    times: NDArray[np.float64],
    response: NDArray[np.float32] | None,
    base: NDArray[np.float32] | None,
    mask: NDArray[np.bool_] | None,
    region: _Bounds,
    bad_dq: int,
    rows: list[int],
    columns: list[int],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
def average_intervals(
    sci: NDArray[np.float32],
    dq: NDArray[np.uint16],
    weight: NDArray[np.float32],
    times: NDArray[np.float64],
    electrons: NDArray[np.float32],
    noise: NDArray[np.float32],
    dark: float,
    excluded: NDArray[np.bool_],
    sigma: float,
    bad_dq: int,
    region: _Bounds,
    threads: int,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.uint16],
    NDArray[np.int16],
    NDArray[np.float32],
    NDArray[np.uint16],
]: ...
def interval_stats(
    cube: NDArray[np.float32],
    dq: NDArray[np.uint16] | None,
    mask: NDArray[np.bool_] | None,
    pattern: NDArray[np.float32] | None,
    differences: Sequence[tuple[int, float, int, float]],
    regions: list[_Bounds],
    bad_dq: int,
    clip: tuple[float, int] | None,
    threads: int,
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]: ...
def fit_crcorr(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    times: NDArray[np.float32],
    time_cube: NDArray[np.float32] | None,
    excluded: NDArray[np.bool_],
    breaks: NDArray[np.bool_],
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
def fit_gls(
    sci: _Samples,
    untouched: _Samples | None,
    removed: tuple[NDArray[np.float64], NDArray[np.float32] | None] | None,
    dq: _Flags | None,
    mask: NDArray[np.bool_] | None,
    excluded: NDArray[np.bool_],
    scale: NDArray[np.float64],
    pattern: _Pattern,
    gain: _PerPixel,
    read_noise: _PerPixel,
    dark: _PerPixel,
    guess: _PerPixel | None,
    thresholds: tuple[float, float, int, bool] | None,
    rule: _DqRule,
    region: _Bounds,
    wanted: _GlsProducts,
    *,
    threads: int,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32] | None,
    list[NDArray[np.float32]] | None,
    tuple[NDArray[np.float32], NDArray[np.int16]] | None,
    tuple[NDArray[np.float32], NDArray[np.uint16]] | None,
    tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.float32]] | None,
    tuple[NDArray[np.uint16], NDArray[np.uint16], int] | None,
    list[NDArray[np.float32]] | None,
]: ...
def fit_casertano(
    sci: _Samples,
    dq: _Flags | None,
    bad: int,
    hit: int,
    mask: NDArray[np.bool_] | None,
    pattern: _Pattern,
    gain: _PerPixel,
    read_noise: _PerPixel,
    threshold: tuple[float, float] | None,
    power: float | None,
    *,
    threads: int,
) -> tuple[list[NDArray[np.float32]], NDArray[np.uint32], NDArray[np.uint16]]: ...
def fit_differences(
    diffs: NDArray[np.float64],
    used: NDArray[np.bool_] | None,
    noise: NDArray[np.float64],
    guess: NDArray[np.float64],
    covariance: _Covariance,
    priors: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    *,
    tables: bool,
    threads: int,
) -> tuple[
    list[NDArray[np.float64]],
    NDArray[np.float64],
    list[NDArray[np.float64]],
    list[NDArray[np.float64]],
    list[NDArray[np.float64]],
]: ...
def search_differences(
    diffs: NDArray[np.float64],
    used: NDArray[np.bool_] | None,
    noise: NDArray[np.float64],
    covariance: _Covariance,
    thresholds: tuple[float, float, int],
    *,
    threads: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]: ...
def polygon_areas(vertices: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]: ...
def find_overlaps(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], groups: NDArray[np.int64], threads: int
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
]: ...
def fill_polygons(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    pieces: NDArray[np.int64],
    shapes: NDArray[np.int64],
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def sky_brightness(pixels: NDArray[np.float32], factor: float) -> tuple[float, int]: ...
def image_differences(
    images: Sequence[NDArray[np.float32]],
    nodes: Sequence[NDArray[np.float64]],
    pairs: NDArray[np.int64],
    stride: int,
    clip: float,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]: ...
def overlap_levels(
    image: NDArray[np.float32],
    spans: NDArray[np.int64],
    starts: NDArray[np.int64],
    measure: str,
    limits: tuple[float | None, float | None],
    rounds: int,
    thresholds: tuple[float, float],
    width: float,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]: ...
def mask_pixels(
    pixels: NDArray[np.float32],
    quality: NDArray[np.uint16] | None,
    good: NDArray[np.bool_] | None,
    bad: int,
    swapped: tuple[bool, bool],
) -> None: ...
def image_statistic(
    image: NDArray[np.float32],
    good: NDArray[np.bool_] | None,
    measure: str,
    limits: tuple[float | None, float | None],
    rounds: int,
    thresholds: tuple[float, float],
    width: float,
) -> tuple[float, int, float]: ...
def fit_ols(
    data: NDArray[Any],
    dq: NDArray[Any] | None,
    original: NDArray[Any] | None,
    pixel_dq: NDArray[np.uint32] | None,
    zeroframe: NDArray[np.float32] | None,
    gain: _PerPixel,
    read_noise: _PerPixel,
    dark: _PerPixel,
    times: tuple[float, float, float, float],
    bits: _RampBits,
    *,
    suppress: bool,
    lone_first: bool,
    integrations: bool,
    segments: bool,
    parity: bool,
    threads: int,
) -> tuple[
    _Rates,
    _Rates | None,
    tuple[list[NDArray[np.float32]], NDArray[np.float32], NDArray[np.float32]] | None,
    NDArray[np.int64],
]: ...
def find_jumps(
    data: NDArray[Any],
    dq: NDArray[Any] | None,
    gain: _PerPixel,
    read_noise: _PerPixel,
    time: NDArray[np.float64],
    reads: NDArray[np.float64],
    rule: _JumpRule,
    bits: _RampBits,
    *,
    threads: int,
) -> tuple[NDArray[Any], int | None, list[NDArray[np.int64]]]: ...
def detect_cosmics(
    data: NDArray[Any],
    swapped: bool,
    mask: NDArray[np.bool_] | None,
    sky: NDArray[np.float32] | None,
    variance: NDArray[np.float32] | None,
    kernel: NDArray[np.float32] | None,
    params: _LacosmicParams,
    threads: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float32], list[int]]: ...
