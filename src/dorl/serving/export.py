"""What is taken away from the page: a table of a sample's cells, and its images as a lab that `dorl fit` reads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from dorl.errors import BadImageError
from dorl.files import digest_of
from dorl.serving.cells import Row, node_of
from dorl.serving.uploads.intake import Place, Places
from dorl.sheets import SheetWriter

MANIFEST, LEFT_OUT = "manifest.csv", "left_out.csv"


def write_table(rows: Sequence[Row], classes: Sequence[str], *, fields: bool = False) -> str:
    """CSV of a sample's cells: what a person said, what the classifier said, and every class's probability.

    ``class`` is the person's word where there is one. Cells of smear `fields` have their field's name for a path, and
    the columns that `dorl count` gives besides. Where no cell was found, and nobody gave a class, there is none.
    """
    boxes = ["xmin", "ymin", "xmax", "ymax", "touches_border"] if fields else []
    columns = ["path", *boxes, "class", "probability", "label", "checked", "predicted"]
    columns += ["found", "confidence", "distance", "unlike", "node", "model"]
    text = io.StringIO()
    writer = SheetWriter(text, [*columns, *classes])
    for row in rows:
        # of classes that the model of then didn't know nothing can be said
        values = [row.probabilities.get(name) for name in classes]
        place = [*row.box, _truth(row.touches_border)] if row.box else []
        writer.row(
            [
                *(row.field or row.name, *place, row.label or row.predicted, _rounded(row.probability, 6)),
                *(row.label, row.checked, row.predicted, _truth(row.found), round(row.confidence, 4)),
                *(round(row.distance, 4), _truth(row.distance > 1), node_of(row.probabilities), row.model, *values),
            ]
        )
    return text.getvalue()


def write_lab(rows: Iterable[Row], place: Place, places: Places, out: IO[bytes]) -> None:
    """Write a zip of the images and a manifest whose column ``label`` has what a person said, empty where nobody did.

    Parameters
    ----------
    rows : iterable of Row
    place, places
        Where the images lie. Those that can't be read any more, or have changed since they were looked at, are left
        out, and stand in ``left_out.csv``.
    out : file
        Open for writing; images are copied one after another.
    """
    text, missing = io.StringIO(), io.StringIO()
    writer = SheetWriter(text, ["image", "label", "predicted", "probability", "name"])
    left_out = SheetWriter(missing, ["name", "reason"])
    count = 0
    # a zip knows no time before 1980: such a file gets that year
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for number, row in enumerate(rows, start=1):
            try:
                path = places.cell(place, row.file)
                name = f"images/{number:05d}{_ending(path)}"
                if row.content not in (None, digest_of(path)):
                    raise BadImageError("has changed since it was looked at")
                archive.write(path, name)
            except (BadImageError, OSError) as error:
                count += 1
                left_out.row([row.name, error.strerror if isinstance(error, OSError) else str(error)])
                continue
            writer.row([name, row.label, row.predicted, _rounded(row.probability, 4), row.name])
        archive.writestr(MANIFEST, text.getvalue())
        if count:
            archive.writestr(LEFT_OUT, missing.getvalue())


def _ending(path: Path) -> str:
    """The ending that fits a file's content, since uploaded files have none."""
    with path.open("rb") as file:
        head = file.read(4)
    kinds = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"BM": ".bmp"}
    return kinds.get(head[:2], ".tif")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _truth(value: bool) -> str:
    return str(value).lower()
