"""Copies among the labs of a command: found, listed in ``duplicates.csv``, and numbered so that folds keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dorl.domains import Domain
from dorl.domains.duplicates import COLUMNS, copies_in, copy_groups
from dorl.files import atomic
from dorl.pipeline.runfolder import DUPLICATES
from dorl.progress import say

#: a line a pair of copies


def find_copies_in(labs: Sequence[Domain], out: Path | None = None) -> pd.DataFrame:
    """Find copies within and between labs, say how many, and write ``duplicates.csv`` into `out`.

    Returns
    -------
    DataFrame, a row a pair
        ``lab``, ``path``, ``other_lab``, ``other_path``, ``correlation`` (of the pictures' details, 0.96-1).
    """
    copies = copies_in(labs)
    if len(copies):
        say(told(copies, "" if out is None else f": {out / DUPLICATES}"))
    if out is not None:
        write_copies(copies, out)
    return copies


def write_copies(copies: pd.DataFrame, out: Path) -> None:
    """Write ``duplicates.csv`` into `out`, without rows where there are no copies."""
    with atomic(out / DUPLICATES) as temporary:
        copies.to_csv(temporary, index=False)


def no_copies() -> pd.DataFrame:
    """The table without rows."""
    return pd.DataFrame(columns=list(COLUMNS))


def read_copies(out: Path) -> pd.DataFrame:
    """What `find_copies_in` wrote."""
    return pd.read_csv(out / DUPLICATES, dtype=dict.fromkeys(COLUMNS[:4], str), keep_default_na=False)


def told(copies: pd.DataFrame, where: str = "") -> str:
    """One line."""
    return f"{len(copies)} pairs of pictures show the same ({_listed(copy_counts(copies))}){where}"


def copy_counts(copies: pd.DataFrame) -> list[dict[str, Any]]:
    """``lab``, ``other_lab`` and the number of ``pairs``, for each two labs, or one, that have copies."""
    counted = copies.groupby(["lab", "other_lab"], sort=False).size()
    return [{"lab": lab, "other_lab": other, "pairs": int(pairs)} for (lab, other), pairs in counted.items()]


def _listed(counts: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"{one['pairs']} in {one['lab']}"
        if one["lab"] == one["other_lab"]
        else f"{one['pairs']} in {one['lab']} and {one['other_lab']}"
        for one in counts
    )


def group_numbers(labs: Sequence[str], paths: Sequence[str], copies: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each cell, the same for copies of each other in whatever lab: int64 (N,).

    Parameters
    ----------
    labs, paths : sequence of N str
        Lab and path of each cell.
    copies : DataFrame
        As of `find_copies_in`; pairs of other pictures are passed over.
    """
    keys = list(zip(labs, paths, strict=True))
    place = {key: row for row, key in enumerate(keys)}
    columns = [copies[name] for name in COLUMNS[:4]]
    ends = [((lab, path), (other, other_path)) for lab, path, other, other_path in zip(*columns, strict=True)]
    same = [(row, place[key]) for row, key in enumerate(keys) if place[key] != row]  # a manifest may name a file twice
    return copy_groups(len(keys), same + [(place[a], place[b]) for a, b in ends if a in place and b in place])
