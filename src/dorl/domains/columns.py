"""Reading a manifest's table, however its columns are written and divided, and asking where they can't be told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dorl.domains.labels import class_of, doubtful
from dorl.errors import InputError
from dorl.files import is_special
from dorl.names import without_surrogates
from dorl.sheets import delimiter_of, first_lines, plain_name, read_any_sheet

#: what a column may be called, in lower case and with spaces for what divides words; the first names win
NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "images"),
    "mask": ("mask", "masks"),
    "label": ("label", "labels", "class", "classes", "cell class", "class name", "cell type", "celltype", "category"),
    "patient": ("patient", "patient id", "patientid"),
    "split": ("split",),
}
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
            if plain_name(column) not in (meaning, f"{meaning}s"):
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
        return any(delimiter_of(line, NAMES["image"]) is not None for line in first_lines(path))
    except OSError:
        return False


def _refuse_twins(path: Path, columns: list[str]) -> None:
    """Refuse two columns of one name with a meaning; the second comes as ``label.1``."""
    for name in columns:
        first, dot, number = name.rpartition(".")
        if (
            dot
            and number.isdecimal()
            and first in columns
            and any(plain_name(first) in names for names in NAMES.values())
        ):
            raise InputError(f"{path}: has two columns {first!r}: rename the one that isn't meant, or take it out")


def _named(path: Path, columns: list[str], names: tuple[str, ...]) -> str | None:
    if names[0] in columns:
        return names[0]
    for name in names:
        found = [column for column in columns if plain_name(column) == name]
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
    if path.suffix.lower() != ".parquet":
        return read_any_sheet(path, NAMES["image"])
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        why = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: can't be read as a {path.suffix[1:]} table ({why}): save it anew") from error
