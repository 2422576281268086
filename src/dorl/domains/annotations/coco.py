"""COCO's JSON of instances, as CVAT, Roboflow, Label Studio and others read and write it.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.documents import text, understood
from dorl.domains.annotations.shapes import Bounds, Polygons, Runs, Shape, ring, runs_of, traced


def is_coco(document: Any) -> bool:
    """Whether a JSON document is one of COCO's instances."""
    return isinstance(document, dict) and {"images", "annotations"} <= set(document)


def read_coco(path: Path, document: Any) -> list[AnnotatedImage]:
    """Images and their cells: polygons, runs (plain and packed) and boxes. Raises InputError."""
    with understood(path, "COCO"):
        names = {one["id"]: text(one["name"]) for one in document.get("categories", [])}
        cells: dict[Any, list[Cell]] = {one["id"]: [] for one in document["images"]}
        for one in document["annotations"]:
            shape = _shape(one.get("segmentation"))
            box = _box(one["bbox"]) if one.get("bbox") else None
            if box is None and shape is not None:
                box = shape.bounds()
            score = one.get("score")
            label = names.get(one.get("category_id"))
            cells[one["image_id"]].append(Cell(label, box, shape, None if score is None else float(score)))
        return [
            AnnotatedImage(str(one["file_name"]), tuple(cells[one["id"]]), _size(one)) for one in document["images"]
        ]


def coco_document(images: Sequence[AnnotatedImage], classes: Sequence[str]) -> dict[str, Any]:
    """A COCO document of cells, whose labels are among `classes`.

    A cell with holes has runs, since polygons have none; one without an outline has its box alone.
    """
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    listed = []
    for number, image in enumerate(images, start=1):
        assert image.size is not None
        width, height = image.size
        listed.append({"id": number, "file_name": image.path, "width": width, "height": height})
        for cell in image.cells:
            left, top, right, bottom = cell.box_in(image.size)
            found: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": numbers[cell.label or ""],
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
                "segmentation": [],
            }
            outline = cell.mask()
            if outline is not None:
                mask, corner = outline
                found |= {"area": int(mask.sum()), "segmentation": _segmentation(mask, corner, (width, height))}
            if cell.probability is not None:
                found["score"] = cell.probability
            annotations.append(found)
    categories = [{"id": number, "name": name, "supercategory": "cell"} for name, number in numbers.items()]
    return {"info": {}, "licenses": [], "images": listed, "annotations": annotations, "categories": categories}


def _segmentation(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> Any:
    parts = traced(mask).parts
    if all(len(part) == 1 for part in parts):
        return [(part[0] + corner).ravel().tolist() for part in parts]
    whole = np.zeros(size[::-1], bool)
    whole[corner[1] : corner[1] + mask.shape[0], corner[0] : corner[0] + mask.shape[1]] = mask
    return {"counts": runs_of(whole).tolist(), "size": [size[1], size[0]]}


def _shape(found: Any) -> Shape | None:
    if not found:
        return None
    if isinstance(found, dict):
        height, width = (int(side) for side in found["size"])
        counts = found["counts"]
        lengths = unpacked(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
        return Runs(lengths, (0, 0, width, height))
    return Polygons(tuple((ring(np.asarray(one, np.float64).reshape(-1, 2)),) for one in found))


def unpacked(counts: str) -> np.ndarray:
    """Lengths of runs out of COCO's packed text: five bits a letter, each length less the one but one before it."""
    lengths: list[int] = []
    value = shift = 0
    for letter in counts:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("its packed runs are damaged")
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return np.array(lengths, np.int64)


def _box(values: Sequence[float]) -> Bounds:
    left, top, width, height = (float(value) for value in values)
    return left, top, left + width, top + height


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
