"""The folder of WBCBench 2026 as its competition gives it out: four tables, and a folder of images for each.

Tian et al., *WBCBench 2026: A Challenge for Robust White Blood Cell Classification Under Class Imbalance*, arXiv
2604.10797; https://www.kaggle.com/competitions/wbc-bench-2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dorl.domains.domain import Domain
from dorl.errors import InputError
from dorl.names import file_of, leads_out, text_of
from dorl.sheets import plain_name, read_any_sheet
from dorl.taxonomy import WBCBENCH_CODES

#: the layout's name
LAYOUT = "wbcbench"
#: parts of the data, as a domain's column ``split`` names them
TRAIN, EVAL, TEST = "train", "eval", "test"
#: each table, the folder of its images, and the part that they are of
TABLES = (
    ("phase1_label.csv", "phase1", TRAIN),
    ("phase2_train.csv", "phase2/train", TRAIN),
    ("phase2_eval.csv", "phase2/eval", EVAL),
    ("phase2_test.csv", "phase2/test", TEST),
)
#: columns of its tables, and of a submission
ID, LABELS = "ID", "labels"
#: tried where an ID has no ending
_ENDINGS = ("", ".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Entry:
    """A line of a table.

    Parameters
    ----------
    id : str
        As it stands there.
    path : str
        Of the image, below the folder given; POSIX.
    code : str or None
        Of the class; None where it isn't given.
    part : str
        `TRAIN`, `EVAL` or `TEST`.
    """

    id: str
    path: str
    code: str | None
    part: str


def is_wbcbench(root: Path) -> bool:
    """Whether a folder holds one of the tables with the folder of its images."""
    return any((root / table).is_file() and (root / folder).is_dir() for table, folder, _ in TABLES)


def read_entries(root: Path) -> list[Entry]:
    """Every line of the tables that are there, in their order.

    Raises
    ------
    InputError
        If a table has no column ``ID``, names an image twice or one outside its folder, or can't be read.
    """
    found: list[Entry] = []
    for table, folder, part in TABLES:
        path = root / table
        if not path.is_file():
            continue
        seen = set()
        for number, (name, code) in enumerate(_lines(path), start=2):
            if not name or leads_out(name):
                raise InputError(f"{path}: line {number}: {name!r} is no file of {folder}: mend the table")
            if name in seen:
                raise InputError(f"{path}: line {number}: {name!r} stands there twice: give each image one line")
            seen.add(name)
            found.append(Entry(name, _image(root, folder, name), code, part))
    return found


def read_wbcbench(root: Path, name: str) -> Domain:
    """Read the folder as one lab, whose column ``split`` says `TRAIN`, `EVAL` or `TEST`.

    Parameters
    ----------
    root : Path
        With some of `TABLES`, and the folders of their images.
    name : str

    Returns
    -------
    Domain
        Images without a code have no label. Images that aren't there, and unknown codes, stand in `left_out`. The
        competition names no patient.
    """
    rows, left_out = [], []
    for entry in read_entries(root):
        label = WBCBENCH_CODES.get(entry.code or "")
        if entry.code is not None and label is None:
            left_out.append((entry.path, f"unknown class {entry.code!r}"))
        elif not (root / file_of(entry.path)).is_file():
            left_out.append((entry.path, "no such file"))
        else:
            rows.append({"path": entry.path, "label": label, "raw_label": entry.code, "split": entry.part})
    remark = "read as WBCBench 2026: its tables name images, classes and parts; give a manifest if it is another lab"
    columns = ["path", "label", "raw_label", "split"]
    return Domain(
        name,
        root,
        LAYOUT,
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(left_out, columns=["path", "reason"]),
        remarks=(remark,),
    )


def _lines(path: Path) -> list[tuple[str, str | None]]:
    """ID and code of each line of a table."""
    table = read_any_sheet(path, [plain_name(ID), plain_name(LABELS)]).fillna("")  # a line may end early
    columns = {plain_name(str(column)): column for column in table.columns}
    if plain_name(ID) not in columns:
        raise InputError(f"{path}: has no column {ID!r}: give the table as the competition gives it out")
    ids = [text_of(value.strip()) for value in table[columns[plain_name(ID)]]]
    if plain_name(LABELS) not in columns:
        return [(one, None) for one in ids]
    return list(zip(ids, (value.strip() or None for value in table[columns[plain_name(LABELS)]]), strict=True))


def _image(root: Path, folder: str, name: str) -> str:
    """Path of an image below `root`, whether or not its ID has the file's ending."""
    for ending in _ENDINGS:
        if (root / folder / file_of(name + ending)).is_file():
            return f"{folder}/{name}{ending}"
    return f"{folder}/{name}"
