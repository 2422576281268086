"""labelme's JSON: a file an image, that names it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.documents import text, understood
from dorl.domains.annotations.shapes import Pixels, Polygons, Shape, ellipse, ring
from dorl.domains.opening import by_pillow, told
from dorl.errors import BadImageError


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is labelme's."""
    return isinstance(document, dict) and {"shapes", "imagePath"} <= set(document)


def read_labelme(path: Path, document: Any) -> list[AnnotatedImage]:
    """The cells of one image: polygons, rectangles, circles and masks; a flag is the class of all of it.

    Raises
    ------
    InputError
        If it isn't as labelme writes it.
    """
    with understood(path, "labelme"):
        cells = [cell for one in document["shapes"] if (cell := _cell(one)) is not None]
        cells += [Cell(text(flag)) for flag, on in (document.get("flags") or {}).items() if on is True and not cells]
        sides = document.get("imageWidth"), document.get("imageHeight")
        size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
        return [AnnotatedImage(str(document["imagePath"]), tuple(cells), size)]


def _cell(one: dict[str, Any]) -> Cell | None:
    label, kind, points = text(one["label"]), one.get("shape_type", "polygon"), one["points"]
    shape: Shape
    if kind == "rectangle":
        corners = np.asarray(points, np.float64)
        (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
        return Cell(label, (left, top, right, bottom))
    if kind == "polygon":
        shape = Polygons(((ring(points),),))
    elif kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = float(np.hypot(edge_x - x, edge_y - y))
        shape = Polygons(((ellipse((float(x), float(y)), (radius, radius)),),))
    elif kind == "mask":
        left, top = (round(float(number)) for number in points[0])
        shape = Pixels(_decoded(str(one["mask"])), (left, top))
    else:  # points and lines are no cells
        return None
    return Cell(label, shape.bounds(), shape)


def _decoded(data: str) -> np.ndarray:
    """A mask in a PNG in base64, bool (h, w); as small as it is, since it is a part of the image."""
    from PIL import Image

    try:
        with told("a mask"):
            stream = io.BytesIO(base64.b64decode(data, validate=True))
            with Image.open(stream, formats=["PNG"]) as image:
                if min(image.size) >= 8:
                    with by_pillow(stream, "a mask") as checked:
                        return np.asarray(checked.convert("L")) > 0
                if max(image.size) > 65_536:
                    raise BadImageError("a mask is too long")
                return np.asarray(image.convert("L")) > 0
    except BadImageError as error:
        raise ValueError(str(error)) from error
