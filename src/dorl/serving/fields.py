"""Smear fields in the database: which are to be searched, what was found in each, and their pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dorl.serving.database import Database
from dorl.serving.recogniser import FIELD_PICTURES, SeenField
from dorl.serving.store import SAID, Waiting, as_kept, keep_pictures


class Fields:
    """Fields of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, sample: int) -> Waiting | None:
        """The next field of a sample that is to be searched; None if there is none."""
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT id, name, file FROM fields WHERE sample = ? AND width IS NULL ORDER BY id LIMIT 1", (sample,)
            ).fetchone()
        return None if row is None else Waiting(*row)

    def of_sample(self, sample: int) -> list[dict[str, Any]]:
        """The fields of a sample that were searched, as they were given."""
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT fields.id, fields.name, width, height, red_cell, count(cells.id) AS cells "
                "FROM fields LEFT JOIN cells ON cells.field = fields.id "
                "WHERE fields.sample = ? AND width IS NOT NULL GROUP BY fields.id ORDER BY fields.id",
                (sample,),
            ).fetchall()
        return [dict(row) for row in rows]

    def picture(self, field: int, kind: str) -> bytes | None:
        """One of `FIELD_PICTURES` of a field, JPEG; None if there is none."""
        if kind not in FIELD_PICTURES:
            return None
        with self._database.transaction() as db:
            row = db.execute(f"SELECT {kind} FROM fields WHERE id = ?", (field,)).fetchone()
        return None if row is None else row[0]

    def save(self, field: Waiting, found: SeenField, files: Sequence[str], classes: Sequence[str]) -> None:
        """Keep what was found in a field; where its sample was dropped meanwhile, nothing.

        Parameters
        ----------
        field : Waiting
        found : SeenField
        files : sequence of str
            Of the images of its cells, within the sample's own folder.
        classes : sequence of str
            Of the recogniser.
        """
        columns = ("sample", "name", "file", "bytes", "field", "box", "touches_border", *SAID)
        insert = f"INSERT INTO cells ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        with self._database.transaction() as db:
            kept = db.execute(
                "UPDATE fields SET width = ?, height = ?, red_cell = ?, image = ?, outlined = ? WHERE id = ? "
                "RETURNING sample",
                (*found.size, found.red_cell, *(found.pictures[kind] for kind in FIELD_PICTURES), field.id),
            ).fetchone()
            if kept is None:
                return
            for number, (cell, file) in enumerate(zip(found.cells, files, strict=True), start=1):
                row = db.execute(
                    insert,
                    (
                        *(kept[0], f"{field.name}, cell {number}", file, len(cell.image)),
                        *(field.id, json.dumps(cell.box), cell.touches_border),
                        *as_kept(cell.seen, classes),
                    ),
                )
                assert row.lastrowid is not None
                keep_pictures(db, row.lastrowid, cell.seen)
