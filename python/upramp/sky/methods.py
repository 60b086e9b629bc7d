"""Sky of every exposure of a set, by the four methods of AstroDrizzle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import count_threads
from upramp.exceptions import InputError
from upramp.sky.images import PixelRooms, SkyImage
from upramp.sky.match import Match, absolute_offsets, match_differences, match_levels
from upramp.sky.static import Signature, signature, static_masks
from upramp.sky.statistic import Measured, SkyStatistic
from upramp.sky.user import UserSky, user_values

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["ENGINES", "METHODS", "SkyResult", "match_sky"]

METHODS = ("localmin", "globalmin", "match", "globalmin+match")
"""Methods there are."""

ENGINES = ("robust", "compat")
"""Ways to measure what overlapping exposures differ by."""

Values = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class SkyResult:
    """The sky of every chip of a set of exposures.

    Attributes
    ----------
    images : tuple of SkyImage
        Exposures, in the order given.
    method : str
        Method asked for, ``all``, or ``user``.
    statistic : SkyStatistic or None
        How chips were measured; None for values of the user.
    static : float or None
        Threshold of the static mask; None without.
    measured : tuple of tuple of Measured
        Statistic of every chip, data units; empty where it was not needed (``match``) or for values of the user.
    methods : dict of str to tuple of tuple of float
        Sky of every chip by every method computed, data units of its file.
    matched : Match or None
        What overlapping exposures were found to differ by; None for methods without.
    applied : bool
        Whether values of the user have been subtracted from the pixels already.
    """

    images: tuple[SkyImage, ...]
    method: str
    statistic: SkyStatistic | None
    static: float | None
    measured: tuple[tuple[Measured, ...], ...]
    methods: dict[str, Values]
    matched: Match | None = None
    applied: bool = False

    @property
    def values(self) -> Values:
        """Sky of every chip by the method asked for, data units: what MDRIZSKY holds."""
        if self.method not in self.methods:
            raise ValueError(
                f"method is {self.method!r}, expected one of {', '.join(self.methods)} to have values"
            )
        return self.methods[self.method]

    @property
    def sigma(self) -> Values | None:
        """Uncertainty of every chip's `match` with respect to the mean of its group, data units.

        NaN for exposures that overlap no other; None where none were matched.
        """
        return None if self.matched is None else _in_data_units(self.images, self.matched.solution.sigma)

    def surface(self, number: int, chip: int) -> NDArray[np.float64] | None:
        """What the sky of a chip has beyond its level.

        Parameters
        ----------
        number, chip : int
            Exposure, and chip within it.

        Returns
        -------
        ndarray, (ny, nx) float64, or None
            Data units, of zero mean over the exposure; None where no surfaces were asked for.
        """
        robust = self.matched.robust if self.matched else None
        if robust is None or robust.surfaces is None or "match" not in self.method:
            return None
        one = self.images[number].chips[chip]
        return robust.surfaces.image(number, chip, one.shape) / one.factor

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Files of exposures that overlaps connect: levels of `match` cannot be compared between groups."""
        groups = self.matched.groups if self.matched else ()
        return tuple(tuple(self.images[number].path.name for number in group) for group in groups)

    @property
    def residuals(self) -> Table:
        """Pairs of overlapping exposures, before and after: :attr:`Match.residuals`."""
        if self.matched is None:
            raise ValueError(
                f"method is {self.method!r}, expected one that matches overlaps to have residuals"
            )
        return self.matched.residuals

    @cached_property
    def table(self) -> Table:
        """The methods side by side, a row a chip: astropy Table."""
        from astropy.table import Table

        rows: dict[str, list[Any]] = {
            name: [] for name in ("file", "rootname", "extver", "exptime", "unit", "npix", "chip_sky")
        }
        for number, image in enumerate(self.images):
            for c, chip in enumerate(image.chips):
                found = self.measured[number][c] if self.measured else Measured(np.nan, 0, np.nan)
                told = (
                    *(image.path.name, image.rootname, chip.extver, image.exptime or np.nan),
                    *(image.bunit or image.units, found.npix, found.value),
                )
                for name, value in zip(rows, told, strict=True):
                    rows[name].append(value)
        columns = rows | {
            name: [value for values in found for value in values] for name, found in self.methods.items()
        }
        how = {"method": self.method, "description": self.description}
        return Table(columns, meta=how)

    @property
    def description(self) -> str:
        """How the values were computed, in one line."""
        if self.statistic is None:
            return f"{self.method}: values given" + (", subtracted already" if self.applied else "")
        how = self.statistic
        limits = "".join(
            f", {name} {value:g}"
            for name, value in (("lower", how.lower), ("upper", how.upper))
            if value is not None
        )
        bits = sorted({"none" if image.bits is None else str(image.bits) for image in self.images})
        static = "" if self.static is None else f", static mask {self.static:g} sigma"
        robust = self.matched.robust if self.matched else None
        engine = "" if self.matched is None else f" ({self.matched.engine})"
        if robust is not None and robust.surfaces is not None:
            engine = f" (robust, order {robust.surfaces.order})"
        if robust is not None and self.method == "match":
            return f"{self.method}{engine}: differences of pixels, DQ bits {'/'.join(bits)}{static}"
        return (
            f"{self.method}{engine}: {how.statistic}, nclip {how.nclip}, -{how.lsigma:g} +{how.usigma:g} sigma, "
            f"width {how.width:g}{limits}, DQ bits {'/'.join(bits)}{static}"
        )


