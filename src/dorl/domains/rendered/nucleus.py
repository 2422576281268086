"""Outlines of nuclei, as fields in units of the cell's radius about the cell's centre."""

from __future__ import annotations

import itertools

import numpy as np

from dorl.domains.rendered.anatomy import Anatomy
from dorl.domains.rendered.shapes import blob, capsule, chain, disc, outline, union, without


def nucleus_field(
    anatomy: Anatomy, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """The nucleus of one cell.

    Parameters
    ----------
    anatomy : Anatomy
    x, y : ndarray, float32, (H, W)
        Coordinates in cell radii, the origin at the cell's centre.
    rng : numpy.random.Generator

    Returns
    -------
    field : ndarray, float32, (H, W)
        Negative inside.
    open_side : (float, float)
        A point on the nucleus's concave or free side, where the cytoplasm has its pale spot.
    """
    area = rng.uniform(*anatomy.nucleus_area)
    turn = rng.uniform(0, 2 * np.pi)
    # Everything is laid out along +x and turned as a whole, so that no direction is favoured.
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = c * x + s * y, c * y - s * x
    shift = rng.uniform(*anatomy.eccentricity)
    if anatomy.nucleus in ("band", "lobed"):
        along = along + np.float32(0.15 * shift)
        draw = _band if anatomy.nucleus == "band" else _lobed
        return draw(anatomy, area, along, across, rng), (float(-0.1 * shift * c), float(-0.1 * shift * s))
    radius = np.sqrt(area)
    offset = shift * max(0.94 - radius, 0.0)
    field = _solid(anatomy, radius, along + np.float32(offset), across, rng)
    free = 0.75 * radius - offset + 0.2
    return field, (float(free * c), float(free * s))


def _solid(anatomy: Anatomy, radius: float, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One body, round to kidney-shaped; the notch opens towards +x."""
    elongation = rng.uniform(0.0, 0.06) if anatomy.nucleus == "round" else rng.uniform(0.04, 0.14)
    field = blob(x, y, outline(rng, 0.025, elongation=elongation), radius)
    depth = rng.uniform(*anatomy.indentation) * radius
    if depth > 0.03:
        width = rng.uniform(0.3, 0.6) * radius
        side = rng.uniform(-0.25, 0.25) * radius
        start, end = (1.05 * radius - depth + width, side), (2.2 * radius, side * 1.6)
        field = without(field, capsule(x, y, start, end, (width, 1.5 * width)), 0.3 * radius)
    return field


def _band(anatomy: Anatomy, area: float, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tube of nearly even thickness bent into a C, a U or, with the bend reversed midway, an S."""
    bend = rng.uniform(0.4, 0.52)
    span = rng.uniform(2.7, 4.6)
    points = [
        (-bend * np.cos(a), bend * np.sin(a) * rng.uniform(0.95, 1.05)) for a in np.linspace(-span / 2, span / 2, 9)
    ]
    if rng.random() < 0.2:
        half = np.linspace(-1.6, 1.6, 9)
        points = [(0.22 * np.sin(a * 1.9), 0.33 * a) for a in half]
    length = sum(np.hypot(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(points))
    thick = (-length + np.sqrt(length**2 + np.pi * np.pi * area)) / np.pi
    waist = rng.uniform(0.75, 1.0)
    radii = [thick * (waist + (1.12 - waist) * abs(i - 4) / 4) * rng.uniform(0.93, 1.07) for i in range(9)]
    return chain(x, y, points, radii)


def _lobed(anatomy: Anatomy, area: float, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lobes along an arc, each joined to the next by a thread."""
    count = int(rng.integers(anatomy.lobes[0], anatomy.lobes[1] + 1))
    lobe = np.sqrt(area / count) * 0.93
    ring = rng.uniform(0.46, 0.56) if count > 2 else rng.uniform(0.42, 0.5)
    packed = anatomy.granules is not None and anatomy.granules.over_nucleus > 0.5
    gap = rng.uniform(1.45, 1.75) if packed else rng.uniform(1.95, 2.35)
    step = 2 * np.arcsin(min(gap * lobe / (2 * ring), 0.95))
    step = min(step, 2 * np.pi * 0.97 / count)
    angles = (np.arange(count) - (count - 1) / 2) * step + rng.normal(0, 0.08, count)
    centres, bodies = [], []
    for angle in angles:
        reach = ring * rng.uniform(0.88, 1.08)
        centre = (-reach * np.cos(angle), reach * np.sin(angle))
        size = lobe * rng.uniform(0.85, 1.12)
        # A lobe is a short bean lying roughly along the arc.
        tilt = -angle + np.pi / 2 + rng.normal(0, 0.5)
        half = size * rng.uniform(0.1, 0.45)
        ends = [(centre[0] - sign * half * np.cos(tilt), centre[1] - sign * half * np.sin(tilt)) for sign in (-1, 1)]
        girth = size - 0.55 * half
        body = capsule(x, y, ends[0], ends[1], (girth * rng.uniform(0.9, 1.05), girth))
        bodies.append(body)
        centres.append(centre)
    field = bodies[0]
    for body in bodies[1:]:
        field = union(field, body, 0.05)
    threads = chain(x, y, centres, [rng.uniform(0.03, 0.09)] * count)
    return union(field, threads, 0.08)


def smear_field(x: np.ndarray, y: np.ndarray, irregularity: float, rng: np.random.Generator) -> np.ndarray:
    """A burst nucleus: a ragged body drawn out to one side, in units of its radius."""
    turn = rng.uniform(0, 2 * np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = c * x + s * y, c * y - s * x
    body = blob(along, across, outline(rng, irregularity, elongation=rng.uniform(0.0, 0.2)), 0.72)
    for _ in range(int(rng.integers(1, 4))):
        lean = rng.normal(0, 0.35)
        reach = rng.uniform(0.7, 1.0)
        tip = (reach * np.cos(lean), reach * np.sin(lean))
        body = union(body, capsule(along, across, (0.3, 0.0), tip, (0.3, 0.06)), 0.2)
    hollow = disc(along, across, (rng.uniform(-0.9, -0.6), rng.uniform(-0.6, 0.6)), rng.uniform(0.1, 0.3))
    return without(body, hollow, 0.15)
