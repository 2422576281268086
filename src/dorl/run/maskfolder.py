"""The folder that `dorl segment` fills: masks, outlines and measures by the content of their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.domains import read_image
from dorl.errors import BadImageError, InputError
from dorl.files import png, write_json
from dorl.run.folder import make_folder, otherwise
from dorl.runtime.kept import KEPT, Kept, content_key
from dorl.runtime.results import Results
from dorl.segmentation.cell import FoundCell
from dorl.segmentation.measures import COLUMNS, LENGTHS, in_micrometres
from dorl.sheets import write_sheet

#: columns of ``cells.csv``
CELLS = ("path", "mask", "found", "confidence", "touches_border")
#: what the masks are made by
SOURCE = ".source.json"
#: version of the folder's layout
FORMAT = 2


class MaskNotes:
    """Masks of images; `open` makes or reopens a folder of them.

    Attributes
    ----------
    out : Path
    """

    def __init__(self, out: Path, source: Mapping[str, str]) -> None:
        self.out, self._source = out, dict(source)
        self._kept, self._results = Kept(out / KEPT), Results(out)

    @classmethod
    def open(cls, out: Path, source: Mapping[str, str]) -> MaskNotes:
        """Make a folder of masks, or go on in it where its masks were made by the same weights.

        Parameters
        ----------
        out : Path
        source : mapping
            ``segmenter``, its digest, and what else a mask depends on beside its image.

        Raises
        ------
        InputError
            If the folder holds masks made by other weights, or its note is damaged.
        """
        place = out / SOURCE
        make_folder(out)
        wanted = {"format": FORMAT, **source}
        if place.is_file():
            changed = otherwise(place, wanted, remove="it")
            if "format" in changed:
                raise InputError(f"{out}: holds masks of an earlier dorl; choose another --out")
            if changed:
                raise InputError(f"{out}: holds masks made by another segmenter; choose another --out")
        else:  # masks that lie there all the same are another tool's, and taken at their word
            write_json(place, wanted)
        return cls(out, source)

    def discard(self) -> None:
        """Remove a folder in which no mask was written."""
        (self.out / SOURCE).unlink()
        self._results.discard()
        self.out.rmdir()

    def known(self, name: str, content: str, size: tuple[int, int]) -> tuple[FoundCell, bool] | None:
        """The cell of an image that was segmented before, and whether its mask is another hand's; None if it wasn't.

        Parameters
        ----------
        name : str
            Of the mask.
        content : str
            Digest of the image; "" where it can't be read.
        size : (int, int)
            Width and height of the image; a mask of another size is put aside.
        """
        if not content:
            return None
        kept = self._kept.get(self._key(content))
        foreign = self._foreign_mask(name, content, size)
        if foreign is not None:
            confidence = np.nan if kept is None else float(kept["confidence"])
            return FoundCell(foreign, confidence), True
        if kept is None or kept["mask"].shape != (size[1], size[0]):
            return None
        return FoundCell(kept["mask"], float(kept["confidence"])), False

    def add(self, name: str, content: str, cell: FoundCell) -> None:
        """Write the mask of an image, and keep it where its content is known."""
        if content:
            self._kept.put(self._key(content), mask=cell.mask, confidence=cell.confidence)
        self.show(name, content, cell)

    def show(self, name: str, content: str, cell: FoundCell) -> None:
        """Write a mask under its name, if it isn't there."""
        if not content or not self._results.has(name, content):
            self._results.write(name, content, png(cell.mask.astype(np.uint8) * 255))

    def lacks(self, picture: str, content: str, cell: FoundCell) -> bool:
        """Whether there is no picture of this name with the outline of this very cell."""
        return not self._results.has(picture, self._drawn(content, cell))

    def draw(self, picture: str, content: str, cell: FoundCell, drawn: np.ndarray) -> None:
        """Write a picture."""
        self._results.write(picture, self._drawn(content, cell), png(drawn))

    def measures(self, content: str, cell: FoundCell) -> dict[str, float] | None:
        """What a cell measures, where it was measured before."""
        kept = self._kept.get(content_key("measures", content, _digest(cell.mask))) if content else None
        return (
            None if kept is None or "values" not in kept else dict(zip(COLUMNS, kept["values"].tolist(), strict=False))
        )

    def measured(self, content: str, cell: FoundCell, values: Mapping[str, float]) -> None:
        """Keep what a cell measures."""
        if content:
            key = content_key("measures", content, _digest(cell.mask))
            self._kept.put(key, values=[values[name] for name in COLUMNS])

    def finish(
        self, rows: Sequence[Mapping[str, Any]], asked: Sequence[str], table: Path | None, pixel_size: float | None
    ) -> None:
        """Write ``cells.csv`` and the measures, and take away what isn't among the files `asked` for.

        Of what is kept, the oldest goes beyond `dorl.runtime.kept.MAX_KEPT_BYTES`.
        """
        self._results.tidy(set(asked))
        self._kept.tidy()
        write_sheet(self.out / "cells.csv", pd.DataFrame(rows, columns=list(CELLS), dtype=object), number=".4f")
        if table is not None:
            columns = [*CELLS, *COLUMNS]
            if pixel_size is not None:
                rows = [row | in_micrometres(dict(row), pixel_size) if COLUMNS[0] in row else row for row in rows]  # type: ignore[operator]
                columns += [f"{name}_um" for name in LENGTHS]
            write_sheet(table, pd.DataFrame(rows, columns=columns, dtype=object), number=".6g")

    def _key(self, content: str) -> str:
        return content_key("mask", self._source, content)

    @staticmethod
    def _drawn(content: str, cell: FoundCell) -> str:
        return content_key("outline", content, _digest(cell.mask), f"{cell.confidence:.2f}")

    def _foreign_mask(self, name: str, content: str, size: tuple[int, int]) -> np.ndarray | None:
        """A mask that a person changed or another tool wrote, bool (H, W); None where none can be used."""
        if not self._results.foreign(name, content):
            return None
        try:
            mask = read_image(self.out / name)[..., 0] > 127
        except BadImageError as error:
            self._results.put_aside(name, error.without(self.out / name))
            return None
        if mask.shape != (size[1], size[0]):
            self._results.put_aside(name, "has not the size of its image")
            return None
        return mask


def _digest(mask: np.ndarray) -> str:
    return sha256(str(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()[:32]
