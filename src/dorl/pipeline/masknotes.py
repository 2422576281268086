"""What `dorl segment` knows of its masks, on disk: which images they are of, and what was said of each cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.errors import InputError
from dorl.files import atomic, write_json
from dorl.pipeline.measures import COLUMNS, LENGTHS, in_micrometres
from dorl.pipeline.runfolder import make_folder, otherwise

#: columns of ``cells.csv``
CELLS = ("path", "mask", "found", "confidence", "touches_border")
#: what an interrupted run knows of its cells, a JSON line each; and what the masks are of
JOURNAL, SOURCE = ".cells.jsonl", ".source.json"


class MaskNotes:
    """What is known of each cell besides its mask, by the image's path; `open` makes or reopens a folder of masks.

    Attributes
    ----------
    out : Path
    rows : dict of str to dict
        `CELLS`, and the measures where they were taken.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.table, self.journal = out, out / "cells.csv", out / JOURNAL
        self.rows: dict[str, dict[str, Any]] = {}
        if self.table.is_file():
            try:
                known = pd.read_csv(self.table, dtype={"path": str, "mask": str}).reindex(columns=list(CELLS))
            except (ValueError, UnicodeDecodeError) as error:
                raise InputError(f"{self.table}: is no list of cells; remove it, or choose another --out") from error
            self.rows.update({row["path"]: row for row in known.to_dict("records")})
        if self.journal.is_file():
            for line in self.journal.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    self.rows[row["path"]] = row
                except (ValueError, KeyError, TypeError):  # the last line of a run that was killed
                    continue

    @classmethod
    def open(cls, out: Path, source: Mapping[str, str]) -> MaskNotes:
        """Make a folder of masks, or go on in it where its masks are of the same images, made by the same weights.

        Parameters
        ----------
        out : Path
        source : mapping
            ``images``, the folder that their paths are relative to, and ``segmenter``, its digest.

        Raises
        ------
        InputError
            If the folder holds masks of other images or weights, or its list is damaged.
        """
        place = out / SOURCE
        make_folder(out)
        if place.is_file():
            changed = otherwise(place, source, remove="it")
            for name, what in (("images", "of another folder's images"), ("segmenter", "made by another segmenter")):
                if name in changed:
                    raise InputError(f"{out}: holds masks {what}; choose another --out")
        else:  # masks that lie there all the same are another tool's, and taken at their word
            write_json(place, dict(source))
        return cls(out)

    def discard(self) -> None:
        """Remove a folder in which no mask was written."""
        (self.out / SOURCE).unlink()
        self.out.rmdir()

    def add(self, row: dict[str, Any]) -> None:
        """Note a cell; kept through a kill."""
        self.rows[row["path"]] = row
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def measured(self, path: str) -> bool:
        """Whether the cell of an image was measured by this run or one that it goes on with."""
        return COLUMNS[0] in self.rows.get(path, {})

    def confidence(self, path: str) -> float | None:
        """Of the cell of an image; None for a mask that another tool wrote."""
        value = self.rows.get(path, {}).get("confidence")
        return None if value is None or value != value else float(value)

    def finish(self, paths: Sequence[str], names: Sequence[str], table: Path | None, pixel_size: float | None) -> None:
        """Write ``cells.csv``, the images given in their order and then what was there of others, and the measures."""
        rows = [
            self.rows.get(path, {}) | {"path": path, "mask": name}
            for path, name in zip(paths, names, strict=True)
            if (self.out / name).exists()
        ]
        listed = set(paths)
        others = [
            row for path, row in self.rows.items() if path not in listed and (self.out / str(row["mask"])).exists()
        ]
        with atomic(self.table) as temporary:
            frame = pd.DataFrame([*rows, *others], columns=list(CELLS))
            frame.to_csv(temporary, index=False, float_format="%.4f")
        if table is not None:
            columns = [*CELLS, *COLUMNS]
            if pixel_size is not None:
                rows = [row | in_micrometres(row, pixel_size) if COLUMNS[0] in row else row for row in rows]
                columns += [f"{name}_um" for name in LENGTHS]
            make_folder(table.parent)
            with atomic(table) as temporary:
                pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False, float_format="%.6g")
        self.journal.unlink(missing_ok=True)
