"""Shapes as fields: each function gives a float32 array whose zero level is an outline (negative inside)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

Point = tuple[float, float]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float | Point) -> np.ndarray:
    """Noise without grain: random values on a coarse grid, interpolated.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (height, width)
        In pixels.
    scale : float or (float, float)
        Distance between grid points in pixels, along both axes or along (rows, columns).

    Returns
    -------
    ndarray, float32, `shape`
        Mean about 0, standard deviation about 1.
    """
    scales = scale if isinstance(scale, tuple) else (scale, scale)
    rows, columns = (int(np.ceil(n / max(s, 1.0))) + 3 for n, s in zip(shape, scales, strict=True))
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    # Pillow's bicubic resize is several times faster than scipy's zoom on pictures of this size.
    size = (int(columns * max(scales[1], 1.0)) + 1, int(rows * max(scales[0], 1.0)) + 1)
    fine = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))
    top, left = (fine.shape[0] - shape[0]) // 2, (fine.shape[1] - shape[1]) // 2
    return fine[top : top + shape[0], left : left + shape[1]] * np.float32(1.3)


def outline(rng: np.random.Generator, irregularity: float, *, elongation: float = 0.0) -> np.ndarray:
    """A closed outline as the radius at 512 equally spaced angles.

    Parameters
    ----------
    rng : numpy.random.Generator
    irregularity : float
        Size of the departures from a circle, relative to the radius.
    elongation : float
        Relative size of the second harmonic: 0.1 makes axes of 1.1 and 0.9.

    Returns
    -------
    ndarray, float32, (512,)
        Radii with mean 1.
    """
    harmonics = np.array([2, 2, 3, 4, 5, 6, 7], np.float32)
    sizes = irregularity * rng.standard_normal(7, dtype=np.float32) / harmonics**0.8
    sizes[0] = elongation
    phases = rng.uniform(0, 2 * np.pi, (7, 1)).astype(np.float32)
    angles = np.linspace(0, 2 * np.pi, 512, endpoint=False, dtype=np.float32)
    radii = 1 + sizes @ np.cos(harmonics[:, None] * angles + phases)
    return np.clip(radii / radii.mean(), 0.4, 1.3).astype(np.float32)


def blob(x: np.ndarray, y: np.ndarray, radii: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Field of a star-shaped body about the origin with the given `outline` radii."""
    turn = np.arctan2(y, x) * np.float32(len(radii) / (2 * np.pi))
    # Angles run from -pi to pi; a negative index counts from the end, which is where those angles lie.
    edge = (radii * np.float32(radius)).take(turn.astype(np.int32), mode="wrap")
    return np.sqrt(x * x + y * y) - edge


def disc(x: np.ndarray, y: np.ndarray, centre: Point, radius: float) -> np.ndarray:
    """Field of a disc."""
    return np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1])) - np.float32(radius)


def capsule(x: np.ndarray, y: np.ndarray, start: Point, end: Point, radii: Point) -> np.ndarray:
    """Field of a segment thickened from ``radii[0]`` at its start to ``radii[1]`` at its end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - np.float32(start[0]), y - np.float32(start[1])
    along = np.clip((px * np.float32(dx) + py * np.float32(dy)) / np.float32(dx * dx + dy * dy + 1e-9), 0, 1)
    thickness = np.float32(radii[0]) + np.float32(radii[1] - radii[0]) * along
    return np.hypot(px - along * np.float32(dx), py - along * np.float32(dy)) - thickness


def chain(x: np.ndarray, y: np.ndarray, points: Sequence[Point], radii: Sequence[float]) -> np.ndarray:
    """Field of a tapering tube through `points`."""
    tubes = [capsule(x, y, points[i], points[i + 1], (radii[i], radii[i + 1])) for i in range(len(points) - 1)]
    return np.minimum.reduce(tubes)


def union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Both bodies in one, their joint rounded over the length `blend`."""
    overlap = np.clip(np.float32(blend) - np.abs(a - b), 0, None)
    return np.minimum(a, b) - overlap * overlap / np.float32(4 * blend)


def without(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """The first body with the second cut out of it, the edge of the cut rounded over `blend`."""
    return -union(-a, b, blend)


def coverage(field: np.ndarray, width: float) -> np.ndarray:
    """How much of each pixel the body covers (0–1), its edge spread over `width` (in the field's units)."""
    return np.clip(0.5 - field / np.float32(width), 0, 1)


def grains(
    rng: np.random.Generator, shape: tuple[int, int], count: int, radius: float, *, hardness: float = 1.6
) -> np.ndarray:
    """Many small round bodies strewn over a rectangle.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (height, width)
        In pixels.
    count : int
        Bodies in the whole rectangle.
    radius : float
        Their radius in pixels.
    hardness : float
        Above 1 their tops are flat and they look like discs; below it they fade out from the middle.

    Returns
    -------
    ndarray, float32, `shape`
        Coverage, 0–1.
    """
    points = np.zeros(shape, np.float32)
    rows, columns = rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)
    np.add.at(points, (rows, columns), rng.uniform(0.5, 1.2, count).astype(np.float32))
    # One blur draws them all at once; a loop over hundreds of granules would dominate the render time.
    sigma = max(0.65 * radius, 0.45)
    spread = ndimage.gaussian_filter(points, sigma, truncate=3.0, mode="constant")
    return np.clip(spread * np.float32(hardness * 2 * np.pi * sigma * sigma), 0, 1)
