"""What lies round the white cell: red cells, platelets, deposits of stain."""

from __future__ import annotations

import numpy as np

from dorl.domains.rendered.cell import Circle
from dorl.domains.rendered.shapes import blob, coverage, grains, outline


def neighbours_of(
    centre: tuple[float, float], radius: float, red_diameter: float, count: int, rng: np.random.Generator
) -> list[Circle]:
    """Red cells that press into a white cell, as (x, y, radius) in pixels, spread round it."""
    circles = []
    first = rng.uniform(0, 2 * np.pi)
    for i in range(count):
        angle = first + 2 * np.pi * i / count + rng.normal(0, 0.25)
        red = 0.5 * red_diameter * rng.uniform(0.9, 1.1)
        way = radius + red * rng.uniform(0.25, 0.75)
        circles.append((centre[0] + way * np.cos(angle), centre[1] + way * np.sin(angle), red))
    return circles


def scatter(
    size: int,
    centre: tuple[float, float],
    radius: float,
    red_diameter: float,
    density: float,
    placed: list[Circle],
    rng: np.random.Generator,
) -> list[Circle]:
    """Red cells over the rest of the picture, some cut by its border, few overlapping.

    Parameters
    ----------
    size : int
        Side of the picture in pixels.
    centre, radius : (float, float), float
        The white cell, in pixels; red cells at most touch it.
    red_diameter : float
        In pixels.
    density : float
        Share (0–1) of the picture that red cells would cover if the white cell were not there.
    placed : list of (x, y, radius)
        Red cells already there.
    rng : numpy.random.Generator
    """
    circles = list(placed)
    margin = 0.4 * red_diameter
    wanted = density * (size + 2 * margin) ** 2 / (0.25 * np.pi * red_diameter**2)
    crowding = rng.uniform(0.75, 1.02)
    for _ in range(int(wanted * rng.uniform(0.7, 1.3))):
        for _ in range(6):
            x, y = rng.uniform(-margin, size + margin, 2)
            red = 0.5 * red_diameter * float(np.clip(rng.normal(1, 0.07), 0.75, 1.25))
            clear = np.hypot(x - centre[0], y - centre[1]) > radius * 1.02 + red * crowding
            if clear and all(np.hypot(x - a, y - b) > crowding * (red + r) for a, b, r in circles):
                circles.append((x, y, red))
                break
    return circles


def _window(
    x: float, y: float, reach: float, shape: tuple[int, ...]
) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, shape[1])
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, shape[0])
    if left >= right or top >= bottom:
        return None
    columns = np.arange(left, right, dtype=np.float32)[None] - np.float32(x)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    return slice(top, bottom), slice(left, right), columns, rows


def paint_red_cells(stains: np.ndarray, circles: list[Circle], pallor: float, rng: np.random.Generator) -> None:
    """Add red cells to the haemoglobin plane of `stains` (4, H, W), in place.

    Parameters
    ----------
    stains : ndarray, float32, (4, H, W)
    circles : list of (x, y, radius)
        In pixels.
    pallor : float
        How much paler (0–1) their middle is.
    rng : numpy.random.Generator
    """
    ring = rng.uniform(0.1, 0.35)
    hollow = rng.uniform(0.35, 0.65)
    for x, y, radius in circles:
        found = _window(x, y, 1.25 * radius, stains.shape[1:])
        if found is None:
            continue
        edge = outline(rng, 0.012, elongation=abs(rng.normal(0, 0.05)))
        depth = rng.uniform(0.85, 1.15)
        pale = pallor * rng.uniform(0.5, 1.1)
        rows, columns, dx, dy = found
        field = blob(np.broadcast_to(dx, (dy.size, dx.size)), dy, edge, radius) / np.float32(radius)
        inward = np.clip(1 + field, 0, 1.2)
        amount = 1 - pale * np.exp(-((inward / hollow) ** 4)) + ring * np.exp(-(((field + 0.06) / 0.06) ** 2))
        stains[3, rows, columns] += depth * amount * coverage(field, 2.2 / radius)


def paint_debris(
    stains: np.ndarray, clear: Circle, red_diameter: float, debris: float, rng: np.random.Generator
) -> None:
    """Add platelets and specks of precipitated stain to `stains` (4, H, W), in place.

    Parameters
    ----------
    stains : ndarray, float32, (4, H, W)
    clear : (x, y, radius)
        The white cell, in pixels, which platelets keep away from.
    red_diameter : float
        In pixels.
    debris : float
        Mean number of platelets in an area as large as 16 red-cell diameters squared; specks are rarer.
    rng : numpy.random.Generator
    """
    size = stains.shape[1]
    expected = debris * (size / (4 * red_diameter)) ** 2
    for _ in range(min(int(rng.poisson(expected)), 25)):
        x, y = rng.uniform(0, size, 2)
        radius = red_diameter * rng.uniform(0.1, 0.22)
        if np.hypot(x - clear[0], y - clear[1]) < clear[2] + 1.4 * radius:
            continue
        paint_platelet(stains, (x, y, radius), rng)
    specks = int(rng.poisson(0.35 * debris))
    for _ in range(specks):
        x, y = rng.uniform(0, size, 2)
        radius = rng.uniform(0.015, 0.06) * red_diameter + 0.4
        paint_speck(stains, (x, y, radius), rng)


def paint_platelet(stains: np.ndarray, place: Circle, rng: np.random.Generator) -> None:
    """Add a platelet, (x, y, radius) in pixels, to `stains` (4, H, W), in place."""
    x, y, radius = place
    found = _window(x, y, 1.8 * radius, stains.shape[1:])
    if found is None:
        return
    rows, columns, dx, dy = found
    shape = (dy.size, dx.size)
    field = blob(np.broadcast_to(dx, shape), dy, outline(rng, 0.12, elongation=0.1), radius) / radius
    cover = coverage(field, 0.5)
    core = grains(rng, shape, int(rng.integers(8, 20)), max(0.2 * radius, 0.7))
    # A platelet lies in a clear halo: it pushes aside the plasma and thins the red cell beneath it.
    stains[3, rows, columns] *= 1 - 0.7 * coverage(field - 0.25, 0.4)
    stains[1, rows, columns] += cover * (0.3 + 0.5 * core)
    stains[2, rows, columns] += cover * 0.12


def paint_speck(stains: np.ndarray, place: Circle, rng: np.random.Generator) -> None:
    """Add a speck of precipitated stain, (x, y, radius) in pixels, to `stains` (4, H, W), in place."""
    x, y, radius = place
    found = _window(x, y, 2 * radius, stains.shape[1:])
    if found is not None:
        rows, columns, dx, dy = found
        stains[1, rows, columns] += rng.uniform(0.6, 1.8) * coverage(np.hypot(dx, dy) - radius, 1.5)
