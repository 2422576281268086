"""Label Studio's JSON of tasks: rectangles, polygons, ellipses, brushes and choices.

Places are in percent of the image. https://labelstud.io/guide/task_format
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.documents import text, understood
from dorl.domains.annotations.shapes import Pixels, Polygons, Shape, ellipse, rectangle, ring
from dorl.domains.opening import MAX_PIXELS

#: bits of the numbers in a brush's head: how many values, and one less than the bits of a value and of four lengths
_COUNT, _WORD, _LENGTHS = 32, 5, 4


def is_labelstudio(document: Any) -> bool:
    """Whether a JSON document has Label Studio's tasks."""
    return (
        isinstance(document, list)
        and bool(document)
        and all(isinstance(one, dict) and "data" in one and "annotations" in one for one in document)
    )


def read_labelstudio(path: Path, document: Any) -> list[AnnotatedImage]:
    """Images and their cells, by each task's last annotation that wasn't cancelled; a choice is a whole image's class.

    Raises
    ------
    InputError
        If it isn't as Label Studio writes it.
    """
    found = []
    with understood(path, "Label Studio"):
        for task in document:
            done = [one for one in task["annotations"] if not one.get("was_cancelled")]
            results = done[-1]["result"] if done else []
            cells = [cell for one in results if (cell := _cell(one)) is not None]
            sizes = [one for one in results if one.get("original_width") and one.get("original_height")]
            size = (int(sizes[0]["original_width"]), int(sizes[0]["original_height"])) if sizes else None
            found.append(AnnotatedImage(_image(task["data"]), tuple(cells), size))
    return found


def _image(data: dict[str, Any]) -> str:
    """The image of a task: that of the key ``image``, else the one text that names a file."""
    named = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    parts = urlsplit(named[0])
    local = parse_qs(parts.query).get("d")  # /data/local-files/?d=images/cell.png
    return local[0] if local else unquote(parts.path)


def _cell(one: dict[str, Any]) -> Cell | None:
    kind, value = one.get("type", ""), one["value"]
    named = value.get(kind) or value.get("labels") or value.get("choices") or []
    label = text(named[0]) if named else None
    if kind == "choices":
        return Cell(label)
    # a region comes twice where the class is chosen apart from it: once bare, once with its class
    if not kind.endswith("labels"):
        return None
    width, height = int(one["original_width"]), int(one["original_height"])
    scale = np.array([width, height]) / 100
    shape: Shape
    if "points" in value:
        shape = Polygons(((ring(np.asarray(value["points"], np.float64) * scale),),))
    elif "radiusX" in value:
        centre, radii = np.array([value["x"], value["y"]]) * scale, np.array([value["radiusX"], value["radiusY"]])
        rx, ry = radii * scale
        shape = Polygons(((ellipse((centre[0], centre[1]), (rx, ry), float(value.get("rotation", 0))),),))
    elif "rle" in value:
        shape = Pixels(brush(value["rle"], width, height))
    elif "width" in value:
        left, top = np.array([value["x"], value["y"]], np.float64) * scale
        right, bottom = (left, top) + np.array([value["width"], value["height"]]) * scale
        turned = Polygons(((rectangle((left, top, right, bottom), float(value.get("rotation", 0))),),))
        return Cell(label, turned.bounds())
    else:
        return None
    return Cell(label, shape.bounds(), shape)


def brush(data: list[int], width: int, height: int) -> np.ndarray:
    """The pixels that a brush painted, bool (height, width), out of its packed values (red, green, blue, opacity).

    The packing is that of https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack. Raises ValueError.
    """
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"a brush of {width}×{height} pixels")
    bits = _Bits(data)
    count = bits.number(_COUNT)
    if count != 4 * width * height:
        raise ValueError(f"a brush of {count} values for {width}×{height} pixels")
    word = bits.number(_WORD) + 1
    lengths = [bits.number(_LENGTHS) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        repeated = bits.number(1)
        end = min(count, at + 1 + bits.number(lengths[bits.number(2)]))
        values[at:end] = bits.number(word) if repeated else bits.numbers(end - at, word)
        at = end
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """Numbers out of bytes, the highest bit first."""

    def __init__(self, data: list[int]) -> None:
        self._bits, self._at = np.unpackbits(np.asarray(data, np.uint8)), 0

    def number(self, size: int) -> int:
        return int(self.numbers(1, size)[0])

    def numbers(self, count: int, size: int) -> np.ndarray:
        end = self._at + count * size
        if end > len(self._bits):
            raise ValueError("a brush ends too early")
        part = self._bits[self._at : end].reshape(count, size)
        self._at = end
        return part.astype(np.int64) @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))
