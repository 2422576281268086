"""CSV files, out and in: no cell that a spreadsheet would run, no text that a reader would change.

Fields are quoted where a comma, semicolon, quote, tab or line break stands in them, or a space at an end. Numbers stay
numbers, negative ones too; a *text* that would be taken for a formula gets an apostrophe before it, which `read_sheet`
takes off again.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from dorl.errors import InputError
from dorl.files import atomic
from dorl.names import no_formula, with_formula, without_surrogates

_QUOTED = set(',;"\t\r\n')


def sheet_line(values: Iterable[Any], *, number: str = "") -> str:
    """One row as CSV, with its line break.

    Parameters
    ----------
    values : iterable
        Text, numbers, truth values; None and NaN are left empty.
    number : str
        Format of numbers with a point, for example ``".4f"``; the shortest that is exact by default.
    """
    return ",".join(_field(value, number) for value in values) + "\n"


def _field(value: Any, number: str) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, numbers.Number) or type(value).__name__ in ("bool", "bool_"):
        if isinstance(value, numbers.Integral) or not isinstance(value, numbers.Real):
            return str(value)
        return "" if math.isnan(value) else format(float(value), number) if number else repr(float(value))
    text = no_formula(without_surrogates(str(value)))
    if _QUOTED & set(text) or text != text.strip():
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


class SheetWriter:
    """Writes rows to an open file of text (UTF-8, ``newline=""``), as `sheet_line` makes them."""

    def __init__(self, file: IO[str], columns: Sequence[str], *, number: str = "") -> None:
        self._file, self._number = file, number
        self.row(columns)

    def row(self, values: Iterable[Any]) -> None:
        """Write a row."""
        self._file.write(sheet_line(values, number=self._number))


def write_sheet(path: str | Path, table: pd.DataFrame, *, number: str = "") -> None:
    """Write a table as CSV, UTF-8, whole or not at all; `number` is the format of numbers with a point."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = SheetWriter(file, [str(column) for column in table.columns], number=number)
        for row in table.itertuples(index=False, name=None):
            writer.row(row)


def read_sheet(path: str | Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table that `write_sheet` wrote; the columns named in `text` as they were, letter by letter.

    Raises
    ------
    InputError
        If it can't be read as a table.
    """
    try:
        table = pd.read_csv(path, converters=dict.fromkeys(text, with_formula))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file: give another one") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path}: is empty: give a table, or remove it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read as a table: remove it, or give another file") from error
    return table
