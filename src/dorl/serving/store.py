"""Samples in the database: entered, looked at cell by cell, finished, dropped."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dorl.serving.database import Database, now
from dorl.serving.recogniser import SampleResult, SeenCell
from dorl.serving.uploads.intake import Place, Upload

#: what is kept of a `SeenCell`, beside its pictures
SAID = ("class", "probability", "probabilities", "distance", "found", "confidence", "neighbours", "inputs", "seen")


@dataclass(frozen=True)
class Waiting:
    """A cell, or a field, that is to be looked at."""

    id: int
    name: str
    file: str


class Samples:
    """Samples of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, name: str, upload: Upload, place: Place, model: str, classes: Sequence[str], *, fields: bool = False
    ) -> int:
        """Enter a sample; its cells, or its fields, wait for a model from now on. Returns its number."""
        columns = ("name", "made", "folder", "allowed", "model", "model_classes", "fields")
        with self._database.transaction() as db:
            row = (name, now(), place.folder, place.allowed, model, json.dumps(list(classes)), fields)
            sample = db.execute(
                f"INSERT INTO samples ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", row
            ).lastrowid
            assert sample is not None
            images = ((sample, *image) for image in upload.images)
            table = "fields" if fields else "cells"
            db.executemany(f"INSERT INTO {table} (sample, name, file, bytes) VALUES (?, ?, ?, ?)", images)
            left_out = ((sample, *pair) for pair in upload.left_out)
            db.executemany("INSERT INTO left_out VALUES (?, ?, ?)", left_out)
        return sample

    def drop(self, sample: int) -> Place | None:
        """Forget a sample with its cells and corrections; where its images lie, None if there is no such sample."""
        with self._database.transaction() as db:
            row = db.execute("DELETE FROM samples WHERE id = ? RETURNING folder, allowed", (sample,)).fetchone()
        return None if row is None else Place(*row)

    def place(self, sample: int) -> Place | None:
        """Where a sample's images lie; None if there is no such sample."""
        with self._database.transaction() as db:
            row = db.execute("SELECT folder, allowed FROM samples WHERE id = ?", (sample,)).fetchone()
        return None if row is None else Place(*row)

    def folders(self) -> set[str]:
        """Folders that samples have of their own."""
        with self._database.transaction() as db:
            return {row[0] for row in db.execute("SELECT folder FROM samples WHERE folder != ''")}

    def every(self) -> list[dict[str, Any]]:
        """Number, name, time and progress of each sample, the newest first."""
        with self._database.transaction() as db:
            numbers = [row[0] for row in db.execute("SELECT id FROM samples ORDER BY id DESC")]
        return [found for number in numbers if (found := self.describe(number))]

    def describe(self, sample: int) -> dict[str, Any] | None:
        """How far a sample is, and what was found in it; None if there is no such sample."""
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM samples WHERE id = ?", (sample,)).fetchone()
            if row is None:
                return None
            counts = db.execute(
                "SELECT count(*) AS images, coalesce(sum(seen), 0) AS looked_at, "
                "coalesce(sum(distance > 1), 0) AS unlike, count(label) AS checked, "
                "coalesce(sum(label IS NOT NULL AND label IS NOT class), 0) AS corrected, "
                "coalesce(sum(found = 0), 0) AS without_cell FROM cells WHERE sample = ?",
                (sample,),
            ).fetchone()
            classes = db.execute(
                "SELECT coalesce(label, class) AS class, count(*) FROM cells "
                "WHERE sample = ? AND seen AND coalesce(label, class) IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1",
                (sample,),
            ).fetchall()
            fields = db.execute(
                "SELECT count(*) AS fields, count(width) AS fields_searched FROM fields WHERE sample = ?", (sample,)
            ).fetchone()
            unlike = db.execute(
                "SELECT class, count(*) FROM cells WHERE sample = ? AND seen AND label IS NULL AND class IS NOT NULL "
                "AND distance > 1 GROUP BY 1",
                (sample,),
            ).fetchall()
            left_out = db.execute("SELECT name, reason FROM left_out WHERE sample = ?", (sample,)).fetchall()
        accuracy = json.loads(row["accuracy"]) if row["accuracy"] else None
        return {
            **{name: row[name] for name in ("id", "name", "made", "model")},
            "state": "done" if row["done"] else "working",
            "kind": "fields" if row["fields"] else "cells",
            **dict(counts),
            **dict(fields),
            "classes": dict(classes),
            "unlike_classes": dict(unlike),
            "errors": json.loads(row["errors"]) if row["errors"] else None,
            "adapted": bool(row["adapted"]),
            "accuracy": accuracy and dict(zip(("share", "low", "high"), accuracy, strict=True)),
            "mix": json.loads(row["mix"]) if row["mix"] else None,
            "left_out": [{"name": name, "reason": reason} for name, reason in left_out],
        }

    def unfinished(self) -> list[int]:
        """Samples that aren't done, the oldest first."""
        with self._database.transaction() as db:
            return [row[0] for row in db.execute("SELECT id FROM samples WHERE done = 0 ORDER BY id")]

    def begin_anew(self, model: str, classes: Sequence[str]) -> None:
        """Let the cells of unfinished samples wait again, where another model had begun with them.

        Their fields are searched again, but for those with a corrected cell: their cells stay, with all that was said
        of them, and are looked at once more like any others.
        """
        with self._database.transaction() as db:
            which = "SELECT id FROM samples WHERE done = 0 AND model != ?"
            corrected = "SELECT field FROM cells JOIN corrections ON cell = cells.id WHERE field IS NOT NULL"
            fields = f"SELECT id FROM fields WHERE sample IN ({which}) AND id NOT IN ({corrected})"
            db.execute(f"DELETE FROM pictures WHERE cell IN (SELECT id FROM cells WHERE sample IN ({which}))", (model,))
            db.execute(f"DELETE FROM cells WHERE field IN ({fields})", (model,))
            db.execute(f"UPDATE cells SET seen = 0 WHERE sample IN ({which})", (model,))
            db.execute(f"UPDATE fields SET width = NULL WHERE id IN ({fields})", (model,))
            names = json.dumps(list(classes))
            db.execute("UPDATE samples SET model = ?, model_classes = ? WHERE done = 0", (model, names))
            # those of an earlier dorl, which didn't keep them
            db.execute("UPDATE samples SET model_classes = ? WHERE model_classes IS NULL AND model = ?", (names, model))

    def waiting(self, sample: int, most: int) -> list[Waiting]:
        """The next cells of a sample that are to be looked at."""
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT id, name, file FROM cells WHERE sample = ? AND seen = 0 ORDER BY id LIMIT ?",
                (sample, most),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    def load(self) -> tuple[int, int]:
        """Cells and fields that wait, and bytes of all images that are kept."""
        with self._database.transaction() as db:
            cells = db.execute(
                "SELECT count(*) - coalesce(sum(seen), 0), coalesce(sum(bytes) FILTER (WHERE allowed IS NULL "
                "OR field IS NOT NULL), 0) FROM cells JOIN samples ON samples.id = cells.sample"
            ).fetchone()
            fields = db.execute(
                "SELECT count(*) - count(width), coalesce(sum(bytes) FILTER (WHERE allowed IS NULL), 0) "
                "FROM fields JOIN samples ON samples.id = fields.sample"
            ).fetchone()
        return cells[0] + fields[0], cells[1] + fields[1]

    def save(self, seen: Sequence[tuple[int, str, SeenCell]], classes: Sequence[str]) -> None:
        """Keep what was seen of some cells, by number and digest of the file; of a sample dropped meanwhile nothing."""
        with self._database.transaction() as db:
            for cell, content, seen_cell in seen:
                values = (*as_kept(seen_cell, classes), content, cell)
                if db.execute(f"UPDATE cells SET {' = ?, '.join(SAID)} = ?, content = ? WHERE id = ?", values).rowcount:
                    keep_pictures(db, cell, seen_cell)

    def leave_out(
        self, sample: int, image: Waiting, reason: str, *, kind: Literal["cells", "fields"] = "cells"
    ) -> None:
        """Take a cell, or a field, out of its sample, and say why."""
        with self._database.transaction() as db:
            if db.execute(f"DELETE FROM {kind} WHERE id = ?", (image.id,)).rowcount:
                db.execute("INSERT INTO left_out VALUES (?, ?, ?)", (sample, image.name, reason))

    def inputs(self, sample: int) -> list[tuple[int, bytes]]:
        """Number of each image of a sample in which a cell was found, and what the classifier takes of it."""
        with self._database.transaction() as db:
            found = "SELECT id, inputs FROM cells WHERE sample = ? AND seen AND found ORDER BY id"
            return [(row[0], row[1]) for row in db.execute(found, (sample,))]

    def finish(self, sample: int, cells: Sequence[int], together: SampleResult | None, classes: Sequence[str]) -> None:
        """Mark a sample as done, and keep what its `cells` say together; None where there are none."""
        with self._database.transaction() as db:
            if together is None:
                db.execute("UPDATE samples SET done = 1 WHERE id = ?", (sample,))
                return
            db.execute(
                "UPDATE samples SET done = 1, adapted = ?, accuracy = ?, mix = ?, errors = ? WHERE id = ?",
                (
                    *(together.adapted, together.accuracy and json.dumps(together.accuracy)),
                    *(together.mix and json.dumps(together.mix), _errors(together, classes), sample),
                ),
            )
            if not together.adapted and together.mix is None:
                return
            rows = zip(cells, together.probabilities.tolist(), together.distances.tolist(), strict=True)
            for cell, row, distance in rows:
                db.execute(
                    "UPDATE cells SET class = ?, probability = ?, probabilities = ?, distance = ? WHERE id = ?",
                    (*_said(row, classes), distance, cell),
                )


