"""A whole field of a smear, with uneven light, bad focus and marks where they are wanted, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dorl.domains.rendered.anatomy import ANATOMY, CELL_CLASSES
from dorl.domains.rendered.cell import Circle, WhiteCell, paint_cell
from dorl.domains.rendered.marks import draw_marks
from dorl.domains.rendered.shapes import smooth_noise
from dorl.domains.rendered.style import LabStyle, Triple, develop
from dorl.domains.rendered.surroundings import paint_platelet, paint_red_cells, paint_speck
from dorl.errors import InputError

#: what lies at a pixel beside white cells, as `RenderedField.things` numbers it
THINGS = ("background", "red cell", "platelet", "deposit", "mark")
#: how often each class is drawn; burst cells, which have no outline, aren't
SHARES = {
    "neutrophil_segmented": 0.5,
    "lymphocyte_typical": 0.24,
    "monocyte": 0.08,
    "eosinophil": 0.06,
    "neutrophil_banded": 0.05,
    "basophil": 0.03,
    "erythroblast": 0.02,
    "lymphocyte_atypical": 0.02,
}
#: a white cell's centre lies so many of its radii or more inside the field
INSIDE = 0.5
TRIES = 40


@dataclass(frozen=True)
class Scene:
    """What is photographed, and how.

    Parameters
    ----------
    size : (int, int)
        Width and height of the field in pixels.
    red_cell : float
        Diameter of a red cell in pixels.
    white_cells : int
        As many as find room.
    style : LabStyle
        Stains, camera, density of red cells and platelets; its blur is not used.
    rim : (float, float, float) or None
        Colour of the light at the field's corners, 0-255; that of the middle is the style's background.
    blur : float
        Sigma in red-cell diameters.
    tilt : float
        By how much more one side is blurred, in red-cell diameters.
    rouleaux : float
        Share of the red cells that stand in rolls.
    deposits : int
        Grains of precipitated stain.
    marks : tuple of str
        Of `dorl.domains.rendered.marks.MARKS`.
    """

    size: tuple[int, int] = (640, 480)
    red_cell: float = 60.0
    white_cells: int = 2
    style: LabStyle = field(default_factory=LabStyle)
    rim: Triple | None = None
    blur: float = 0.015
    tilt: float = 0.0
    rouleaux: float = 0.0
    deposits: int = 0
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RenderedField:
    """A rendered field and the truth about it.

    Parameters
    ----------
    image : ndarray, uint8, (H, W, 3)
        RGB, 0-255.
    labels : ndarray, uint16, (H, W)
        0 outside white cells, i + 1 in cell i.
    boxes : ndarray, int, (N, 4)
        xmin, ymin, xmax, ymax of each white cell; the last two exclusive.
    classes : tuple of N str
        Of `CELL_CLASSES`.
    things : ndarray, uint8, (H, W)
        Index in `THINGS` of what lies there beside white cells.
    lamp : ndarray, float32, (H, W, 3)
        The light of the empty field, 1 being white.
    red_cell : float
        Diameter in pixels.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    classes: tuple[str, ...]
    things: np.ndarray
    lamp: np.ndarray
    red_cell: float


def render_field(scene: Scene, rng: np.random.Generator) -> RenderedField:
    """Render a field of a smear.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
        The same state gives the same field.

    Raises
    ------
    InputError
        If the field is smaller than two red cells.
    """
    width, height = scene.size
    if min(scene.size) < 2 * scene.red_cell:
        raise InputError(f"a field of {width}x{height} pixels has no room: give two red cells or more a side")
    whites = _white_cells(scene, rng)
    centres = [(x, y, radius) for _, (x, y, radius) in whites]
    reds, things = _red_cells(scene, centres, rng), np.zeros((height, width), np.uint8)
    stains = np.zeros((4, height, width), np.float32)
    paint_red_cells(stains, reds, scene.style.pallor, rng)
    _note(things, reds, "red cell")
    platelets, grains = _litter(scene, centres, rng)
    for one in platelets:
        paint_platelet(stains, one, rng)
    for one in grains:
        paint_speck(stains, one, rng)
    _note(things, platelets, "platelet")
    _note(things, grains, "deposit")
    labels, boxes, classes = np.zeros((height, width), np.uint16), [], []
    for name, (x, y, radius) in whites:
        cell = paint_cell(name, (x, y), radius, scene.red_cell, [], (height, width), rng)
        _lay(stains, cell, rng)
        if not cell.mask.any():
            continue
        classes.append(name)
        labels[cell.window][cell.mask] = len(classes)
        rows, columns = (np.flatnonzero(cell.mask.any(axis=axis)) for axis in (1, 0))
        top, left = cell.window[0].start, cell.window[1].start
        boxes.append((left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1))
    stains[0] += np.float32(scene.style.plasma) * (1 + 0.4 * smooth_noise(rng, (height, width), 0.3 * width))
    lamp = _lamp(scene, rng)
    image = draw_marks(_developed(stains, scene, lamp, rng), scene.marks, things, THINGS.index("mark"), rng)
    return RenderedField(
        image, labels, np.array(boxes, int).reshape(-1, 4), tuple(classes), things, lamp, scene.red_cell
    )


