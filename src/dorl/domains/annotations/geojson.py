"""GeoJSON as QuPath exports and imports it: a file an image, of the image's name.

RFC 7946, and QuPath's ``objectType``, ``classification`` and ``measurements`` in each feature's properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.documents import text, understood
from dorl.domains.annotations.shapes import Polygons, rectangle, ring, traced

#: QuPath's objects that hold others, or none
_PARENTS = ("tmaCore", "root")
PROBABILITY = "probability"


def is_geojson(document: Any) -> bool:
    """Whether a JSON document has QuPath's objects."""
    if isinstance(document, list):
        return bool(document) and all(isinstance(one, dict) and one.get("type") == "Feature" for one in document)
    return isinstance(document, dict) and document.get("type") in ("FeatureCollection", "Feature")


def read_geojson(path: Path, document: Any) -> list[AnnotatedImage]:
    """The cells of the image of the file's name: polygons, with holes and in several parts. Raises InputError."""
    with understood(path, "QuPath"):
        features = document if isinstance(document, list) else document.get("features", [document])
        cells = []
        for feature in features:
            properties = feature.get("properties") or {}
            geometry: dict[str, Any] = feature.get("geometry") or {}
            kind, places = geometry.get("type"), geometry.get("coordinates", [])
            if properties.get("objectType") in _PARENTS or kind not in ("Polygon", "MultiPolygon"):
                continue
            parts = [places] if kind == "Polygon" else places
            # a ring ends where it began
            shape = Polygons(tuple(tuple(_ring(points) for points in part) for part in parts))
            cells.append(Cell(_class(properties), shape.bounds(), shape, _probability(properties)))
        return [AnnotatedImage(path.name.removesuffix(".geojson").removesuffix(".json"), tuple(cells))]


def geojson_document(image: AnnotatedImage) -> dict[str, Any]:
    """A GeoJSON document of one image's cells, each an annotation of QuPath's; without an outline its box."""
    features = []
    for cell in image.cells:
        outline = cell.mask()
        if outline is not None:
            mask, corner = outline
            parts = [[_closed(points + corner) for points in part] for part in traced(mask).parts]
        else:
            assert image.size is not None
            parts = [[_closed(rectangle(cell.box_in(image.size)))]]
        one = len(parts) == 1
        properties: dict[str, Any] = {"objectType": "annotation"}
        if cell.label:
            properties["classification"] = {"name": cell.label}
        if cell.probability is not None:
            properties["measurements"] = {PROBABILITY: cell.probability}
        geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": parts[0] if one else parts}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _ring(points: Sequence[Sequence[float]]) -> np.ndarray:
    return ring(points[:-1] if len(points) > 3 and points[0] == points[-1] else points)


def _closed(points: np.ndarray) -> list[list[float]]:
    # RFC 7946 has outer rings counterclockwise with y upwards, as these are with y downwards turned about
    every = points[::-1].tolist()
    return [*every, every[0]]


def _class(properties: dict[str, Any]) -> str | None:
    found = properties.get("classification") or {}
    names = found.get("names")  # of a class and those derived from it
    name = found.get("name") or (names[-1] if names else None)
    return text(name.rsplit(":", 1)[-1]) if isinstance(name, str) else None


def _probability(properties: dict[str, Any]) -> float | None:
    found = properties.get("measurements") or {}
    if isinstance(found, list):  # of QuPath before 0.4
        found = {one.get("name"): one.get("value") for one in found}
    value = found.get(PROBABILITY)
    return None if value is None else float(value)
