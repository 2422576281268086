"""What `dorl count` knows of each field, by the field's content, and the masks and pictures of those asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dorl.errors import InputError
from dorl.files import digest_of, png, write_json
from dorl.run.folder import make_folder, otherwise
from dorl.runtime.kept import Kept, content_key
from dorl.runtime.results import Results, result_names
from dorl.runtime.shards import FOLDER
from dorl.segmentation.fieldcells import FieldCell, label_picture
from dorl.segmentation.ruler import Ruler

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
    source : dict
        What the cells depend on, as `open` was given it.
    kept : Kept
        What was found.
    results : Results
        Masks and pictures.
    """

    def __init__(self, out: Path, source: Mapping[str, Any], *, masks: bool = True) -> None:
        self.out, self.source, self._masks = out, dict(source), masks
        self.kept, self.results = Kept(out / FOUND), Results(out)
        self._names: dict[str, str] = {}
        self._contents: dict[str, str] = {}

    @classmethod
    def open(cls, out: Path, source: Mapping[str, Any], *, masks: bool = True) -> FieldStore:
        """Make a count's folder, or go on in it.

        Parameters
        ----------
        out : Path
        source : mapping
            What the cells depend on; plain values.
        masks : bool
            Write a mask file for each field that is put or got. Several processes that fill a folder leave that to one.

        Raises
        ------
        InputError
            If the folder holds a count of another source, or anything that isn't one.
        """
        note = out / FOUND / SOURCE
        if note.is_file():
            if changed := otherwise(note, source, remove=str(out)):
                raise InputError(
                    f"{out}: holds a count with other settings ({', '.join(changed)}); choose another folder for --out"
                )
        elif out.exists() and any(path.name not in (FOUND, FOLDER) for path in out.iterdir()):
            raise InputError(f"{out}: is not empty and holds no count; choose another folder for --out")
        else:
            make_folder(out)
            write_json(note, dict(source))
        return cls(out, source, masks=masks)

    def name_all(self, images: Sequence[tuple[str, Path]]) -> None:
        """Tell of all fields, each as it is shown and where it is read: names of their pictures, and their digests."""
        files = result_names([path.resolve().as_posix().lstrip("/") for _, path in images])
        self._names = {shown: name for (shown, _), name in zip(images, files, strict=True)}
        self._contents = {shown: digest_of(path) for shown, path in images}

    def content(self, path: str) -> str:
        """The digest of a field's file, as it was when `name_all` was told of it."""
        return self._contents[path]

    def mask(self, path: str) -> str:
        """The file of a field's masks, POSIX, below the count's folder."""
        return f"{MASKS}/{self._names[path]}"

    def get(self, path: str) -> FoundField | None:
        """What was found in a field; None where its content wasn't searched yet. Its mask is there afterwards."""
        arrays = ("boxes", "confidence", "touches_border", "inputs")
        key = self._key(path)
        held = self.kept.get(key, "size", "red_cell", *arrays) if self._contents[path] else None
        if held is None:
            return None
        width, height = (int(side) for side in held["size"])
        red_cell = None if np.isnan(held["red_cell"]) else float(held["red_cell"])
        found = FoundField(path, (width, height), red_cell, *(held[name] for name in arrays))
        mask = self.mask(path)
        if self._masks and not self.results.has(mask, key):
            self.results.write(mask, key, png(self.labels(path)))
        return found

    def put(
        self,
        path: str,
        size: tuple[int, int],
        red_cell: float | None,
        cells: Sequence[FieldCell],
        inputs: np.ndarray | None,
        details: np.ndarray,
    ) -> FoundField:
        """Keep what was found in a field, with its `dorl.segmentation.overlap.details`, and write its masks."""
        found = FoundField(
            path,
            size,
            red_cell,
            np.array([cell.box for cell in cells], np.int64).reshape(-1, 4),
            np.array([cell.confidence for cell in cells], np.float64),
            np.array([cell.touches_border for cell in cells], bool),
            np.empty((len(cells), 0), np.float16) if inputs is None else inputs,
        )
        labels = label_picture(cells, size)
        self.kept.put(
            self._key(path),
            size=size,
            red_cell=np.nan if red_cell is None else red_cell,
            boxes=found.boxes,
            confidence=found.confidence,
            touches_border=found.touches_border,
            inputs=found.inputs,
            labels=labels,
            details=details.astype(np.float16),
        )
        if self._masks:
            self.results.write(self.mask(path), self._key(path), png(labels))
        return found

    def labels(self, path: str) -> np.ndarray:
        """The cells of a field that was found: uint16 (H, W), 0 outside cells, i + 1 in cell i."""
        held = self.kept.get(self._key(path), "labels")
        if held is None:
            raise InputError(f"{self.out / FOUND}: changed while it was used; count again")
        return held["labels"]

    def details(self, path: str) -> np.ndarray | None:
        """A field's `dorl.segmentation.overlap.details`, float32 (h, w); None where they weren't kept."""
        held = self.kept.get(self._key(path), "details")
        return None if held is None else held["details"].astype(np.float32)

    def ruler(self, path: str) -> tuple[tuple[int, ...], Ruler] | None:
        """The shape of a field, (height, width, channels), and its ruler; None where it wasn't measured yet."""
        held = self.kept.get(content_key("ruler", self._contents[path]), "shape", "ruler")
        if held is None or not self._contents[path]:
            return None
        diameter, confidence, other = (None if np.isnan(value) else float(value) for value in held["ruler"])
        return tuple(held["shape"].tolist()), Ruler(diameter, confidence or 0.0, other)

    def put_ruler(self, path: str, shape: tuple[int, ...], ruler: Ruler) -> None:
        """Keep the ruler of a field by itself, whatever its folder's other fields say."""
        known = [ruler.diameter, ruler.confidence, ruler.other]
        values = np.array([np.nan if value is None else value for value in known])
        self.kept.put(content_key("ruler", self._contents[path]), shape=np.array(shape), ruler=values)

    def lacks(self, path: str, texts: Sequence[str]) -> bool:
        """Whether there is no picture of a field with these very cells and texts."""
        return not self.results.has(f"{ANNOTATED}/{self._names[path]}", self._drawn(path, texts))

    def draw(self, path: str, texts: Sequence[str], picture: np.ndarray) -> None:
        """Write a field's picture."""
        self.results.write(f"{ANNOTATED}/{self._names[path]}", self._drawn(path, texts), png(picture))

    def tidy(self, paths: Sequence[str], others: Collection[str] = ()) -> None:
        """Take away masks and pictures of fields that aren't among `paths`, and the oldest of what is kept.

        `dorl.runtime.kept.MAX_KEPT_BYTES` is how much is kept; `others` are names of pictures of slides, which stay.
        """
        own = {f"{folder}/{self._names[path]}" for folder in (MASKS, ANNOTATED) for path in paths}
        self.results.tidy(own | set(others))
        self.kept.tidy()

    def _key(self, path: str) -> str:
        return content_key("field", self.source, self._contents[path])

    def _drawn(self, path: str, texts: Sequence[str]) -> str:
        return content_key("annotated", self._key(path), list(texts))
