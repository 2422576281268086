"""Images with cells drawn for tests of annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.shapes import Pixels

CLASSES = ("monocyte", "lymphocyte_typical", "neutrophil_segmented")


@st.composite
def masks(draw: st.DrawFn, most: int = 7) -> np.ndarray:
    """Any pixels, one or more: in parts, with holes, and with corners that touch."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    bits = draw(st.integers(1, 2 ** (height * width) - 1))
    flat = [bool(bits >> i & 1) for i in range(height * width)]
    return np.array(flat).reshape(height, width)


def picture(folder: Path, name: str = "field.png", size: tuple[int, int] = (64, 48)) -> Path:
    """An image of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def disc(radius: int) -> np.ndarray:
    """A round mask."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius


def cell(mask: np.ndarray, left: int, top: int, label: str | None = "monocyte", p: float | None = None) -> Cell:
    """A cell of a mask at a place."""
    shape = Pixels(mask, (left, top))
    return Cell(label, shape.bounds(), shape, p)


def field(folder: Path, name: str = "field.png") -> AnnotatedImage:
    """A field with a round cell, one with a hole, and a box alone."""
    hole = disc(6)
    hole[5:8, 5:8] = False
    cells = (
        cell(disc(5), 4, 3, p=0.75),
        cell(hole, 30, 20, "lymphocyte_typical"),
        Cell("neutrophil_segmented", (48.0, 2.0, 60.0, 15.0)),
    )
    return AnnotatedImage(name, cells, (64, 48), picture(folder, name))
