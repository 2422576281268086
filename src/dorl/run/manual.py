"""A manual differential, given as CSV, beside that of a count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from dorl.classification.differential import is_leukocyte
from dorl.classification.readers import agreement, compared, differing_by_chance
from dorl.errors import InputError
from dorl.run.classsheet import class_in, read_classes
from dorl.run.differentials import ALL
from dorl.runtime.progress import say
from dorl.sheets import number_in
from dorl.words import counted

#: columns of the file that must be there
COLUMNS = ("class", "cells")
#: shares that differ, of which the figures are told
MAX_TOLD = 6


def read_manual(path: str | Path, samples: Sequence[str]) -> pd.DataFrame:
    """Read a manual differential.

    Parameters
    ----------
    path : str or Path
        CSV with the columns class and cells, and sample where there are several: a patient, a folder as it was given,
        or its last name. Without the column it is that of all cells together. Columns may be divided by semicolons, too
        (`dorl.sheets.read_any_sheet`). Cells in whole per cent of the leukocytes, such as "60 %", are taken for cells
        of 100.
    samples : sequence of str
        Of the count.

    Returns
    -------
    DataFrame
        ``sample``, ``class`` (a node of the tree) and ``cells``.

    Raises
    ------
    InputError
        If it can't be read, or a line of it can't be used.
    """
    known: dict[str, str] = {}
    for sample in samples:
        name = PurePosixPath(sample).name
        known[name] = "" if name in known else sample  # of two folders of one name neither is meant
    known.update({sample: sample for sample in samples})
    path = Path(path)
    if path.is_dir() or not path.exists():
        raise InputError(f"--manual {path}: no such file: give a CSV file with the columns class,cells")
    rows: list[tuple[str, str, int]] = []
    lines: dict[tuple[str, str], int] = {}
    in_percent: dict[str, set[bool]] = {}
    for line, values in read_classes(path, COLUMNS, ("sample",)):
        given = values.get("sample")
        sample = ALL if given is None else known.get(given.rstrip("/"), "")
        if not sample:
            raise InputError(f"{path}: line {line}: {given!r} is no sample here: give {', '.join(samples[:5])}")
        node = class_in(path, line, values["class"], lines, of=sample)
        count, percent = _count(path, line, values["class"], values["cells"])
        rows.append((sample, node, count))
        in_percent.setdefault(sample, set()).update({percent} if count else ())
    for sample, ways in in_percent.items():
        shown = "" if sample == ALL else f" of {sample}"
        counts = {node: count for of, node, count in rows if of == sample}
        if not any(counts.values()):
            raise InputError(f"{path}: all cells{shown} are 0: give how many of each class were counted")
        if len(ways) > 1:
            raise InputError(f"{path}: some cells{shown} are in % and some are not: give how many were counted")
        total = sum(count for node, count in counts.items() if is_leukocyte(node))
        if ways == {True} and total != 100:
            raise InputError(f"{path}: shares of leukocytes{shown} sum up to {total} %, not 100: give counts of cells")
    if any(True in ways for ways in in_percent.values()):
        say(f"{path}: shares in % are taken for cells of 100; if more were counted, give how many of each class")
    return pd.DataFrame(rows, columns=["sample", *COLUMNS])


def _count(path: Path, line: int, name: str, cells: str) -> tuple[int, bool]:
    """Cells as they are written, and whether that is in per cent."""
    try:
        count, percent = number_in(cells)
    except ValueError:
        count, percent = -1.0, False
    if not 0 <= count < 10**9 or count != int(count):
        raise InputError(f"{path}: line {line}: {cells} cells of {name}: give a whole number from 0 up")
    return int(count), percent


def beside_manual(
    manual: pd.DataFrame, counts: pd.DataFrame, by_sample: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare a count with a manual differential, as ``comparison.csv`` and ``agreement.csv``, and say how they agree.

    Parameters
    ----------
    manual : DataFrame
        As `read_manual` gives it.
    counts, by_sample : DataFrame
        As ``counts.csv`` and ``samples.csv``.
    """
    ours = pd.concat([by_sample, counts.assign(sample=ALL)])[["sample", *COLUMNS]]
    table = compared(ours, manual)
    for line in _told(table):
        say(f"manual differential: {line}")
    return table, agreement(table)


def _told(table: pd.DataFrame) -> list[str]:
    """How far two differentials agree, as `compared` gives them, in plain sentences."""
    if table.empty:
        return ["nothing to compare, since a sample has no leukocytes, or classes have no counterpart"]
    apart = table[~table["within"].astype(bool)]
    chance = differing_by_chance(table)
    by_chance = f"by chance alone about {chance:.1f} of {len(table)} would differ"
    if apart.empty:
        of = "the one share agrees" if len(table) == 1 else f"all {len(table)} shares agree"
        return [f"{of} with it, by Rümke's 95 % limits ({by_chance})"]
    several = table["sample"].nunique() > 1
    shown = [
        f"{f'{row.sample}: ' if several else ''}{row[1]} {100 * row.share:.1f} % here, "
        f"{100 * row.manual_share:.1f} % by hand (limits {100 * row.low:.1f} to {100 * row.high:.1f} %)"
        for row in apart.head(MAX_TOLD).itertuples(index=False)
    ]
    more = f"; {len(apart) - MAX_TOLD} more in comparison.csv" if len(apart) > MAX_TOLD else ""
    agree = sorted(set(table["class"]) - set(apart["class"]))
    return [
        f"{len(table) - len(apart)} of {counted(len(table), 'share agrees', 'shares agree')} with it, by Rümke's 95 % "
        f"limits; {len(apart)} {'differs' if len(apart) == 1 else 'differ'} ({by_chance})",
        *([f"agree{'' if not several else ' in every sample'}: {', '.join(agree)}"] if agree else []),
        f"differ: {'; '.join(shown)}{more}",
    ]
