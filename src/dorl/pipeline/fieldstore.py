"""What `dorl count` knows of each field, on disk: a file a field, whole or not there."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dorl.errors import InputError
from dorl.files import atomic, write_json
from dorl.pipeline.runfolder import make_folder, otherwise
from dorl.segmentation.fields import FieldCell, label_picture

#: subfolders: what was found, masks, pictures; and what the count depends on
FOUND, MASKS, ANNOTATED, SOURCE = ".found", "masks", "annotated", "source.json"


@dataclass(frozen=True)
class FoundField:
    """The cells of one field.

    Attributes
    ----------
    path : str
        As the user named it.
    size : (int, int)
        Width and height in pixels.
    red_cell : float or None
        Diameter of a red cell in pixels; None where it couldn't be measured.
    boxes : int array of shape (N, 4)
        xmin, ymin, xmax, ymax; the last two exclusive.
    confidence : float array of shape (N,)
    touches_border : bool array of shape (N,)
    inputs : array of shape (N, …)
        What the classifier takes of each cell; of shape (N, 0) without a run.
    """

    path: str
    size: tuple[int, int]
    red_cell: float | None
    boxes: np.ndarray
    confidence: np.ndarray
    touches_border: np.ndarray
    inputs: np.ndarray


class FieldStore:
    """The fields of a count; `open` makes or reopens it.

    Attributes
    ----------
    out : Path
        The count's folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._names: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    @classmethod
    def open(cls, out: Path, source: Mapping[str, Any]) -> FieldStore:
        """Make a count's folder, or go on in it.

        Parameters
        ----------
        out : Path
        source : mapping
            What the cells depend on; plain values.

        Raises
        ------
        InputError
            If the folder holds a count of another source, or anything that isn't one.
        """
        told = out / FOUND / SOURCE
        if told.is_file():
            if changed := otherwise(told, source, remove=str(out)):
                raise InputError(
                    f"{out}: holds a count with other settings ({', '.join(changed)}); choose another folder for --out"
                )
        elif out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: is not empty and holds no count; choose another folder for --out")
        else:
            make_folder(out)
            write_json(told, dict(source))
        return cls(out)

    def name(self, names: Mapping[str, str], digests: Mapping[str, str]) -> None:
        """Give the file name of each field's pictures, and the digest of the field's file, by the field's path."""
        self._names, self._digests = dict(names), dict(digests)

    def mask(self, path: str) -> Path:
        """Where a field's masks are."""
        return self.out / MASKS / self._names[path]

    def picture(self, path: str) -> Path:
        """Where a field's annotated picture belongs."""
        return self.out / ANNOTATED / self._names[path]

    def _place(self, path: str) -> Path:
        return self.out / FOUND / f"{self._names[path]}.npz"

    def get(self, path: str) -> FoundField | None:
        """What was found in a field; None where it wasn't searched yet."""
        try:
            with np.load(self._place(path), allow_pickle=False) as held:
                width, height = (int(side) for side in held["size"])
                red_cell, taken = float(held["red_cell"]), str(held["digest"])
                found = FoundField(
                    str(held["path"]),
                    (width, height),
                    None if np.isnan(red_cell) else red_cell,
                    *(held[name] for name in ("boxes", "confidence", "touches_border", "inputs")),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        # another field may have had this name in an earlier count, or this path, seen from another folder
        same = found.path == path and taken == self._digests[path]
        return found if same and self.mask(path).is_file() else None

    def put(
        self,
        path: str,
        size: tuple[int, int],
        red_cell: float | None,
        cells: Sequence[FieldCell],
        inputs: np.ndarray | None,
    ) -> FoundField:
        """Write a field's masks, and then what was found, so that a field that has that has all."""
        with atomic(self.mask(path)) as temporary:
            Image.fromarray(label_picture(cells, size)).save(temporary)
        found = FoundField(
            path,
            size,
            red_cell,
            np.array([cell.box for cell in cells], np.int64).reshape(-1, 4),
            np.array([cell.confidence for cell in cells], np.float64),
            np.array([cell.touches_border for cell in cells], bool),
            np.empty((len(cells), 0), np.float16) if inputs is None else inputs,
        )
        with atomic(self._place(path)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                path=np.array(path),
                digest=np.array(self._digests[path]),
                size=np.array(size),
                red_cell=np.array(np.nan if red_cell is None else red_cell),
                boxes=found.boxes,
                confidence=found.confidence,
                touches_border=found.touches_border,
                inputs=found.inputs,
            )
        return found
