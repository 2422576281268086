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
from dorl.run.folder import DUPLICATES
from dorl.runtime.kept import KEPT, READING, Kept, code_digest, content_key
from dorl.runtime.progress import say
from dorl.sheets import read_sheet, write_sheet
from dorl.words import counted

#: code that what was found depends on
_CODE = ("dorl.domains.duplicates", "dorl.domains.alignment", *READING)


def find_copies_in(labs: Sequence[Domain], out: Path | None = None) -> pd.DataFrame:
    """Find copies within and between labs, say how many, and write them into `out`.

    What was found of the same images before is not searched for again.

    Returns
    -------
    DataFrame, a row a pair
        ``lab``, ``path``, ``other_lab``, ``other_path``, ``correlation`` (of the pictures' details, 0.96-1).
    """
    if out is None:
        copies = copies_in(labs)
        _tell(copies)
        return copies
    key = copies_key(labs)
    copies = search_copies(labs, out, key)
    write_copies(copies, out, key)
    return copies


def copies_key(labs: Sequence[Domain]) -> str:
    """Changes with the images of the labs, by name and by content, and with the code that finds copies."""
    images = [[lab.name, [[path, lab.source.digest(path)] for path in lab.table["path"]]] for lab in labs]
    return content_key("copies", images, code_digest(_CODE))


def search_copies(labs: Sequence[Domain], out: Path, key: str) -> pd.DataFrame:
    """Find copies, or take what `write_copies` kept in `out` under the same key, and say how many."""
    kept = Kept(out / KEPT).get(key, *COLUMNS)
    copies = copies_in(labs) if kept is None else pd.DataFrame({name: kept[name].tolist() for name in COLUMNS})
    _tell(copies, f": {out / DUPLICATES}")
    return copies


def write_copies(copies: pd.DataFrame, out: Path, key: str) -> None:
    """Write ``duplicates.csv`` into `out`, without rows where there are no copies, and keep it for the next search."""
    write_sheet(out / DUPLICATES, copies)
    kept = Kept(out / KEPT)
    kept.put(key, **{name: copies[name].to_numpy(float if name == COLUMNS[4] else str) for name in COLUMNS})
    kept.tidy()


def no_copies() -> pd.DataFrame:
    """The table without rows."""
    return pd.DataFrame(columns=list(COLUMNS))


def read_copies(out: Path) -> pd.DataFrame:
    """What `find_copies_in` wrote."""
    return read_sheet(out / DUPLICATES, text=COLUMNS[:4])


def _tell(copies: pd.DataFrame, where: str = "") -> None:
    if len(copies):
        say(told(copies, where))


def told(copies: pd.DataFrame, where: str = "") -> str:
    """One line."""
    many = counted(len(copies), "pair of pictures shows", "pairs of pictures show")
    return f"{many} the same ({_listed(copy_counts(copies))}){where}"


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
