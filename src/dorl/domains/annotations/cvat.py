"""CVAT's XML, "CVAT for images 1.1": boxes, polygons, masks, ellipses and tags of many images."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.documents import text, understood
from dorl.domains.annotations.shapes import Bounds, Polygons, Runs, Shape, ellipse, rectangle, ring, turned


def is_cvat(document: ElementTree.Element) -> bool:
    """Whether an XML document is CVAT's of images."""
    return document.tag == "annotations" and document.find("image") is not None


def read_cvat(path: Path, document: ElementTree.Element) -> list[AnnotatedImage]:
    """Images and their cells; a tag is the class of a whole image. Raises InputError."""
    found = []
    with understood(path, "CVAT for images 1.1"):
        for image in document.iter("image"):
            size = int(image.attrib["width"]), int(image.attrib["height"])
            cells = [cell for one in image if (cell := _cell(one)) is not None]
            found.append(AnnotatedImage(image.attrib["name"], tuple(cells), size))
    return found


def _cell(one: ElementTree.Element) -> Cell | None:
    label = text(one.get("label"))
    if one.tag == "tag":
        return Cell(label)
    shape: Shape
    if one.tag == "box":
        box = _numbers(one, "xtl", "ytl", "xbr", "ybr")
        turn = float(one.get("rotation", 0))
        if not turn:
            return Cell(label, box)
        shape = Polygons((_turned(box, turn),))
        return Cell(label, shape.bounds())
    if one.tag == "polygon":
        shape = Polygons(((ring(_points(one.attrib["points"])),),))
    elif one.tag == "ellipse":
        x, y, rx, ry = _numbers(one, "cx", "cy", "rx", "ry")
        shape = Polygons(((ellipse((x, y), (rx, ry), float(one.get("rotation", 0))),),))
    elif one.tag == "mask":
        left, top, width, height = (int(number) for number in _numbers(one, "left", "top", "width", "height"))
        counts = np.array([int(number) for number in one.attrib["rle"].split(",")], np.int64)
        shape = Runs(counts, (left, top, left + width, top + height), by_columns=False)
        return Cell(label, (float(left), float(top), float(left + width), float(top + height)), shape)
    else:  # points, lines and skeletons are no cells
        return None
    return Cell(label, shape.bounds(), shape)


def _turned(box: Bounds, turn: float) -> tuple[np.ndarray]:
    """The ring of a box that is turned about its middle."""
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    return (turned(rectangle(box) - middle, turn) + middle,)


def _points(text: str) -> list[list[float]]:
    return [[float(number) for number in point.split(",")] for point in text.split(";")]


def _numbers(one: ElementTree.Element, a: str, b: str, c: str, d: str) -> Bounds:
    return float(one.attrib[a]), float(one.attrib[b]), float(one.attrib[c]), float(one.attrib[d])