def _errors(together: SampleResult, classes: Sequence[str]) -> str:
    """What a differential's intervals rest on."""
    confusion = None if together.confusion is None else together.confusion.tolist()
    rest = {"another_lab": together.another_lab, "each_unlike": together.each_unlike}
    return json.dumps({"classes": list(classes), "confusion": confusion, **rest})


def as_kept(seen_cell: SeenCell, classes: Sequence[str]) -> tuple[Any, ...]:
    """What is kept of a cell, as `SAID` names it."""
    neighbours = json.dumps([asdict(neighbour) for neighbour in seen_cell.neighbours])
    answer = (None, None, None) if seen_cell.probabilities is None else _said(seen_cell.probabilities, classes)
    return (*answer, seen_cell.distance, seen_cell.found, seen_cell.confidence, neighbours, seen_cell.inputs, True)


def keep_pictures(db: sqlite3.Connection, cell: int, seen_cell: SeenCell) -> None:
    """Keep a cell's pictures, within a transaction."""
    pictures = ((cell, kind, data) for kind, data in seen_cell.pictures.items())
    db.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", pictures)


def _said(probabilities: Sequence[float], classes: Sequence[str]) -> tuple[str, float, str]:
    """The likeliest class, its probability, and all probabilities as JSON."""
    best = max(range(len(classes)), key=probabilities.__getitem__)
    return classes[best], probabilities[best], json.dumps([round(value, 6) for value in probabilities])
