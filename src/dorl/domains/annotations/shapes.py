"""Outlines of cells as rings of points, runs or pixels, and pixels as rings of points; there and back exactly.

Points are x and y in pixels, the image's corner at (0, 0), so that the first pixel's centre is at (0.5, 0.5). A pixel
belongs to an outline that encloses its centre, as ImageJ, QuPath and matplotlib have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dorl.domains.opening import MAX_PIXELS
from dorl.errors import BadImageError

#: xmin, ymin, xmax, ymax in pixels
Bounds = tuple[float, float, float, float]
#: likewise, whole pixels; the last two exclusive
Window = tuple[int, int, int, int]
#: rows that the sides of one outline cross, all together
MAX_CROSSINGS = 50_000_000


class Shape(Protocol):
    """An outline."""

    def bounds(self) -> Bounds:
        """The box around it."""

    def window(self) -> Window:
        """The same in whole pixels."""

    def pixels(self, window: Window) -> np.ndarray:
        """Its pixels in a part of the image, bool (ymax - ymin, xmax - xmin). Raises BadImageError."""


@dataclass(frozen=True)
class Polygons:
    """Parts, each an outer ring and its holes; a pixel in any part belongs to it.

    Attributes
    ----------
    parts : tuple of tuples of float arrays of shape (N, 2)
        x and y of each point; of three points or more a ring.
    """

    parts: tuple[tuple[np.ndarray, ...], ...]

    def bounds(self) -> Bounds:
        points = np.concatenate([ring for part in self.parts for ring in part])
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return left, top, right, bottom

    def window(self) -> Window:
        return whole(self.bounds())

    def pixels(self, window: Window) -> np.ndarray:
        found = _blank(window)
        for part in self.parts:
            found |= _filled(part, window)
        return found


@dataclass(frozen=True)
class Runs:
    """Lengths of runs of pixels outside and inside, in turn, outside first.

    Attributes
    ----------
    counts : int array of shape (N,)
    area : Window
        The part of the image that they run through.
    by_columns : bool
        Whether they go down the columns, as in COCO, or along the rows, as in CVAT.
    """

    counts: np.ndarray
    area: Window
    by_columns: bool = True

    def bounds(self) -> Bounds:
        left, top, right, bottom = self.window()
        return float(left), float(top), float(right), float(bottom)

    def window(self) -> Window:
        return Pixels(self._decoded(), self.area[:2]).window()

    def pixels(self, window: Window) -> np.ndarray:
        return Pixels(self._decoded(), self.area[:2]).pixels(window)

    def _decoded(self) -> np.ndarray:
        left, top, right, bottom = self.area
        width, height = right - left, bottom - top
        if min(width, height) < 1 or width * height > MAX_PIXELS:
            raise BadImageError(f"a mask of {width}×{height} pixels can't be one of an image")
        if self.counts.min(initial=0) < 0 or int(self.counts.sum()) != width * height:
            raise BadImageError(f"the runs of a mask don't fill its {width}×{height} pixels")
        inside = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(inside, self.counts)
        return flat.reshape(width, height).T if self.by_columns else flat.reshape(height, width)


@dataclass(frozen=True)
class Pixels:
    """Pixels as they are.

    Attributes
    ----------
    mask : bool array of shape (h, w)
    corner : (int, int)
        x and y of its first pixel in the image.
    """

    mask: np.ndarray
    corner: tuple[int, int] = (0, 0)

    def bounds(self) -> Bounds:
        left, top, right, bottom = self.window()
        return float(left), float(top), float(right), float(bottom)

    def window(self) -> Window:
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        left, top = self.corner
        if not len(rows):
            return left, top, left, top
        return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1

    def pixels(self, window: Window) -> np.ndarray:
        found = _blank(window)
        (left, top), (height, width) = self.corner, self.mask.shape
        x0, y0 = max(left, window[0]), max(top, window[1])
        x1, y1 = min(left + width, window[2]), min(top + height, window[3])
        if x0 < x1 and y0 < y1:
            part = self.mask[y0 - top : y1 - top, x0 - left : x1 - left]
            found[y0 - window[1] : y1 - window[1], x0 - window[0] : x1 - window[0]] = part
        return found


def ring(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Points of a ring, float64 (N, 2). Raises ValueError for fewer than three, or numbers that are no places."""
    found = np.asarray(points, np.float64)
    if found.ndim != 2 or found.shape[1] < 2 or len(found) < 3 or not np.isfinite(found).all():
        raise ValueError("an outline needs three points or more, of two numbers each")
    return found[:, :2]


def ellipse(centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> np.ndarray:
    """A ring of 64 points on an ellipse; `turn` in degrees, clockwise on the screen."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    return ring(turned(np.stack([x, y], 1), turn) + centre)


def rectangle(box: Bounds, turn: float = 0.0) -> np.ndarray:
    """The ring of a box; turned by degrees, clockwise on the screen, about its first corner."""
    left, top, right, bottom = box
    points = np.array([(0, 0), (right - left, 0), (right - left, bottom - top), (0, bottom - top)], np.float64)
    return ring(turned(points, turn) + np.array([left, top]))


def turned(points: np.ndarray, turn: float) -> np.ndarray:
    """Points, float (N, 2), turned by degrees, clockwise on the screen, about (0, 0)."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return points @ np.array([[cos, sin], [-sin, cos]])


def whole(bounds: Bounds) -> Window:
    """The whole pixels that a box touches."""
    left, top, right, bottom = bounds
    return int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))


