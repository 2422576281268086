"""One picture: a white cell among red cells, with its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dorl.domains.rendered.anatomy import ANATOMY, CELL_CLASSES
from dorl.domains.rendered.cell import paint_cell
from dorl.domains.rendered.shapes import smooth_noise
from dorl.domains.rendered.style import LabStyle, develop
from dorl.domains.rendered.surroundings import neighbours_of, paint_debris, paint_red_cells, scatter
from dorl.errors import InputError


@dataclass(frozen=True)
class RenderedCell:
    """A rendered picture.

    Parameters
    ----------
    image : ndarray, uint8, (S, S, 3)
        RGB, 0–255.
    mask : ndarray, bool, (S, S)
        The whole white cell.
    nucleus : ndarray, bool, (S, S)
        Its nucleus; for a smudge cell the whole smear.
    label : str
        One of `CELL_CLASSES`.
    """

    image: np.ndarray
    mask: np.ndarray
    nucleus: np.ndarray
    label: str


def render_cell(label: str, style: LabStyle, rng: np.random.Generator, size: int = 224) -> RenderedCell:
    """Render one white cell.

    Parameters
    ----------
    label : str
        One of `CELL_CLASSES`.
    style : LabStyle
        How the laboratory's pictures look.
    rng : numpy.random.Generator
        The same state gives the same picture.
    size : int
        Side of the picture in pixels.

    Raises
    ------
    InputError
        If `label` is not one of the classes.
    """
    if label not in ANATOMY:
        raise InputError(f"unknown cell class {label!r}; the classes are {', '.join(CELL_CLASSES)}")
    anatomy = ANATOMY[label]
    style = style.varied(rng)
    red_diameter = style.magnification * size
    # Pictures of single cells are cropped to hold the cell, so it never outgrows the picture.
    radius = min(0.5 * rng.uniform(*anatomy.diameter) * red_diameter, 0.44 * size)
    drift = min(0.05 * size, max(0.5 * size - 1.1 * radius, 0.0))
    x, y = 0.5 * size + np.clip(drift * rng.standard_normal(2), -2 * drift, 2 * drift)
    centre = (float(x), float(y))

    low, high = anatomy.moulding
    pressing = neighbours_of(centre, radius, red_diameter, int(rng.integers(low, high + 1)), rng)
    white = paint_cell(label, centre, radius, red_diameter, pressing, (size, size), rng)
    circles = scatter(size, centre, radius, red_diameter, style.density, pressing, rng)

    stains = np.zeros((4, size, size), np.float32)
    paint_red_cells(stains, circles, style.pallor, rng)
    paint_debris(stains, (*centre, radius), red_diameter, style.debris, rng)
    rows, columns = white.window
    # Some red cells lie over the white cell's edge and some under it.
    stains[:, rows, columns] *= 1 - white.opacity * np.float32(rng.uniform(0.5, 1.0))
    stains[:, rows, columns] += white.stains
    stains[0] += np.float32(style.plasma) * (1 + 0.4 * smooth_noise(rng, (size, size), 0.3 * size))

    mask, nucleus = np.zeros((2, size, size), bool)
    mask[white.window], nucleus[white.window] = white.mask, white.nucleus
    return RenderedCell(develop(stains, style, rng), mask, nucleus, label)