def match_sky(
    images: Sequence[SkyImage],
    method: str = "localmin",
    *,
    engine: str = "robust",
    order: int = 0,
    statistic: SkyStatistic | None = None,
    static: float | None = None,
    user: Mapping[str, float | Sequence[float]] | UserSky | None = None,
    anchor: Literal["down", "up", "mean"] = "down",
    fallback: Literal["localmin"] | None = None,
    threads: int | None = None,
    progress: Callable[[], None] | None = None,
) -> SkyResult:
    r"""Sky of every exposure.

    With the statistic :math:`t_m` of chip m and its factor :math:`f_m` to surface brightness
    (:func:`~upramp.sky.read_image`), and the offsets :math:`d_i` that make exposures agree where they overlap,

    .. math::
        B_i &= \min_{m \in i} f_m t_m && \text{(localmin)} \\
        B &= \min_i B_i && \text{(globalmin)} \\
        B_i &= d_i && \text{(match)} \\
        B_i &= d_i + \min_j (\min_{m \in j} f_m t_m - d_j) && \text{(globalmin+match)}

    and the sky of chip m in data units is :math:`B / f_m`.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    method : {'localmin', 'globalmin', 'match', 'globalmin+match', 'all'}, optional
        Which is the result; ``all`` computes all of them for the table.
    engine : {'robust', 'compat'}, optional
        How differences in overlaps are measured: ``robust`` pixel by pixel (:func:`match_differences`), ``compat``
        by the statistic of each exposure, as stsci.skypac does (:func:`match_levels`).
    order : int, optional
        With ``robust``, 1 for a plane and 2 for a surface of the second order an exposure, besides its level; they
        are subtracted by :func:`~upramp.sky.subtract_sky` alone, MDRIZSKY being the mean level.
    statistic : SkyStatistic, optional
        How chips are measured; default the median.
    static : float, optional
        Leave out pixels that any exposure has this many standard deviations too low
        (:func:`~upramp.sky.static_masks`); AstroDrizzle does so at 4.
    user : UserSky or mapping of str to float or sequence of float, optional
        Values instead of measured ones: by file name, the sky in data units, of all chips or of each
        (:func:`read_sky_file`, :func:`read_sky_keyword`).
    anchor : {'down', 'up', 'mean'}, optional
        What ``match`` has at zero: the faintest exposure, the brightest, or the mean of every group.
    fallback : {'localmin'}, optional
        What ``match`` gives an exposure that overlaps no other; by default 0, as it is a group of its own. With
        ``localmin`` it is placed by its own sky, :math:`B_i - \min_j (B_j - d_j)` over the others.
    threads : int, optional
        Images worked on at a time; default one a core. The result does not depend on it.
    progress : callable, optional
        Called after every chip (in overlaps) and every image (as a whole) measured.

    Returns
    -------
    SkyResult
        Values, table, groups and residuals.

    Raises
    ------
    ValueError
        No such method, engine or order; no images; `user` lacks a file.
    InputError
        Exposures without a good pixel (all are named); files in electrons and in DN, or with and without a pixel
        scale, which have no minimum in common; no WCS where overlaps are asked for.

    Warns
    -----
    UserWarning
        Overlaps leave exposures in several groups, whose levels by ``match`` cannot be compared.

    Notes
    -----
    Agrees with ``stsci.skypac`` 1.0.12, its inverted DQ mask set right, to 1e-6
    (``tests/golden/test_sky_levels.py``) and, where overlaps are matched by ``compat``, to 1e-9
    (``tests/golden/test_sky_match.py``). ``robust`` is nearer to the truth of simulated mosaics by a factor of 7 to
    50 where there is structure (``tests/golden/test_sky_robust_sets.py``).
    An exposure without a good pixel gets the sky 0 there; here it is an error, but for ``match``, where it is one
    that overlaps no other. skypac writes nothing for those.
    """
    images = tuple(images)
    if not images:
        raise ValueError("images is empty, expected at least one")
    if user is not None:
        given = user if isinstance(user, UserSky) else UserSky(user)
        values = {"user": user_values(images, given)}
        return SkyResult(images, "user", None, None, (), values, applied=given.applied)
    for name, value, known in (
        ("method", method, (*METHODS, "all")),
        ("engine", engine, ENGINES),
        ("anchor", anchor, ("down", "up", "mean")),
        ("fallback", fallback, (None, "localmin")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(str, known))}")
    if order not in (0, 1, 2) or (order and engine != "robust"):
        raise ValueError(f"order is {order}, expected 0, or with the engine robust 1 or 2")
    problem = _incomparable(images)
    if problem is not None and method != "localmin":
        raise InputError(problem)
    how, threads = statistic or SkyStatistic(), count_threads(threads)
    masks = {} if static is None else static_masks(images, sigma=static, threads=threads)
    matched = None
    if "match" in method or method == "all":
        if engine == "robust":
            matched = match_differences(
                images, masks, order=order, anchor=anchor, threads=threads, progress=progress
            )
        else:
            matched = match_levels(images, how, masks, anchor=anchor, threads=threads, progress=progress)
        _tell_groups(matched)
    measured: tuple[tuple[Measured, ...], ...] = ()
    brightness: dict[str, NDArray[np.float64]] = {}
    if method != "match" or (fallback is not None and matched is not None and matched.solution.isolated):
        measured = _measure_all(images, how, masks, threads, progress)
        brightness["localmin"] = _local_minima(images, measured, how)
        if problem is None:
            brightness["globalmin"] = np.full(len(images), brightness["localmin"].min())
    if matched is not None:
        brightness |= _match(matched, brightness.get("localmin"), fallback)
    values = {name: _in_data_units(images, brightness[name]) for name in METHODS if name in brightness}
    return SkyResult(images, method, how, static, measured, values, matched)


