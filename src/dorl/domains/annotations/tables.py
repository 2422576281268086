"""Boxes and outlines for detectors: YOLO's text files and Pascal VOC's XML, a file an image."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.shapes import rectangle, traced


def yolo_lines(image: AnnotatedImage, classes: Sequence[str], *, outlines: bool = False) -> str:
    """A line a cell: the class's number in `classes` and the box, or the outline, in shares of the image's sides.

    Of a cell in several parts the largest one is written, without its holes, since a line of YOLO's has one ring.

    Parameters
    ----------
    image : AnnotatedImage
        With its size.
    classes : sequence of str
    outlines : bool
        Write ``class x1 y1 x2 y2 …`` in place of ``class x y width height``.
    """
    assert image.size is not None
    size = np.array(image.size, np.float64)
    lines = []
    for cell in image.cells:
        if outlines:
            numbers = (_largest(cell, image.size) / size).ravel()
        else:
            left, top, right, bottom = cell.box_in(image.size)
            scaled = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]).reshape(2, 2) / size
            numbers = scaled.ravel()
        lines.append(" ".join([str(classes.index(cell.label or "")), *(f"{number:.6f}" for number in numbers)]))
    return "".join(f"{line}\n" for line in lines)


def yolo_settings(classes: Sequence[str]) -> str:
    """The ``data.yaml`` that YOLO is given."""
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(classes))
    return f"path: .\ntrain: images\nval: images\nnames:\n{names}"


def voc_document(image: AnnotatedImage, folder: str) -> str:
    """Pascal VOC's XML of an image.

    Corners are in pixels, the image's corner at 0, the last two exclusive, as labelImg writes them.
    """
    assert image.size is not None
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = folder
    ElementTree.SubElement(root, "filename").text = image.path
    sides = ElementTree.SubElement(root, "size")
    for name, value in zip(("width", "height", "depth"), (*image.size, 3), strict=True):
        ElementTree.SubElement(sides, name).text = str(value)
    ElementTree.SubElement(root, "segmented").text = str(int(any(cell.shape is not None for cell in image.cells)))
    for cell in image.cells:
        one = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(one, "name").text = cell.label
        ElementTree.SubElement(one, "pose").text = "Unspecified"
        box = cell.box_in(image.size)
        cut = box[0] <= 0 or box[1] <= 0 or box[2] >= image.size[0] or box[3] >= image.size[1]
        ElementTree.SubElement(one, "truncated").text = str(int(cut))
        ElementTree.SubElement(one, "difficult").text = "0"
        corners = ElementTree.SubElement(one, "bndbox")
        for name, place in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            ElementTree.SubElement(corners, name).text = f"{place:g}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _largest(cell: Cell, size: tuple[int, int]) -> np.ndarray:
    """The outer ring of a cell's largest part; its box's where it has no outline."""
    outline = cell.mask()
    if outline is None:
        return rectangle(cell.box_in(size))
    mask, corner = outline
    rings = [part[0] for part in traced(mask).parts]
    spread = [np.ptp(points[:, 0]) * np.ptp(points[:, 1]) for points in rings]
    return rings[int(np.argmax(spread))] + np.array(corner)
