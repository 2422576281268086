"""By a slide's small levels: where it is stained, where red cells lie side by side, where white cells may lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dorl.domains.slides import Slide
from dorl.segmentation.ruler import Ruler, measure, of_one_folder
from dorl.segmentation.smear import NUCLEUS, cleared, find_dye, optical_density, thiazine

#: least diameter of a red cell, in pixels, in the level in which nuclei are looked for
COARSE_RED = 5.0
#: side of a block of the map, in diameters of a red cell
BLOCK = 6.0
#: a chunk of the coarse level is about so many pixels wide; the same of a stripe in which an overview is read
CHUNK = 1024
#: longer side of the overview, in pixels, at least where the slide has so many
OVERVIEW = 1024
#: what has more than this optical density in green is stained
STAINED = 0.1
#: a place of a coarse level with less dye around it, in squares of a red cell's diameter, is no candidate
LEAST_DYE = 0.15
#: share of a block that is stained: none of a monolayer, wholly one, one still, none any more
COVERED = (0.1, 0.25, 0.75, 0.92)
#: stain of what is stained, over that of single red cells: a monolayer's up to the first number, none's from the second
HEAPED = (1.25, 1.6)
#: blocks of which so large a share is stained tell the stain of single red cells
SINGLE = (0.1, 0.6)
#: windows of level 0 in which red cells are measured, and their side in pixels
MEASURED, WINDOW = 6, 1024


@dataclass(frozen=True)
class Overview:
    """A slide as a small picture.

    Attributes
    ----------
    image : uint8 array of shape (h, w, 3)
    scale : float
        Its pixels in one of level 0.
    light : float array of shape (3,)
        Of the empty slide, 0-255.
    """

    image: np.ndarray
    scale: float
    light: np.ndarray

    @property
    def stained(self) -> np.ndarray:
        """Optical density in green, float32 (h, w); 0 where the scanner left out a place."""
        empty = (self.image == 255).all(axis=2) | (self.image == 0).all(axis=2)
        return np.where(empty, 0, optical_density(self.image, self.light)[..., 1])

    @property
    def colour(self) -> float:
        """Mean difference between the largest and smallest colour where it is stained, 0-255; inf where it isn't."""
        stained = self.image[self.stained > STAINED / 2]
        return float(np.ptp(stained, axis=1).mean()) if len(stained) else np.inf


