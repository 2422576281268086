"""A picture and round cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dorl.domains.annotations import Cell
from dorl.domains.annotations.shapes import Pixels


def picture(folder: Path, name: str) -> Path:
    """An image of noise, 64×48."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)).save(folder / name)
    return folder / name


def disc_cell(left: int, top: int, label: str | None, p: float | None = None) -> Cell:
    """A round cell of eleven pixels."""
    y, x = np.mgrid[-5:6, -5:6]
    shape = Pixels(x * x + y * y <= 25, (left, top))
    return Cell(label, shape.bounds(), shape, p)
