"""Frames of a stack opened together: what cannot be used is told or left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.ccd.frames import MASK, UNCERT, ArrayFrame, ExtendedFrame, FileFrame, Frame, is_ccddata, std_of
from upramp.exceptions import InputError
from upramp.io import ImageFile, Spool, file_budget

__all__ = ["OnError", "check_shape", "open_frames"]

OnError = Callable[[InputError], None] | None


@contextmanager
def open_frames(
    frames: Sequence[Any],
    *,
    ext: int | str | None = None,
    masks: Sequence[Any] | None = None,
    uncertainties: Sequence[Any] | None = None,
    memory: int,
    keep_headers: bool = True,
    on_error: OnError = None,
) -> Iterator[tuple[list[Frame], Spool]]:
    """Frames whose rows can be read, until the block ends.

    Parameters
    ----------
    frames : sequence of array_like, CCDData or path-like
        Frames.
    ext : int or str, optional
        Extension of the image in files.
    masks, uncertainties : sequence of (array_like or None), optional
        One a frame, beside those that frames have of their own.
    memory : int
        Bytes that may be held of files that are not read later.
    keep_headers : bool, optional
        Whether headers of files will be asked for.
    on_error : callable, optional
        Called with the error of each frame that cannot be used, or has another shape than the first, which is then
        left out. Without it the first such error is raised.

    Yields
    ------
    list of Frame, Spool
        The frames, and what is held of them.
    """
    opened: list[ImageFile] = []
    made: list[Frame] = []
    budget = file_budget()
    with Spool(memory) as spool:

        def open_one(k: int) -> Frame:
            frame = frames[k]
            mask = None if masks is None or masks[k] is None else np.asarray(masks[k], bool)
            std = None if uncertainties is None or uncertainties[k] is None else np.asarray(uncertainties[k])
            if isinstance(frame, (str, os.PathLike)):
                keep = sum(file.is_open for file in opened) < budget
                opened.append(
                    ImageFile(
                        frame, ext, (MASK, UNCERT), spool=spool, keep_open=keep, keep_headers=keep_headers
                    )
                )
                return _with(FileFrame(opened[-1]), mask, std)
            if is_ccddata(frame):
                own = None if frame.mask is None else np.asarray(frame.mask, bool)
                mask = own if mask is None else mask if own is None else mask | own
                std = std_of(frame) if std is None else std
                frame = frame.data
            return ArrayFrame(f"frames[{k}]", frame, mask, std)

        try:
            for k in range(len(frames)):
                try:
                    one = open_one(k)
                    check_shape(one, made)
                except (InputError, ValueError) as error:
                    if on_error is None:
                        raise
                    on_error(error if isinstance(error, InputError) else InputError(str(error)))
                    continue
                one.index = k
                made.append(one)
            if not made:
                raise InputError("no frame can be used")
            yield made, spool
        finally:
            for file in opened:
                file.close()


def check_shape(frame: Frame, others: Sequence[Frame]) -> None:
    """Refuse a frame that is not shaped as the others.

    Parameters
    ----------
    frame : Frame
        Frame.
    others : sequence of Frame
        Those before it.

    Raises
    ------
    ValueError
        It is not.
    """
    if others and frame.shape != others[0].shape:
        raise ValueError(
            f"{frame.name} has shape {frame.shape}, expected {others[0].shape}, that of {others[0].name}"
        )


def _with(frame: FileFrame, mask: NDArray[np.bool_] | None, std: NDArray[Any] | None) -> Frame:
    return frame if mask is None and std is None else ExtendedFrame(frame, mask, std)