@dataclass(frozen=True)
class SlideMap:
    """What the small levels of a slide show.

    Attributes
    ----------
    block : int
        Side of a block in pixels of level 0.
    covered : float32 array of shape (R, C)
        Share of each block that is stained, 0-1.
    depth : float32 array of shape (R, C)
        Mean optical density in green of what is stained in it; 0 where nothing is.
    places : float array of shape (N, 2)
        Row and column where a nucleus may lie, in pixels of level 0.
    """

    block: int
    covered: np.ndarray
    depth: np.ndarray
    places: np.ndarray

    @property
    def monolayer(self) -> np.ndarray:
        """How far each block shows red cells side by side: float32 (R, C), 0 (bare, or heaped) to 1."""
        low, full, still, none = COVERED
        side_by_side = np.interp(self.covered, [low, full, still, none], [0, 1, 1, 0])
        single = (self.covered > SINGLE[0]) & (self.covered < SINGLE[1])
        if single.any():
            over = self.depth / float(np.median(self.depth[single]))
            side_by_side = side_by_side * np.interp(over, HEAPED, [1, 0])
        return side_by_side.astype(np.float32)

    def per_block(self, places: np.ndarray) -> np.ndarray:
        """How many of some places, rows and columns of level 0 (N, 2), lie in each block: int (R, C)."""
        counts = np.zeros(self.covered.shape, int)
        np.add.at(counts, self.blocks_at(places), 1)
        return counts

    def blocks_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the block in which each of some places lies: int (N,) each."""
        rows, columns = np.minimum((places / self.block).astype(int), np.array(self.covered.shape) - 1).T
        return rows, columns


def overview_of(slide: Slide) -> Overview:
    """Read a slide's smallest level that is `OVERVIEW` pixels wide, reduced to about that."""
    longer = max(slide.size)
    level = slide.level_of(max(1.0, longer / OVERVIEW))
    width, height = slide.levels[level].size
    step = max(1, max(width, height) // OVERVIEW)
    rows = max(step, CHUNK * CHUNK // max(1, width) // step * step)
    stripes = [
        slide.read_reduced(level, 0, top, width, min(rows, height - top), step) for top in range(0, height, rows)
    ]
    image = np.concatenate(stripes)
    return Overview(image, image.shape[1] / slide.size[0], _light(image))


def _light(image: np.ndarray) -> np.ndarray:
    """The empty slide's light: the 95th percentile of what the scanner took; left-out places are white or black."""
    pixels = image.reshape(-1, 3)
    taken = pixels[(pixels != 255).any(axis=1) & (pixels != 0).any(axis=1)]
    return np.percentile(taken if len(taken) else pixels, 95, axis=0)


def measure_slide(slide: Slide, overview: Overview) -> Ruler:
    """Measure how large a slide's red cells are, in windows of level 0 where it is stained.

    The windows are those whose stain is nearest the middle of all stained ones, so that glass and heaps are left out.

    Returns
    -------
    Ruler
        The median of the windows that are sure; not sure where fewer than three are.
    """
    side = min(WINDOW, *slide.size)
    places = _windows(overview, side, slide.size)
    rulers = [measure(cleared(slide.read(0, left, top, side, side))) for left, top in places[:MEASURED]]
    sure = [ruler for ruler in of_one_folder(rulers) if ruler.sure]
    if len(sure) < 3:
        return Ruler(None, 0.0)
    return Ruler(float(np.median([ruler.diameter for ruler in sure if ruler.diameter])), 1.0)


def _windows(overview: Overview, side: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Left and top of windows of level 0 that are stained, those of middling stain first."""
    step = max(1, round(side * overview.scale))
    stained = overview.stained
    found = []
    for top in _starts(stained.shape[0], step):
        for left in _starts(stained.shape[1], step):
            stain = float(stained[top : top + step, left : left + step].mean())
            if stain > STAINED / 4:
                place = (round(left / overview.scale), round(top / overview.scale))
                found.append((stain, min(place[0], size[0] - side), min(place[1], size[1] - side)))
    if not found:
        return []
    middle = float(np.median([stain for stain, _, _ in found]))
    return [(left, top) for stain, left, top in sorted(found, key=lambda one: abs(one[0] - middle))]


def _starts(length: int, step: int) -> list[int]:
    """Where windows begin that cover a length side by side; the last one is moved back where it would leave it."""
    return sorted({min(start, max(0, length - step)) for start in range(0, length, step)})


@dataclass(frozen=True)
class Chunk:
    """A part of the coarse level that is looked at in one go: so many blocks, from the first row and column on."""

    row: int
    column: int
    rows: int
    columns: int


@dataclass(frozen=True)
class ChunkMap:
    """What a chunk shows: `covered`, `depth` and `places` as `SlideMap` has them, of its own blocks."""

    covered: np.ndarray
    depth: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class _Coarse:
    """In which level a slide is looked through, and by how much that is reduced once more."""

    level: int
    step: int
    downsample: float

    @classmethod
    def of(cls, slide: Slide, unit: float) -> _Coarse:
        level = slide.level_of(unit / COARSE_RED)
        own = slide.levels[level].downsample
        step = max(1, int(unit / own / COARSE_RED))
        return cls(level, step, own * step)


def chunks_of(slide: Slide, overview: Overview, unit: float) -> list[Chunk]:
    """The chunks of a slide that are stained anywhere.

    Parameters
    ----------
    slide : Slide
    overview : Overview
    unit : float
        Diameter of a red cell in pixels of level 0.
    """
    rows, columns = blocks_of(slide, unit)
    many = max(1, int(CHUNK * _Coarse.of(slide, unit).downsample / (BLOCK * unit)))
    stained = overview.stained > STAINED / 2
    along = BLOCK * unit * overview.scale
    found = []
    for row in range(0, rows, many):
        for column in range(0, columns, many):
            part = stained[int(row * along) : int((row + many) * along) + 1][
                :, int(column * along) : int((column + many) * along) + 1
            ]
            if part.any():
                found.append(Chunk(row, column, min(many, rows - row), min(many, columns - column)))
    return found


def blocks_of(slide: Slide, unit: float) -> tuple[int, int]:
    """Rows and columns of blocks that cover a slide."""
    width, height = slide.size
    return max(1, -(-height // int(BLOCK * unit))), max(1, -(-width // int(BLOCK * unit)))


def look(slide: Slide, chunk: Chunk, light: np.ndarray, unit: float) -> ChunkMap:
    """Look through a chunk of the coarse level, in the light that the overview gives. Raises BadImageError."""
    coarse = _Coarse.of(slide, unit)
    block, red = int(BLOCK * unit), unit / coarse.downsample
    width, height = slide.levels[coarse.level].size
    own = slide.levels[coarse.level].downsample
    margin = coarse.step * (int(2 * red) + 1)
    first = [int(number * block / own) // coarse.step * coarse.step for number in (chunk.row, chunk.column)]
    last = [
        int((start + count) * block / own) + 1
        for start, count in ((chunk.row, chunk.rows), (chunk.column, chunk.columns))
    ]
    top, left = max(0, first[0] - margin), max(0, first[1] - margin)
    bottom, right = min(height, last[0] + margin), min(width, last[1] + margin)
    image = slide.read_reduced(coarse.level, left, top, right - left, bottom - top, coarse.step)
    corner = np.array([top, left]) * own
    density = optical_density(image, light)
    density[(image == 0).all(axis=2)] = 0
    covered, depth = _of_blocks(density, corner, coarse.downsample, chunk, block)
    places = [
        corner + (np.array([place.row, place.column]) + 0.5) * coarse.downsample
        for place in find_dye(image, red, light=light).places
        if place.dye >= LEAST_DYE
    ]
    low = np.array([chunk.row, chunk.column]) * block
    high = low + np.array([chunk.rows, chunk.columns]) * block
    kept = [place for place in places if (low <= place).all() and (place < high).all()]
    return ChunkMap(covered, depth, np.array(kept).reshape(-1, 2))


def _of_blocks(
    density: np.ndarray, corner: np.ndarray, downsample: float, chunk: Chunk, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """Share that is stained and mean density in green of that, of each block of a chunk, beside nuclei."""
    numbers = [
        np.floor((start + (np.arange(length) + 0.5) * downsample) / block).astype(int) - first
        for start, length, first in zip(corner, density.shape[:2], (chunk.row, chunk.column), strict=True)
    ]
    inside = [(own >= 0) & (own < many) for own, many in zip(numbers, (chunk.rows, chunk.columns), strict=True)]
    own = density[np.ix_(*inside)]
    flat = (numbers[0][inside[0]][:, None] * chunk.columns + numbers[1][inside[1]]).ravel()
    others = (thiazine(own) < NUCLEUS).ravel()  # nuclei say nothing of how red cells lie
    flat, green = flat[others], own[..., 1].ravel()[others]
    stained = green > STAINED
    size = chunk.rows * chunk.columns
    pixels = np.bincount(flat, minlength=size)
    many = np.bincount(flat, stained, minlength=size)
    total = np.bincount(flat, green * stained, minlength=size)
    shape = (chunk.rows, chunk.columns)
    return (
        (many / np.maximum(pixels, 1)).astype(np.float32).reshape(shape),
        (total / np.maximum(many, 1)).astype(np.float32).reshape(shape),
    )


def map_of(slide: Slide, unit: float, parts: Iterable[tuple[Chunk, ChunkMap]]) -> SlideMap:
    """Put together what `look` saw in each chunk."""
    shape = blocks_of(slide, unit)
    covered, depth = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    places = [np.empty((0, 2))]
    for chunk, seen in parts:
        window = np.s_[chunk.row : chunk.row + chunk.rows, chunk.column : chunk.column + chunk.columns]
        covered[window], depth[window] = seen.covered, seen.depth
        places.append(seen.places)
    return SlideMap(int(BLOCK * unit), covered, depth, np.concatenate(places))
