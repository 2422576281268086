"""One white cell, painted as stain concentrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dorl.domains.rendered.anatomy import ANATOMY, Anatomy, Stains
from dorl.domains.rendered.nucleus import nucleus_field, smear_field
from dorl.domains.rendered.shapes import blob, coverage, disc, grains, outline, smooth_noise, without

Circle = tuple[float, float, float]


@dataclass(frozen=True)
class WhiteCell:
    """A painted cell in its own window of the picture.

    Parameters
    ----------
    window : (slice, slice)
        Rows and columns of the picture that the arrays cover.
    stains : ndarray, float32, (4, h, w)
        Concentrations of eosin, azure, blue and haemoglobin.
    opacity : ndarray, float32, (h, w)
        0–1, how much of what lies beneath is hidden.
    mask, nucleus : ndarray, bool, (h, w)
    """

    window: tuple[slice, slice]
    stains: np.ndarray
    opacity: np.ndarray
    mask: np.ndarray
    nucleus: np.ndarray


def paint_cell(
    label: str,
    centre: tuple[float, float],
    radius: float,
    red_diameter: float,
    neighbours: list[Circle],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> WhiteCell:
    """Paint one cell of the class `label`.

    Parameters
    ----------
    label : str
        One of `CELL_CLASSES`.
    centre : (float, float)
        x and y in pixels.
    radius, red_diameter : float
        Radius of the cell and diameter of a red cell, in pixels.
    neighbours : list of (x, y, radius)
        Red cells, in pixels, that press into its outline.
    size : (int, int)
        Height and width of the picture in pixels.
    rng : numpy.random.Generator
    """
    anatomy = ANATOMY[label]
    reach = 1.35 * radius + 3
    left, right = max(int(centre[0] - reach), 0), min(int(centre[0] + reach) + 1, size[1])
    top, bottom = max(int(centre[1] - reach), 0), min(int(centre[1] + reach) + 1, size[0])
    shape = (bottom - top, right - left)
    x = np.broadcast_to((np.arange(left, right, dtype=np.float32) - centre[0]) / radius, shape)
    y = np.broadcast_to((np.arange(top, bottom, dtype=np.float32) - centre[1])[:, None] / radius, shape)
    x, y = x.astype(np.float32), y.astype(np.float32)
    pixel = 1.0 / radius
    if anatomy.nucleus == "smear":
        parts = _paint_smear(anatomy, x, y, radius, rng)
    else:
        body = blob(x, y, outline(rng, anatomy.irregularity, elongation=min(abs(rng.normal(0, 0.06)), 0.2)))
        for nx, ny, nr in neighbours:
            pressed = disc(x, y, ((nx - centre[0]) / radius, (ny - centre[1]) / radius), nr / radius)
            body = without(body, pressed, 0.12)
        parts = _paint_whole(anatomy, x, y, body, pixel, red_diameter, rng)
    stains, opacity, nuclear = parts
    mask = _largest(opacity > 0.5)
    # A smear is nucleus all through, the holes that `_largest` fills included.
    nucleus = mask if anatomy.nucleus == "smear" else (nuclear > 0.5) & mask
    return WhiteCell((slice(top, bottom), slice(left, right)), stains, opacity, mask, nucleus)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part, its holes filled."""
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return ndimage.binary_fill_holes(mask)


def _mix(stains: Stains, amount: np.ndarray) -> np.ndarray:
    """Concentrations (4, h, w) of a mixture whose amount is given per pixel."""
    parts = np.array([stains.eosin, stains.azure, stains.blue, stains.haemoglobin], np.float32)
    return parts[:, None, None] * amount


