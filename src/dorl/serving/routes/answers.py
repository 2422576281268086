"""What several routes answer: samples and cells as the API names them, pictures, files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from fastapi import Response

from dorl.classification.differential import UNLIKE, differential
from dorl.serving import schemas
from dorl.serving.limits import Refused
from dorl.serving.server import Server

#: cells in one answer
MAX_ANSWERED_CELLS = 500


def sample_answer(server: Server, sample: int) -> schemas.Sample:
    """A sample; 404 if there is none."""
    found = server.samples.describe(sample)
    if found is None:
        raise Refused(404, f"no sample {sample}")
    return as_sample(server, found)


def as_sample(server: Server, found: dict[str, Any]) -> schemas.Sample:
    """A sample as `Samples.describe` tells it; with a differential count where it is one of fields."""
    counts, unlike, errors = dict(found["classes"]), found.pop("unlike_classes"), found.pop("errors") or {}
    if found["kind"] != "fields":
        return schemas.Sample(**found, differential=[])
    classes = errors.get("classes", server.recogniser.classes)
    if errors.get("each_unlike"):
        counts.update({name: counts[name] - count for name, count in unlike.items()})
        counts[UNLIKE] = sum(unlike.values())
    counted = tuple((name, count) for name, count in counts.items() if count)
    confusion = errors.get("confusion")
    rows = _differential(
        counted, tuple(classes), confusion and tuple(map(tuple, confusion)), errors.get("another_lab", False)
    )
    return schemas.Sample(**found, differential=[schemas.Count(**row) for row in rows])


@lru_cache(maxsize=256)
def _differential(
    counts: tuple[tuple[str, int], ...],
    classes: tuple[str, ...],
    confusion: tuple[tuple[int, ...], ...] | None,
    another_lab: bool,
) -> list[dict[str, Any]]:
    """Rows of the differential, the most frequent first; kept, since the page asks again and again."""
    table = differential(
        np.repeat([name for name, _ in counts], [count for _, count in counts]).astype(object),
        classes,
        confusion=None if confusion is None else np.array(confusion),
        another_lab=another_lab,
    )
    table = table.sort_values(["group", "cells"], ascending=False, kind="stable")
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


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
