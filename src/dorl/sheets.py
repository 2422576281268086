"""CSV files, out and in: no cell that a spreadsheet would run, no text that a reader would change.

`read_sheet` reads what `write_sheet` wrote. `read_any_sheet` reads what people's spreadsheets write, and `number_in`
the numbers in it.

Fields are quoted where a comma, semicolon, quote, tab or line break stands in them, or a space at an end. Numbers stay
numbers, negative ones too; a *text* that would be taken for a formula gets an apostrophe before it, which `read_sheet`
takes off again.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import numbers
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from dorl.errors import InputError
from dorl.files import atomic
from dorl.names import no_formula, with_formula, without_surrogates

_QUOTED = set(',;"\t\r\n')
#: what may divide columns, the likeliest first
_DELIMITERS = ",;\t|"
#: bytes of a file's beginning, in which its first lines are looked for
BEGINNING = 1 << 18


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


def read_any_sheet(path: Path, names: Iterable[str], *, exact: bool = False) -> pd.DataFrame:
    """Read a CSV file, however its columns are divided, as text: "007" and "NA" stay what they are.

    Parameters
    ----------
    path : Path
        Divided by commas, semicolons, tabs or bars; UTF-8, or UTF-16 as Excel's "Unicode text". Excel's first line
        ``sep=;`` is followed. Bytes that aren't UTF-8 become surrogates, as in names of files.
    names : iterable of str
        Names of columns, as `plain_name` gives them, by one of which it is told what divides them.
    exact : bool
        Refuse a line with more values than there are columns, which would be dropped, as of "0,6" between commas.

    Raises
    ------
    InputError
        If it can't be read as a table.
    """
    try:
        content = path.read_bytes()  # once, since it may be a pipe
        first, skipped = next(iter(_lines(content)), ""), 0
        if said := re.fullmatch(r'"?sep=(.)"?\s*', first):
            delimiter, skipped = said[1], 1
        else:
            delimiter = delimiter_of(first, names) or max(_DELIMITERS, key=first.count)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of the empty cell behind a comma at the end
            # without index_col=False a comma at the end of the rows would move every value one column to the left
            table = pd.read_csv(
                io.BytesIO(content),
                sep=delimiter,
                skiprows=skipped,
                dtype=object,
                keep_default_na=False,
                index_col=False,
                encoding=_encoding(content),
                encoding_errors="surrogateescape",
                skipinitialspace=True,
            )
    except Exception as error:  # pandas raises many kinds for a damaged file
        why = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: can't be read as a {path.suffix[1:]} table ({why}): save it anew") from error
    if exact:
        text = io.StringIO(content.decode(_encoding(content), "replace"), newline="")
        for line, row in enumerate(csv.reader(text, delimiter=delimiter), start=1):
            if line > skipped and any(value.strip() for value in row[len(table.columns) :]):
                raise InputError(
                    f"{path}: line {line} has more values than columns: quote a number with a comma, or divide the "
                    "columns by semicolons"
                )
    return table


def first_lines(path: Path) -> list[str]:
    """The first two lines of a CSV file, as far as they are read at once; OSError where there is no such file."""
    with path.open("rb") as file:
        content = file.read(BEGINNING)
    return _lines(content)[:2]


def delimiter_of(line: str, names: Iterable[str]) -> str | None:
    """What divides a line of columns' names of which one is among `names`; None where none is."""
    wanted = set(names)
    for delimiter in _DELIMITERS:
        if any(plain_name(name.strip().strip('"')) in wanted for name in line.split(delimiter)):
            return delimiter
    return None


def plain_name(name: str) -> str:
    """A column's name in lower case, with spaces for what divides words: "cellClass", "Cell_class": "cell class"."""
    return re.sub(r"[\s_.-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().casefold()


def number_in(text: str) -> tuple[float, bool]:
    """A number as people write it, and whether it is in per cent: "0.6", "0,6", "60%" and "60,5 %".

    Raises
    ------
    ValueError
        If it is none; "1.234,5" isn't either, since nobody can tell its marks apart.
    """
    number, percent = re.fullmatch(r"(.*?)\s*(%?)", text.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    if "." not in number and number.count(",") == 1:
        number = number.replace(",", ".")
    return float(number), bool(percent)


def _encoding(content: bytes) -> str:
    """UTF-16 where the file begins with its mark; else UTF-8."""
    return "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _lines(content: bytes) -> list[str]:
    """The lines of a file's beginning."""
    return content[:BEGINNING].decode(_encoding(content), "replace").splitlines()