def _white_cells(scene: Scene, rng: np.random.Generator) -> list[tuple[str, Circle]]:
    """Class and circle of each white cell; they don't touch."""
    names = [name for name in CELL_CLASSES if name in SHARES]
    shares = np.array([SHARES[name] for name in names])
    found: list[tuple[str, Circle]] = []
    for _ in range(scene.white_cells):
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        radius = 0.5 * scene.red_cell * rng.uniform(*ANATOMY[name].diameter)
        for _ in range(TRIES):
            x, y = (rng.uniform(INSIDE * radius, side - INSIDE * radius) for side in scene.size)
            if all(np.hypot(x - a, y - b) > 1.08 * (radius + r) for _, (a, b, r) in found):
                found.append((name, (float(x), float(y), float(radius))))
                break
    return found


def _red_cells(scene: Scene, whites: list[Circle], rng: np.random.Generator) -> list[Circle]:
    """Circles of red cells, by themselves and in rolls, beside the white cells."""
    size, diameter = np.array(scene.size), scene.red_cell
    wanted = int(scene.style.density * size.prod() / (0.25 * np.pi * diameter**2))
    rows: list[Circle] = []

    def clear(x: float, y: float, radius: float, others: np.ndarray) -> bool:
        return not len(others) or bool((np.hypot(x - others[:, 0], y - others[:, 1]) > radius + others[:, 2]).all())

    whole = np.array(whites, float).reshape(-1, 3)
    while len(rows) < scene.rouleaux * wanted:
        x, y, way = *rng.uniform(0, size), rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(4, 10))):
            if clear(x, y, 0.5 * diameter, whole):
                rows.append((float(x), float(y), 0.5 * diameter * float(rng.uniform(0.93, 1.07))))
            step, way = diameter * rng.uniform(0.35, 0.6), way + rng.normal(0, 0.15)
            x, y = x + step * np.cos(way), y + step * np.sin(way)
    placed = np.zeros((len(rows) + wanted + 1, 3))
    placed[: len(rows)] = np.array(rows).reshape(-1, 3)
    count = len(rows)
    for _ in range(max(0, wanted - count)):
        for _ in range(6):
            x, y = rng.uniform(-0.4 * diameter, size + 0.4 * diameter)
            radius = 0.5 * diameter * float(np.clip(rng.normal(1, 0.07), 0.75, 1.25))
            if clear(x, y, 0.95 * radius, placed[:count] * (1, 1, 0.95)) and clear(x, y, radius, whole):
                placed[count], count = (x, y, radius), count + 1
                break
    return [(float(x), float(y), float(radius)) for x, y, radius in placed[:count]]


def _litter(scene: Scene, whites: list[Circle], rng: np.random.Generator) -> tuple[list[Circle], list[Circle]]:
    """Circles of platelets, and of grains of stain, of which some lie in heaps."""
    size, diameter = np.array(scene.size), scene.red_cell
    platelets: list[Circle] = []
    grains: list[Circle] = []
    for _ in range(int(rng.poisson(scene.style.debris * size.prod() / (4 * diameter) ** 2))):
        x, y = rng.uniform(0, size)
        radius = diameter * rng.uniform(0.1, 0.22)
        if all(np.hypot(x - a, y - b) > r + 1.4 * radius for a, b, r in whites):
            platelets.append((float(x), float(y), float(radius)))
    while len(grains) < scene.deposits:
        middle = rng.uniform(0, size)
        for _ in range(min(int(rng.integers(1, 12)), scene.deposits - len(grains))):
            x, y = middle + rng.normal(0, 0.25 * diameter, 2)
            grains.append((float(x), float(y), float(diameter * rng.uniform(0.03, 0.1))))
    return platelets, grains


def _note(things: np.ndarray, circles: list[Circle], kind: str) -> None:
    for x, y, radius in circles:
        top, left = max(0, int(y - radius)), max(0, int(x - radius))
        part = things[top : int(y + radius) + 2, left : int(x + radius) + 2]
        rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        part[np.hypot(rows - y, columns - x) <= radius] = THINGS.index(kind)


def _lay(stains: np.ndarray, cell: WhiteCell, rng: np.random.Generator) -> None:
    """Lay a white cell over what is there."""
    rows, columns = cell.window
    stains[:, rows, columns] *= 1 - cell.opacity * np.float32(rng.uniform(0.8, 1.0))
    stains[:, rows, columns] += cell.stains


def _lamp(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The light of the empty field, (H, W, 3): from the middle's colour to the rim's, darker to one side."""
    width, height = scene.size
    across, down = np.linspace(-1, 1, width, dtype=np.float32)[None], np.linspace(-1, 1, height, dtype=np.float32)
    down, way = down[:, None], rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(-0.25, 0.25, 2)
    away = ((across - shift[0]) ** 2 + (down - shift[1]) ** 2) / (2 * (1 + np.abs(shift).max()) ** 2)
    fall = 1 + np.float32(0.5 * scene.style.gradient) * (np.cos(way) * across + np.sin(way) * down)
    fall = fall - np.float32(scene.style.vignette) * away
    middle = np.array(scene.style.background, np.float32) / 255
    rim = middle if scene.rim is None else np.array(scene.rim, np.float32) / 255
    return (np.maximum(fall, 0.05)[..., None] * (middle + away[..., None] ** 1.5 * (rim - middle))).astype(np.float32)


def _developed(stains: np.ndarray, scene: Scene, lamp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph; where one side is out of focus, two of them mixed."""

    def taken(blur: float) -> np.ndarray:
        style = replace(scene.style, blur=blur * scene.red_cell * 224 / scene.size[0])
        return develop(stains, style, rng, lamp=lamp)

    image = taken(scene.blur)
    if not scene.tilt:
        return image
    share = np.linspace(0, 1, image.shape[1])[None, :, None]
    return ((1 - share) * image + share * taken(scene.blur + scene.tilt) + 0.5).astype(np.uint8)
