"""What stcal's `max_cores` asks for."""

from __future__ import annotations

import os

__all__ = ["count_cores"]


def count_cores(max_cores: str | None, rows: int) -> int:
    """Threads in the place of the processes that stcal would start.

    Parameters
    ----------
    max_cores : str or None
        'none' or 'one', 'quarter', 'half' or 'all' of the machine's cores, or a number.
    rows : int
        Rows of the image: no more threads than that.

    Raises
    ------
    ValueError
        Something else.
    """
    available = os.cpu_count() or 1
    text = str(max_cores).lower()
    named = {
        "none": 1,
        "one": 1,
        "quarter": available // 4 or 1,
        "half": available // 2 or 1,
        "all": available,
    }
    if not (text in named or text.isdecimal()):
        raise ValueError(f"max_cores is {max_cores!r}, expected a number or one of {', '.join(named)}")
    wanted = named[text] if text in named else int(text)
    return max(1, min(rows, wanted, available))
