"""What several routes answer: samples and cells as the API names them, pictures, files."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import Response

from dorl.classification.counts import differential
from dorl.serving import schemas
from dorl.serving.limits import Refused
from dorl.serving.server import Server

#: cells in one answer
MOST = 500


def sample_answer(server: Server, sample: int) -> schemas.Sample:
    """A sample; 404 if there is none."""
    found = server.samples.describe(sample)
    if found is None:
        raise Refused(404, f"no sample {sample}")
    return as_sample(server, found)


def as_sample(server: Server, found: dict[str, Any]) -> schemas.Sample:
    """A sample as `Samples.describe` tells it; with a differential count where it is one of fields."""
    counts: list[schemas.Count] = []
    if found["kind"] == "fields":
        classes = list(dict.fromkeys([*server.recogniser.classes, *found["classes"]]))
        table = differential(np.repeat(list(found["classes"]), list(found["classes"].values())), classes)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        counts = [schemas.Count(**{str(name): value for name, value in row.items()}) for row in rows]
        counts.sort(key=lambda row: -row.cells)
    return schemas.Sample(**found, differential=counts)


def cells_answer(server: Server, found: schemas.Sample, **asked: Any) -> schemas.CellsOfSample:
    """Some cells of a sample; `asked` as for `Cells.some`."""
    count, cells = server.cells.some(found.id, **asked)
    return schemas.CellsOfSample(sample=found, count=count, cells=[schemas.Cell(**cell) for cell in cells])


def jpeg(data: bytes) -> Response:
    """A picture."""
    return Response(data, media_type="image/jpeg")


def download(name: str) -> dict[str, str]:
    """Headers of what a browser saves under a name."""
    return {"content-disposition": f'attachment; filename="{name}"'}
