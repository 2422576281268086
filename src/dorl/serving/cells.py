"""Cells in the database: listed, shown, corrected."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from dorl.classification.nodes import finest_sure
from dorl.serving.database import Database, now

#: the orders in which cells are listed
Order = Literal["given", "name", "class", "unsure", "sure", "unlike"]
#: which cells are listed
Show = Literal["all", "unlike", "unsure", "unchecked", "corrected", "without-cell"]

_ORDERS: dict[str, str] = {
    "given": "id",
    "name": "name, id",
    "class": "coalesce(label, class) IS NULL, coalesce(label, class), probability DESC, id",
    "unsure": "probability IS NULL, probability, id",
    "sure": "probability DESC, id",
    "unlike": "distance DESC, id",
}
#: a cell is unsure below this probability
UNSURE = 0.7
_SHOWN: dict[str, str] = {
    "all": "1",
    "unlike": "distance > 1",
    "unsure": f"probability < {UNSURE}",
    "unchecked": "label IS NULL",
    "corrected": "label IS NOT NULL AND label IS NOT class",
    "without-cell": "found = 0",
}
_COLUMNS = (
    "cells.id, cells.sample, cells.name, class, probability, probabilities, distance, found, confidence, label, field, "
    "box, touches_border, (SELECT model_classes FROM samples WHERE samples.id = cells.sample) AS model_classes"
)


@dataclass(frozen=True)
class Row:
    """A cell for an export: its image's place and what is known of it; of one in a field its name and its box.

    `predicted` and `probability` are None where no cell was found.
    """

    name: str
    file: str
    field: str | None
    box: list[int] | None
    touches_border: bool
    confidence: float
    predicted: str | None
    probability: float | None
    probabilities: dict[str, float]
    distance: float
    found: bool
    label: str | None
    checked: str | None
    model: str
    content: str | None


class Cells:
    """Cells of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def some(
        self,
        sample: int,
        *,
        order: Order = "given",
        show: Show = "all",
        of_class: str | None = None,
        field: int | None = None,
        start: int = 0,
        most: int = 60,
    ) -> tuple[int, list[dict[str, Any]]]:
        """Cells of a sample that were looked at.

        Parameters
        ----------
        order, show
            See `Order` and `Show`.
        of_class : str, optional
            By a person's word where there is one, else by the classifier's.
        field : int, optional
            Of this smear field alone.
        start, most : int
            Which of them.

        Returns
        -------
        (count, cells)
            How many there are, and those asked for.
        """
        where = f"sample = ? AND seen AND {_SHOWN[show]}"
        values: list[Any] = [sample]
        if of_class is not None:
            where += " AND coalesce(label, class) = ?"
            values.append(of_class)
        if field is not None:
            where += " AND field = ?"
            values.append(field)
        with self._database.transaction() as db:
            count = db.execute(f"SELECT count(*) FROM cells WHERE {where}", values).fetchone()[0]
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM cells WHERE {where} ORDER BY {_ORDERS[order]} LIMIT ? OFFSET ?",
                [*values, most, start],
            ).fetchall()
        return count, [_plain(dict(row)) for row in rows]

    def get(self, cell: int) -> dict[str, Any] | None:
        """One cell, with its neighbours, its corrections and the model that looked at it; None if there is none."""
        with self._database.transaction() as db:
            row = db.execute(
                f"SELECT {_COLUMNS}, neighbours, model FROM cells JOIN samples ON samples.id = sample "
                "WHERE cells.id = ? AND seen",
                (cell,),
            ).fetchone()
            corrections = db.execute(
                "SELECT label, predicted, probability, model, made FROM corrections WHERE cell = ? ORDER BY id", (cell,)
            ).fetchall()
        if row is None:
            return None
        found = _plain(dict(row))
        found["neighbours"] = json.loads(found["neighbours"])
        found["corrections"] = [dict(correction) for correction in corrections]
        return found

    def picture(self, cell: int, kind: str) -> bytes | None:
        """A picture of a cell, JPEG; None if there is none."""
        with self._database.transaction() as db:
            row = db.execute("SELECT data FROM pictures WHERE cell = ? AND kind = ?", (cell, kind)).fetchone()
        return None if row is None else row[0]

    def correct(self, cell: int, label: str | None) -> bool:
        """Keep a person's word on a cell's class, or take it back; False if there is no such cell.

        The corrections of a cell are never removed: each stands with its time, what the classifier had said, and the
        model's version.
        """
        with self._database.transaction() as db:
            changed = db.execute(
                "INSERT INTO corrections (cell, label, predicted, probability, model, made) "
                "SELECT cells.id, ?, class, probability, model, ? FROM cells JOIN samples ON samples.id = sample "
                "WHERE cells.id = ? AND seen",
                (label, now(), cell),
            ).rowcount
            db.execute("UPDATE cells SET label = ? WHERE id = ? AND seen", (label, cell))
        return changed > 0

    def rows(self, sample: int) -> list[Row]:
        """Every cell of a sample that was looked at, as it was given."""
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT cells.name, cells.file, fields.name AS field, box, touches_border, confidence, class AS "
                "predicted, probability, probabilities, model_classes, distance, found, label, CASE WHEN label IS NOT "
                "NULL THEN (SELECT max(made) FROM corrections WHERE cell = cells.id) END AS checked, model, content "
                "FROM cells JOIN samples ON samples.id = cells.sample LEFT JOIN fields ON fields.id = cells.field "
                "WHERE cells.sample = ? AND seen ORDER BY cells.id",
                (sample,),
            ).fetchall()
        return [Row(**_read(dict(row))) for row in rows]


def _read(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell's columns as Python has them; the probabilities by class, none without a cell or without known classes."""
    classes, values = cell.pop("model_classes"), cell["probabilities"]
    known = None not in (classes, values)
    cell["probabilities"] = dict(zip(json.loads(classes), json.loads(values), strict=True)) if known else {}
    cell["box"] = json.loads(cell["box"]) if cell["box"] else None
    for name in ("found", "touches_border"):
        cell[name] = bool(cell[name])
    return cell


def node_of(probabilities: dict[str, float]) -> str | None:
    """The finest node of the tree of classes that is sure; None where nothing is known."""
    if not probabilities:
        return None
    return str(finest_sure([list(probabilities.values())], list(probabilities))[0])


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    cell = _read(cell)
    cell["unlike"] = cell["distance"] > 1
    cell["node"] = node_of(cell["probabilities"])
    return cell