def _measure_all(
    images: Sequence[SkyImage],
    how: SkyStatistic,
    masks: Mapping[Signature, NDArray[np.bool_]],
    threads: int,
    progress: Callable[[], None] | None = None,
) -> tuple[tuple[Measured, ...], ...]:
    """Statistic of every chip."""
    rooms = PixelRooms(threads)

    def measure(image: SkyImage) -> tuple[Measured, ...]:
        found = []
        for c in range(len(image.chips)):
            pixels = image.read_good(c, masks.get(signature(image, c)), rooms)
            found.append(how.measure(pixels))
            rooms.give_back(pixels)
        if progress is not None:
            progress()
        return tuple(found)

    with ThreadPoolExecutor(min(threads, len(images))) as pool:
        return tuple(pool.map(measure, images))


def _local_minima(
    images: Sequence[SkyImage], measured: Sequence[tuple[Measured, ...]], how: SkyStatistic
) -> NDArray[np.float64]:
    """Lowest surface brightness of the chips of every exposure."""
    both = list(zip(images, measured, strict=True))
    empty = [image.path.name for image, found in both if all(chip.npix == 0 for chip in found)]
    if empty:
        raise InputError(
            f"{', '.join(empty)}: no good pixel left by DQ, masks and limits, expected some to measure the sky on"
        )
    return np.array(
        [
            min(chip.factor * one.value for chip, one in zip(image.chips, found, strict=True) if one.npix)
            for image, found in both
        ]
    )


def _match(
    matched: Match, local: NDArray[np.float64] | None, fallback: str | None
) -> dict[str, NDArray[np.float64]]:
    """Surface brightness of every exposure by the methods that match overlaps."""
    offsets = matched.offsets
    if local is None:
        return {"match": offsets}
    alone = list(matched.solution.isolated)
    if fallback is not None and alone:
        # Placed by its own sky, an exposure lowers no other's.
        others = [number for group in matched.solution.groups for number in group] or alone
        offsets[alone] = local[alone] - (local - offsets)[others].min()
    return {"match": offsets, "globalmin+match": absolute_offsets(local, offsets)}


def _tell_groups(matched: Match) -> None:
    """Warn where overlaps do not connect all exposures."""
    if len(matched.groups) > 1:
        names = [image.path.name for image in matched.images]
        told = "; ".join(", ".join(names[number] for number in group) for group in matched.groups)
        warnings.warn(
            f"overlaps leave {len(matched.groups)} groups, whose matched levels cannot be compared: {told}",
            stacklevel=3,
        )


def _in_data_units(images: Sequence[SkyImage], brightness: NDArray[np.float64]) -> Values:
    return tuple(
        tuple(level / chip.factor for chip in image.chips)
        for image, level in zip(images, brightness.tolist(), strict=True)
    )


def _incomparable(images: Sequence[SkyImage]) -> str | None:
    """Why surface brightnesses of these images cannot be compared; None if they can."""
    kinds = {(image.bunit or image.units).upper().split("/")[0].strip().rstrip("S") for image in images}
    known = kinds - {"COUNT", "RATE"}
    if len(known) > 1:
        return f"units are mixed: {', '.join(sorted(known))}; a minimum in common needs images of one kind"
    without = [image.path.name for image in images for chip in image.chips if chip.scale is None]
    number = sum(len(image.chips) for image in images)
    if without and len(without) < number:
        return f"{', '.join(without)}: no WCS nor IDCSCALE, the others have one: no surface brightness"
    without = [image.path.name for image in images for chip in image.chips if chip.sensitivity is None]
    if without and len(without) < number:
        return f"{', '.join(without)}: sensitivity not used, that of the others is: no common flux"
    return None