def _chromatin(anatomy: Anatomy, field: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Azure in a nucleus whose outline is `field`, as if it filled the window."""
    shape = field.shape
    contrast = rng.uniform(*anatomy.chromatin)
    coarse = smooth_noise(rng, shape, max(anatomy.clump * radius, 1.5))
    fine = smooth_noise(rng, shape, max(0.4 * anatomy.clump * radius, 1.0))
    # tanh flattens the noise into clumps with narrow pale channels between them.
    texture = np.tanh(0.8 * coarse + 0.6 * fine)
    edge = 0.16 * np.exp(-((field / 0.05) ** 2))
    speckle = smooth_noise(rng, shape, 1.2)
    azure = rng.uniform(*anatomy.density) * (1 + contrast * (0.75 * texture + 0.2 * speckle) + edge)
    for _ in range(int(rng.integers(anatomy.nucleoli[0], anatomy.nucleoli[1] + 1))):
        row, column = _somewhere_inside(field < -0.15, rng)
        rows = np.arange(shape[0], dtype=np.float32)[:, None] - row
        columns = np.arange(shape[1], dtype=np.float32)[None] - column
        spot = np.hypot(rows, columns) / radius - rng.uniform(0.08, 0.15)
        azure *= 1 - rng.uniform(0.25, 0.45) * coverage(spot, 0.08)
    return azure.astype(np.float32)


def _somewhere_inside(inside: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random pixel of a region; the window's middle where the region is empty."""
    places = np.flatnonzero(inside)
    if not len(places):
        return inside.shape[0] // 2, inside.shape[1] // 2
    row, column = divmod(int(rng.choice(places)), inside.shape[1])
    return row, column


def _paint_whole(
    anatomy: Anatomy,
    x: np.ndarray,
    y: np.ndarray,
    body: np.ndarray,
    pixel: float,
    red_diameter: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stains, opacity and nuclear coverage of a cell with nucleus and cytoplasm."""
    shape, radius = body.shape, 1 / pixel
    ripple = np.float32(rng.uniform(0.005, 0.025))
    body = body + ripple * smooth_noise(rng, shape, max(0.3 * radius, 2.0))
    # Bending the coordinates makes every nucleus irregular without a special case for any shape.
    sway = np.float32(rng.uniform(0.02, 0.06))
    bent_x = x + sway * smooth_noise(rng, shape, max(0.4 * radius, 2.0))
    bent_y = y + sway * smooth_noise(rng, shape, max(0.4 * radius, 2.0))
    core, open_side = nucleus_field(anatomy, bent_x, bent_y, rng)
    core = np.maximum(core, body + np.float32(rng.uniform(0.02, 0.06)))
    opacity = coverage(body, 2.2 * pixel)
    nuclear = coverage(core, 2.5 * pixel)

    amount = 1 + rng.uniform(0.08, 0.2) * smooth_noise(rng, shape, max(0.09 * radius, 1.5))
    amount += rng.uniform(0.05, 0.15) * smooth_noise(rng, shape, max(0.4 * radius, 3.0))
    amount += anatomy.rim * np.exp(-((body / 0.09) ** 2))
    if anatomy.hof:
        pale = np.exp(-((x - open_side[0]) ** 2 + (y - open_side[1]) ** 2) / 0.08)
        amount *= 1 - anatomy.hof * pale
    low, high = anatomy.vacuoles
    vacuoles = int(rng.integers(low, high + 1))
    if vacuoles:
        bubbles = grains(rng, shape, 2 * vacuoles, rng.uniform(0.04, 0.09) * radius)
        amount *= 1 - rng.uniform(0.5, 0.9) * bubbles
    stains = _mix(anatomy.cytoplasm, np.clip(amount, 0.05, None) * rng.uniform(0.75, 1.25))
    chromatin = _chromatin(anatomy, core, radius, rng)
    stains *= 1 - nuclear
    stains[1] += nuclear * chromatin
    stains[0] += nuclear * np.float32(0.12)
    if anatomy.granules is not None:
        kind = anatomy.granules
        grain = max(kind.radius * red_diameter * rng.uniform(0.85, 1.2), 0.6)
        count = int(rng.uniform(*kind.crowding) * shape[0] * shape[1] / (np.pi * grain * grain))
        strewn = grains(rng, shape, count, grain) * rng.uniform(0.8, 1.15)
        strewn *= np.clip((-body - 0.02) / 0.05, 0, 1)
        stains += _mix(kind.stains, strewn * (1 - (1 - kind.over_nucleus) * nuclear))
    return stains * opacity, opacity, nuclear


def _paint_smear(
    anatomy: Anatomy, x: np.ndarray, y: np.ndarray, radius: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stains, opacity and nuclear coverage of a burst cell: chromatin strands and no cytoplasm."""
    shape = x.shape
    ragged = np.float32(rng.uniform(0.04, 0.09))
    bent_x = x + ragged * smooth_noise(rng, shape, max(0.3 * radius, 2.0))
    bent_y = y + ragged * smooth_noise(rng, shape, max(0.25 * radius, 2.0))
    field = smear_field(bent_x, bent_y, anatomy.irregularity, rng)
    field = field + 0.02 * smooth_noise(rng, shape, max(0.1 * radius, 1.5))
    opacity = coverage(field, rng.uniform(0.1, 0.3))
    # Strands: bands of random depth across one direction, bent as the outline is.
    turn = rng.uniform(0, 2 * np.pi)
    position = np.float32(np.cos(turn)) * bent_x + np.float32(np.sin(turn)) * bent_y
    strands = np.interp(position, np.linspace(-1.5, 1.5, 40), rng.standard_normal(40)).astype(np.float32)
    azure = _chromatin(anatomy, field, radius, rng) * (1 + 0.2 * np.tanh(strands))
    stains = np.zeros((4, *shape), np.float32)
    # A burst nucleus takes up eosin too and looks pinker than a whole one.
    stains[0], stains[1] = rng.uniform(0.05, 0.3), np.clip(azure, 0.1, None)
    return stains * opacity, opacity, opacity
