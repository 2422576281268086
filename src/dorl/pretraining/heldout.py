"""What the pretraining does not see: pictures left out by name, and copies of them by content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains import Domain
from dorl.domains.boxes import Field
from dorl.domains.duplicates import CAUTIOUS, find_copies, reduced_all, reduced_lab
from dorl.runtime.progress import say

#: names of dropped copies that are printed
NAMED = 10


@dataclass(frozen=True)
class Chosen:
    """Pictures that are used, and what was left out.

    Attributes
    ----------
    cells : list of (Domain, int)
        Single-cell images: lab and number.
    fields : list of (str, Field)
        Annotated fields: name of their set, and the field.
    left_out : dict
        ``by_name`` and ``copies``: count by lab. ``copy_of``: key of each dropped copy, and of the picture left out by
        name that it is a copy of. Plain numbers and text that JSON can hold.
    """

    cells: list[tuple[Domain, int]]
    fields: list[tuple[str, Field]]
    left_out: dict[str, Any] = field(default_factory=dict)


def choose(labs: Sequence[Domain], fields: dict[str, list[Field]], leave_out: str) -> Chosen:
    """Drop pictures whose file name matches, and every copy of such a picture, whatever its name.

    A picture is a copy if it shows the same up to size, crop at the border, turn, mirror and JPEG. In doubt it
    is dropped (`dorl.domains.duplicates.CAUTIOUS`).

    Parameters
    ----------
    labs : sequence of Domain
    fields : dict of str to list of Field
    leave_out : str
        Regular expression; nothing is left out where it is empty.
    """
    cells = [(lab, i) for lab in labs for i in range(len(lab))]
    shown = [(name, one) for name, some in sorted(fields.items()) for one in some]
    keys = [lab.key(i) for lab, i in cells] + [f"{name}/{one.path.name}" for name, one in shown]
    names = [lab.name for lab, _ in cells] + [name for name, _ in shown]
    matches = [bool(leave_out) and re.search(leave_out, Path(key).name) is not None for key in keys]
    copy_of: dict[int, int] = {}
    if any(matches):
        pictures = [reduced_lab(lab) for lab in labs] + [reduced_all([one.path for _, one in shown])]
        pairs = find_copies(np.concatenate(pictures), least=CAUTIOUS)
        for first, second in zip(pairs["first"], pairs["second"], strict=True):
            for one, other in ((int(first), int(second)), (int(second), int(first))):
                if matches[other] and not matches[one]:
                    copy_of.setdefault(one, other)
    used = [not match and i not in copy_of for i, match in enumerate(matches)]
    by_name, copies = _counted(names, np.flatnonzero(matches)), _counted(names, copy_of)
    named = {keys[one]: keys[other] for one, other in sorted(copy_of.items())}
    left_out = {"by_name": by_name, "copies": copies, "copy_of": named}
    for what, counts in (("by name", by_name), ("as copies of these", copies)):
        if counts:
            say(f"left out {what}: " + ", ".join(f"{lab} {count}" for lab, count in counts.items()))
    for copy, original in list(named.items())[:NAMED]:
        say(f"  {copy} is a copy of {original}")
    if (more := len(copy_of) - NAMED) > 0:
        say(f"  and {more} more; all are in bank.json and card.json")
    return Chosen(
        [pair for pair, use in zip(cells, used, strict=False) if use],
        [pair for pair, use in zip(shown, used[len(cells) :], strict=True) if use],
        left_out,
    )


def _counted(names: Sequence[str], rows: Any) -> dict[str, int]:
    found = sorted(names[row] for row in rows)
    return {name: found.count(name) for name in dict.fromkeys(found)}
