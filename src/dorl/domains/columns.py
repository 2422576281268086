"""Reading a manifest's table, however its columns are written and divided, and asking where they can't be told."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path

import pandas as pd

from dorl.domains.labels import class_of, doubtful
from dorl.errors import InputError
from dorl.files import is_special
from dorl.names import without_surrogates

#: what a column may be called, in lower case and with spaces for what divides words; the first names win
NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "images"),
    "mask": ("mask", "masks"),
    "label": ("label", "labels", "class", "classes", "cell class", "class name", "cell type", "celltype", "category"),
    "patient": ("patient", "patient id", "patientid"),
    "split": ("split",),
}
_DELIMITERS = ",;\t|"
#: share of a column's words that are classes, for it to be taken for labels
_CLASSES = 0.5


def read_table(path: Path, *, any_class: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """A manifest's table, with the columns of `NAMES` under these names, and remarks.

    Parameters
    ----------
    path : Path
        CSV divided by commas, semicolons, tabs or bars; or Parquet.
    any_class : bool
        Don't ask which column has the labels.

    Raises
    ------
    InputError
        If the table can't be read, two columns mean the same, or classes stand in a column of another name.
    """
    table = _read(path)
    table.columns = pd.Index([without_surrogates(str(name)) for name in table.columns])
    _refuse_twins(path, list(table.columns))
    remarks = []
    columns_of: dict[str, str] = {}
    for meaning, names in NAMES.items():
        column = _named(path, list(table.columns), names)
        if column is not None:
            columns_of[column] = meaning
            if _plain(column) not in (meaning, f"{meaning}s"):
                remarks.append(f"column {column!r} is read as {meaning!r}; rename it if that is wrong")
    table.columns = pd.Index([columns_of.get(name, name) for name in table.columns])
    if "image" in table and "label" not in table and not any_class:
        others = [name for name in table.columns if name not in NAMES and _holds_classes(table[name])]
        if others:
            columns = " and ".join(repr(name) for name in others)
            raise InputError(
                f"{path}: has no column 'label', and classes in {columns}: rename the one with the labels to 'label', "
                "or take it out"
            )
    unread = [name for name in table.columns if name not in NAMES]
    if "label" not in table and unread:
        remarks.append(f"has no column 'label'; not read: {', '.join(unread[:6])}{', …' if len(unread) > 6 else ''}")
    return table.loc[:, ~table.columns.duplicated()], remarks


def names_images(path: Path) -> bool:
    """Whether a CSV has a column of images, by its first line."""
    if is_special(path):
        return False
    try:
        with path.open(encoding=_encoding(path), errors="replace") as file:
            return any(_delimiter(line) is not None for line in (file.readline(65536), file.readline(65536)))
    except OSError:
        return False


def _refuse_twins(path: Path, columns: list[str]) -> None:
    """Refuse two columns of one name with a meaning; the second comes as ``label.1``."""
    for name in columns:
        first, dot, number = name.rpartition(".")
        if dot and number.isdecimal() and first in columns and any(_plain(first) in names for names in NAMES.values()):
            raise InputError(f"{path}: has two columns {first!r}: rename the one that isn't meant, or take it out")


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().casefold()


def _named(path: Path, columns: list[str], names: tuple[str, ...]) -> str | None:
    if names[0] in columns:
        return names[0]
    for name in names:
        found = [column for column in columns if _plain(column) == name]
        if len(found) > 1:
            raise InputError(f"{path}: columns {found[0]!r} and {found[1]!r} are alike; rename one to {names[0]!r}")
        if found:
            return found[0]
    return None


def _holds_classes(values: pd.Series) -> bool:
    words = [value.strip() for value in values if isinstance(value, str) and value.strip()][:1000]
    known = sum(class_of(word) is not None or doubtful(word) is not None for word in words)
    return any(class_of(word) for word in words) and known >= _CLASSES * len(words)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        delimiter, skipped = _divided(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of the empty cell behind a comma at the end
            # as text, so that a patient "007" or "NA" stays one; without index_col=False a comma at the end of the
            # rows would move every value one column to the left
            return pd.read_csv(
                path,
                sep=delimiter,
                skiprows=skipped,
                dtype=object,
                keep_default_na=False,
                index_col=False,
                encoding=_encoding(path),
                encoding_errors="surrogateescape",  # names that aren't UTF-8, as `ls` lists them
                skipinitialspace=True,
            )
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged file
        why = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: can't be read as a {path.suffix[1:]} table ({why}): save it anew") from error


def _encoding(path: Path) -> str:
    """UTF-16 where the file begins with its mark, as Excel's "Unicode text" does; else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _divided(path: Path) -> tuple[str, int]:
    """What divides a CSV's columns, by its first line; and how many lines come before: Excel's ``sep=;``."""
    with path.open(encoding=_encoding(path), errors="replace") as file:
        first = file.readline(65536)
        match = re.fullmatch(r'"?sep=(.)"?\s*', first)
        if match:
            return match[1], 1
    return _delimiter(first) or max(_DELIMITERS, key=first.count), 0


def _delimiter(line: str) -> str | None:
    """What divides a line of columns' names of which one is that of the images; None where none is."""
    for delimiter in _DELIMITERS:
        if any(_plain(name.strip().strip('"')) in NAMES["image"] for name in line.split(delimiter)):
            return delimiter
    return None
