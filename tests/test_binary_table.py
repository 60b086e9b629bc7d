"""Binary tables, against astropy."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from upramp.io import FitsReader
from upramp.io.table import _row_type

ROWS = 5
SIMPLE = [
    fits.Column("AMP", "4A", array=["ABCD", "A", " B ", "", "N/A"]),
    fits.Column("GOOD", "L", array=[True, False, True, True, False]),
    fits.Column("PAIR", "2L", array=np.arange(10).reshape(ROWS, 2) % 3 == 0),
    fits.Column("BYTE", "B", array=np.arange(ROWS, dtype=np.uint8) + 250),
    fits.Column("SHORT", "I", array=np.arange(ROWS, dtype=np.int16) - 3),
    fits.Column("LONG", "J", array=np.arange(ROWS, dtype=np.int32) << 20),
    fits.Column("LONGER", "K", array=np.arange(ROWS, dtype=np.int64) << 40),
    fits.Column("FLOAT", "E", array=np.array([1.5, np.nan, -0.0, np.inf, 3e-40], np.float32)),
    fits.Column("GRID", "3D", array=np.linspace(0, 1, 15).reshape(ROWS, 3)),
]
UNUSUAL = {
    "unsigned": fits.Column("FLAGS", "I", bzero=32768, array=np.arange(ROWS, dtype=np.uint16) + 65000),
    "shaped": fits.Column("IMAGE", "4J", dim="(2,2)", array=np.arange(20).reshape(ROWS, 2, 2)),
    "complex": fits.Column("WAVE", "C", array=np.arange(ROWS) * 1j),
}


def columns(path: Path) -> dict[str, np.ndarray]:
    with FitsReader(path) as reader:
        return reader.columns()


@pytest.mark.parametrize("unusual", [None, *UNUSUAL])
def test_columns_are_those_of_astropy(tmp_path: Path, unusual: str | None) -> None:
    path = tmp_path / "table.fits"
    made = [*SIMPLE, *([UNUSUAL[unusual]] if unusual else [])]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)]).writeto(path)
    found = columns(path)
    with fits.open(path) as hdus:
        # The quick way is for what it can read, and only for that.
        assert (_row_type(hdus[1].header) is None) == (unusual is not None)
        assert list(found) == hdus[1].columns.names
        for name, values in found.items():
            expected = np.array(hdus[1].data[name])
            assert values.shape == expected.shape
            assert values.dtype.kind == expected.dtype.kind or unusual == "unsigned"
            np.testing.assert_array_equal(values, expected)


def test_no_rows_no_values(tmp_path: Path) -> None:
    path = tmp_path / "empty.fits"
    whole = fits.BinTableHDU.from_columns(SIMPLE)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(whole.data[:0])]).writeto(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {values.shape[0] for values in columns(path).values()} == {0}
