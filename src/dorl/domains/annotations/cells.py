"""Cells as an annotation tool has them: a class, a box and an outline in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dorl.domains.annotations.shapes import Bounds, Shape

#: annotated cells of one file
MAX_CELLS = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One annotated cell.

    Attributes
    ----------
    label : str or None
        The class as the tool has it; None where none was given.
    box : tuple of 4 float or None
        xmin, ymin, xmax, ymax in pixels, the image's corner at 0; None where the class is that of the whole image.
    shape : Shape or None
        The outline, where one was drawn.
    probability : float or None
        Of the class, 0-1, where a classifier gave it.
    """

    label: str | None
    box: Bounds | None = None
    shape: Shape | None = None
    probability: float | None = None

    def box_in(self, size: tuple[int, int]) -> Bounds:
        """Its box in an image of this width and height; the whole image's where it has none."""
        return self.box or (0.0, 0.0, float(size[0]), float(size[1]))

    def mask(self) -> tuple[np.ndarray, tuple[int, int]] | None:
        """The cell's pixels, bool (h, w), and the left and top of that part of the image; None without an outline."""
        if self.shape is None:
            return None
        window = self.shape.window()
        return self.shape.pixels(window), window[:2]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with its cells.

    Attributes
    ----------
    path : str
        As it stands in the annotation file.
    cells : tuple of Cell
    size : (int, int) or None
        Width and height in pixels, where the file says them.
    file : Path or None
        Where the image lies, if that is known.
    """

    path: str
    cells: tuple[Cell, ...]
    size: tuple[int, int] | None = None
    file: Path | None = None
