"""What several routes answer: samples and cells as the API names them, pictures, files."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import Response

from dorl.classification.counts import differential
from dorl.serving import schemas as answers
from dorl.serving.limits import Refused
from dorl.serving.server import Server

#: cells in one answer
MOST = 500


def sample_answer(server: Server, sample: int) -> answers.Sample:
    """A sample; 404 if there is none."""
    found = server.samples.describe(sample)
    if found is None:
        raise Refused(404, f"no sample {sample}")
    return as_sample(server, found)


def as_sample(server: Server, found: dict[str, Any]) -> answers.Sample:
    """A sample as `Samples.describe` tells it; with a differential count where it is one of fields."""
    counts: list[answers.Count] = []
    if found["kind"] == "fields":
        classes = list(dict.fromkeys([*server.recogniser.classes, *found["classes"]]))
        table = differential(np.repeat(list(found["classes"]), list(found["classes"].values())), classes)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        counts = [answers.Count(**{str(name): value for name, value in row.items()}) for row in rows]
        counts.sort(key=lambda row: -row.cells)
    return answers.Sample(**found, differential=counts)


def cells_answer(server: Server, found: answers.Sample, **asked: Any) -> answers.CellsOfSample:
    """Some cells of a sample; `asked` as for `Cells.some`."""
    count, cells = server.cells.some(found.id, **asked)
    return answers.CellsOfSample(sample=found, count=count, cells=[answers.Cell(**cell) for cell in cells])


def jpeg(data: bytes) -> Response:
    """A picture."""
    return Response(data, media_type="image/jpeg")


def download(name: str) -> dict[str, str]:
    """Headers of what a browser saves under a name."""
    return {"content-disposition": f'attachment; filename="{name}"'}
