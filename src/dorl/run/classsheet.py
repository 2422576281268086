"""A small CSV file that people write, a line a class: what is expected, or what was counted by hand."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from dorl.errors import InputError
from dorl.names import with_formula
from dorl.sheets import plain_name, read_any_sheet
from dorl.taxonomy import parse_label


def read_classes(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the lines of such a file, however its columns are divided.

    Parameters
    ----------
    path : Path
        As for `dorl.sheets.read_any_sheet`.
    columns, optional : sequence of str
        Columns that must be there, the first that of classes, and others.

    Yields
    ------
    line : int
        Its number in the file, 2 in the first line below the columns' names.
    values : dict of str to str
        Of the columns, stripped; without an optional column that isn't there.

    Raises
    ------
    InputError
        If it can't be read, lacks a column, or has no line.
    """
    table = read_any_sheet(path, columns, exact=True)
    places = {plain_name(str(name)): place for place, name in enumerate(table.columns)}
    if lacking := [name for name in columns if name not in places]:
        named = ",".join(columns)
        more = f"{','.join(optional)},{named}, or " if optional else ""
        raise InputError(f"{path}: has no column {lacking[0]!r}; the columns are {more}{named}")
    if table.empty:
        raise InputError(f"{path}: names no class; give lines of {','.join(columns)}")
    for line, row in enumerate(table.itertuples(index=False, name=None), start=2):
        yield line, {name: _text(row[places[name]]) for name in (*columns, *optional) if name in places}


def class_in(path: Path, line: int, name: str, before: MutableMapping[Any, int], of: Hashable = None) -> str:
    """The node of the tree that a line names.

    Parameters
    ----------
    path, line, name
        As of `read_classes`.
    before : mapping of node to line
        The lines that were read before; takes this one.
    of : hashable, optional
        Of which sample it is; the same class of another sample may have a line of its own.

    Raises
    ------
    InputError
        If it is no class, or one that another line has named.
    """
    node = parse_label(name)
    if node is None:
        raise InputError(f"{path}: line {line}: {name!r} is no class of the tree")
    key = node if of is None else (of, node)
    if key in before:
        raise InputError(
            f"{path}: line {line}: {name!r} is {node}, which line {before[key]} names, too: give each class one line"
        )
    before[key] = line
    return node


def _text(value: Any) -> str:
    """A cell as text; empty where the line ends before it."""
    return with_formula(value).strip() if isinstance(value, str) else ""