def runs_of(mask: np.ndarray, *, by_columns: bool = True) -> np.ndarray:
    """Lengths of runs, outside first, of pixels, bool (H, W): as `Runs` takes them."""
    flat = (mask.T if by_columns else mask).ravel()
    changes = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0))
    return np.diff(changes, prepend=0, append=len(flat))


def traced(mask: np.ndarray) -> Polygons:
    """The outline of pixels along their sides; whole numbers, and exactly these pixels when it is filled.

    Parameters
    ----------
    mask : bool array of shape (H, W)
        With one pixel or more.

    Returns
    -------
    Polygons
        No ring meets itself. Outer rings go clockwise on the screen, holes the other way.
    """
    outers: list[np.ndarray] = []
    holes: list[np.ndarray] = []
    for points in _rings(mask):
        (outers if _area(points) > 0 else holes).append(points)
    parts = [[points] for points in outers]
    sizes = [_area(points) for points in outers]
    for hole in holes:
        around = [i for i, points in enumerate(outers) if _encloses(points, hole)]
        parts[min(around, key=sizes.__getitem__)].append(hole)
    return Polygons(tuple(tuple(part) for part in parts))


def _blank(window: Window) -> np.ndarray:
    left, top, right, bottom = window
    if right - left < 0 or bottom - top < 0 or (right - left) * (bottom - top) > MAX_PIXELS:
        raise BadImageError(f"an outline of {right - left}×{bottom - top} pixels can't be one of an image")
    return np.zeros((bottom - top, right - left), bool)


def _filled(rings: Sequence[np.ndarray], window: Window) -> np.ndarray:
    """Pixels whose centres an odd number of rings encloses, bool (h, w)."""
    blank = _blank(window)
    height, width = blank.shape
    turns = np.zeros((height, width + 1), np.int32)
    for points in rings:
        start = points - (window[0], window[1])
        end = np.roll(start, -1, axis=0)
        first, last = (
            np.clip(np.ceil(side(start[:, 1], end[:, 1]) - 0.5), 0, height).astype(np.int64)
            for side in (np.minimum, np.maximum)
        )
        spans = last - first
        if (total := int(spans.sum())) > MAX_CROSSINGS:
            raise BadImageError("an outline has too many points")
        side = np.repeat(np.arange(len(spans)), spans)
        row = np.arange(total) - np.repeat(np.cumsum(spans) - spans, spans) + first[side]
        share = (row + 0.5 - start[side, 1]) / (end[side, 1] - start[side, 1])
        crossing = start[side, 0] + share * (end[side, 0] - start[side, 0])
        column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        np.add.at(turns, (row, column), 1)
    return turns[:, :-1].cumsum(axis=1) % 2 == 1


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """Rings along the sides of pixels, the pixels on their right, int (N, 2) each; none meets itself."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for outside, (dx, dy), (sx, sy) in (
        (~padded[:-2, 1:-1], (0, 0), (1, 0)),  # along the upper side, to the right
        (~padded[1:-1, 2:], (1, 0), (0, 1)),
        (~padded[2:, 1:-1], (1, 1), (-1, 0)),
        (~padded[1:-1, :-2], (0, 1), (0, -1)),
    ):
        rows, columns = np.nonzero(inside & outside)
        for x, y in zip((columns + dx).tolist(), (rows + dy).tolist(), strict=True):
            ways.setdefault((x, y), []).append((sx, sy))
    found = []
    while ways:
        at = next(iter(ways))
        step = ways[at][0]
        road: list[tuple[int, int]] = []
        place: dict[tuple[int, int], int] = {}
        while True:
            if at in place:  # a ring is closed: cut it off, and go on from here
                points = road[place[at] :]
                found.append(_corners(points))
                for point in points:
                    del place[point]
                del road[len(road) - len(points) :]
            if at not in ways:
                break
            options = ways[at]
            right = (-step[1], step[0])
            step = right if right in options else options[0]  # two pixels that meet at a corner stay apart
            options.remove(step)
            if not options:
                del ways[at]
            place[at] = len(road)
            road.append(at)
            at = (at[0] + step[0], at[1] + step[1])
    return found


def _corners(points: Sequence[tuple[int, int]]) -> np.ndarray:
    """The points of a ring where it turns."""
    every = np.array(points)
    before, after = every - np.roll(every, 1, axis=0), np.roll(every, -1, axis=0) - every
    return every[(before != after).any(axis=1)]


def _area(points: np.ndarray) -> float:
    """Area of a ring, positive where it goes clockwise on the screen."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _encloses(outer: np.ndarray, hole: np.ndarray) -> bool:
    """Whether a ring encloses another along sides of pixels that doesn't cross it."""
    left, top = (int(number) for number in hole[np.lexsort((hole[:, 0], hole[:, 1]))[0]])
    # the pixel right below the hole's upper left corner lies in the hole
    return bool(_filled([outer], (left, top, left + 1, top + 1))[0, 0])
