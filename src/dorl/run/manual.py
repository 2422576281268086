"""A manual differential, given as CSV, beside that of a count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from dorl.classification.readers import agreement, compared
from dorl.errors import InputError
from dorl.run.differentials import ALL
from dorl.runtime.progress import say
from dorl.sheets import read_sheet
from dorl.taxonomy import parse_label

#: columns of the file that must be there
COLUMNS = ("class", "cells")


def read_manual(path: str | Path, samples: Sequence[str]) -> pd.DataFrame:
    """Read a manual differential.

    Parameters
    ----------
    path : str or Path
        CSV with the columns class and cells, and sample where there are several: a patient, a folder as it was given,
        or its last name. Without the column it is that of all cells together.
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
    table = read_sheet(path, text=("class", "sample"))
    if lacking := [name for name in COLUMNS if name not in table]:
        raise InputError(f"{path}: has no column {lacking[0]!r}; the columns are sample,class,cells, or class,cells")
    known: dict[str, str] = {}
    for sample in samples:
        name = PurePosixPath(sample).name
        known[name] = "" if name in known else sample  # of two folders of one name neither is meant
    known.update({sample: sample for sample in samples})
    rows = []
    for number, (_, row) in enumerate(table.iterrows(), start=2):
        where = f"{path}: line {number}"
        node = parse_label(str(row["class"]))
        if node is None:
            raise InputError(f"{where}: {row['class']!r} is no class of the tree")
        cells = pd.to_numeric(row["cells"], errors="coerce")
        if not 0 <= cells < 10**9 or cells != int(cells):
            raise InputError(f"{where}: {row['cells']} cells of {row['class']}: give a whole number from 0 up")
        sample = known.get(str(row["sample"]).rstrip("/"), "") if "sample" in table else ALL
        if not sample:
            raise InputError(f"{where}: {row['sample']!r} is no sample here: give {', '.join(samples[:5])}")
        rows.append((sample, node, int(cells)))
    if not rows:
        raise InputError(f"{path}: names no class; give lines of class,cells")
    return pd.DataFrame(rows, columns=["sample", *COLUMNS])


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
    say(
        f"manual differential: {int(table['within'].sum())} of {len(table)} shares lie within Rümke's limits of it"
        if len(table)
        else "manual differential: nothing to compare, since a sample has no leukocytes, or classes have no counterpart"
    )
    return table, agreement(table)
