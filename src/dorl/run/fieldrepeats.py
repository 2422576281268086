"""Cells that stand in two smear fields of a folder: each is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from dorl.domains import read_image
from dorl.domains.urls import file_at
from dorl.errors import BadImageError
from dorl.run.countfolder import FieldStore, FoundField
from dorl.runtime.progress import say
from dorl.segmentation.overlap import REACH, details, repeated
from dorl.words import counted


def counted_elsewhere(found: Sequence[FoundField], store: FieldStore) -> list[str]:
    """For each cell of all fields the path of the field where it is counted in place of this one; "" for most."""
    folders: dict[Path, list[int]] = {}
    first_of: dict[str, int] = {}
    same = [[""] * len(field.boxes) for field in found]
    for number, field in enumerate(found):
        if not len(field.boxes):
            continue
        earlier = found[first_of.setdefault(store.content(field.path), number)]
        if earlier is field:
            folders.setdefault(Path(field.path).parent, []).append(number)
        else:
            same[number] = [earlier.path] * len(field.boxes)
            say(f"{field.path} is the same file as {earlier.path}: its cells are counted there")
    for numbers in folders.values():
        if len(numbers) < 2:
            continue
        own = [found[number] for number in numbers]
        try:
            pictures = _Details([field.path for field in own], store)
            pairs = repeated(pictures, [field.boxes for field in own], [field.size for field in own])
        except BadImageError as error:
            say(f"not compared with its folder's other fields: {error}")
            continue
        for (one, other), cells in pairs.items():
            for first, second in cells:
                # where an edge cuts it in the later field alone, or in neither, it is counted in the earlier one
                here, there = (numbers[one], first), (numbers[other], second)
                if own[one].touches_border[first] and not own[other].touches_border[second]:
                    here, there = there, here
                if not same[here[0]][here[1]]:
                    same[there[0]][there[1]] = found[here[0]].path
    told = [path for of_field in same for path in of_field]
    if twice := sum(path != "" for path in told):
        say(
            f"{counted(twice, 'cell stands', 'cells stand')} in two fields: each is counted once (same_as in cells.csv)"
        )
    return told


class _Details(Sequence[np.ndarray]):
    """`details` of fields as the store keeps them, as many at once as are laid over one another.

    A field that is in the store of an earlier version is read again.
    """

    def __init__(self, paths: Sequence[str], store: FieldStore) -> None:
        self._paths = paths

        def read(path: str) -> np.ndarray:
            kept = store.details(path)
            return details(read_image(file_at(path))) if kept is None else kept

        self._read = lru_cache(maxsize=REACH + 2)(read)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        return self._read(self._paths[number])
