"""The white cells of whole slides, for `dorl count`: searched tile by tile, and kept so that a count goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dorl.domains.slides import Slide, open_slide
from dorl.errors import BadImageError
from dorl.run.countfolder import FieldStore, FoundField
from dorl.run.model import DoRL
from dorl.runtime.inference import over_batches
from dorl.runtime.kept import content_key
from dorl.runtime.progress import say, track
from dorl.segmentation import Segmenter
from dorl.segmentation.colours import GREY
from dorl.segmentation.ruler import INSCRIBED, Ruler
from dorl.segmentation.slidecells import Tile, once, search_tile, tiles_of
from dorl.segmentation.slidemap import (
    ChunkMap,
    Overview,
    SlideMap,
    chunks_of,
    look,
    map_of,
    measure_slide,
    overview_of,
)

#: µm across a red cell on a smear (Price-Jones' mean), and the fewest pixels that one must be wide
RED_CELL, LEAST_PIXELS = 7.2, 8.0
#: a file's pixel size and its red cells are at odds where they differ by this factor
AT_ODDS = 1.5
T = TypeVar("T")


@dataclass(frozen=True)
class FoundSlide:
    """A slide that was searched.

    Attributes
    ----------
    field : FoundField
        Its white cells, in pixels of level 0.
    masks : list of bool array
        Each cell inside its box.
    map : SlideMap
    overview : Overview
    pixel_size : float or None
        µm a pixel of level 0, as the file says.
    content : str
        Changes with the file.
    """

    field: FoundField
    masks: list[np.ndarray]
    map: SlideMap
    overview: Overview
    pixel_size: float | None
    content: str

    @property
    def middles(self) -> np.ndarray:
        """Row and column of the middle of each cell's box, in pixels of level 0: float (N, 2)."""
        boxes = self.field.boxes
        return (boxes[:, 1::-1] + boxes[:, :1:-1]) / 2

    def monolayer(self) -> np.ndarray:
        """How far the place of each cell shows red cells side by side, 0-1: float (N,)."""
        return self.map.monolayer[self.map.blocks_at(self.middles)].astype(float)


def search_slides(
    slides: Sequence[tuple[str, Path]],
    store: FieldStore,
    network: Segmenter,
    model: DoRL | None,
    red_cell: float | None,
    left_out: list[tuple[str, str]],
) -> list[FoundSlide]:
    """Search slides, one after the other; those that can't be read go into `left_out`, with the reason.

    Parameters
    ----------
    slides : sequence of (str, Path)
        Each as it is shown, and where it lies.
    store : FieldStore
        What was found of each chunk and tile is kept there.
    network : Segmenter
    model : DoRL, optional
        Whose classifier the cells are for.
    red_cell : float, optional
        Diameter of a red cell in pixels of level 0; by the file's pixel size otherwise, or measured.
    left_out : list of (str, str)
        Gets path and reason.
    """
    found: list[FoundSlide] = []
    for shown, path in slides:
        try:
            with open_slide(path) as slide:
                content = slide.digest()
                earlier = next((one.field.path for one in found if one.content == content), None)
                if earlier is not None:
                    raise BadImageError(f"{path}: is the same slide as {earlier}")
                found.append(_Search(shown, slide, content, store, network, model).run(red_cell))
        except BadImageError as error:
            reason = error.without(path)
            say(f"left out: {shown}: {reason}")
            left_out.append((shown, reason))
    return found


@dataclass(frozen=True)
class _Search:
    """The search of one slide."""

    shown: str
    slide: Slide
    content: str
    store: FieldStore
    network: Segmenter
    model: DoRL | None

    def run(self, red_cell: float | None) -> FoundSlide:
        overview = overview_of(self.slide)
        if overview.colour < GREY:
            raise BadImageError(
                f"{self.slide.path}: is grey, and nuclei are found by the colour of their dye: give it in colour"
            )
        unit = self._unit(overview, red_cell)
        map_ = self._map(overview, unit)
        tiles = tiles_of(self.slide, map_, unit)
        held, damaged = [], 0
        for tile, outcome in self._done("searching tiles of", tiles, lambda tile: self._searched(tile, unit)):
            if isinstance(outcome, str):
                damaged += 1
            elif len(outcome["boxes"]):
                held.append((tile, outcome))
        if damaged:
            say(f"{self.shown}: {damaged} of {len(tiles)} tiles are damaged and were not searched")
        return self._together(held, map_, overview, unit)

    def _unit(self, overview: Overview, red_cell: float | None) -> float:
        """Diameter of a red cell in pixels of level 0."""
        by_file = None
        if self.slide.pixel_size is not None:
            by_file = INSCRIBED * RED_CELL / self.slide.pixel_size
        measured = None if red_cell is not None else self._measured(overview)
        unit = red_cell or by_file or (measured.diameter if measured is not None else None)
        if unit is None:
            raise BadImageError(
                f"{self.slide.path}: doesn't tell its pixel size, and no red cells could be measured: give "
                "--red-cell PIXELS"
            )
        if unit < LEAST_PIXELS:
            raise BadImageError(
                f"{self.slide.path}: a red cell is {unit:.1f} pixels wide, and {LEAST_PIXELS:.0f} are needed: scan it "
                "with an objective of 20× or more"
            )
        if measured is not None and by_file is not None and measured.diameter is not None:
            factor = max(measured.diameter, by_file) / min(measured.diameter, by_file)
            if factor >= AT_ODDS:
                say(
                    f"{self.shown}: by its file a red cell is {by_file:.0f} pixels wide, and {measured.diameter:.0f} "
                    "were measured; the file is believed. Give --red-cell PIXELS if it is wrong"
                )
        return unit

    def _measured(self, overview: Overview) -> Ruler:
        key = self._key("ruler")
        held = self.store.kept.get(key, "diameter")
        if held is None:
            try:
                ruler = measure_slide(self.slide, overview)
            except BadImageError:  # a damaged tile
                return Ruler(None, 0.0)
            self.store.kept.put(key, diameter=np.nan if ruler.diameter is None else ruler.diameter)
            return ruler
        diameter = float(held["diameter"])
        return Ruler(None, 0.0) if np.isnan(diameter) else Ruler(diameter, 1.0)

    def _map(self, overview: Overview, unit: float) -> SlideMap:
        def looked(chunk: Any) -> ChunkMap | str:
            key = self._key("chunk", asdict(chunk), unit)
            held = self.store.kept.get(key)
            if held is not None:
                return ChunkMap(**held)
            try:
                seen = look(self.slide, chunk, overview.light, unit)
            except BadImageError as error:
                return error.without(self.slide.path)
            self.store.kept.put(key, covered=seen.covered, depth=seen.depth, places=seen.places)
            return seen

        parts, damaged = [], 0
        chunks = chunks_of(self.slide, overview, unit)
        for chunk, seen in self._done("looking through", chunks, looked):
            if isinstance(seen, str):
                damaged += 1
            else:
                parts.append((chunk, seen))
        if damaged:
            say(f"{self.shown}: {damaged} of {len(chunks)} parts of a small level are damaged and were left out")
        return map_of(self.slide, unit, parts)

    def _searched(self, tile: Tile, unit: float) -> dict[str, np.ndarray] | str:
        key = self._key("tile", asdict(tile), unit)
        held = self.store.kept.get(key)
        if held is not None:
            return held
        try:
            found = search_tile(self.network, self.slide, tile, unit)
        except BadImageError as error:
            return error.without(self.slide.path)
        inputs: np.ndarray = np.empty((len(found.cells), 0), np.float16)
        if self.model is not None and found.cells:
            inputs = self.model.inputs_of([crop for crop, _ in found.crops], [mask for _, mask in found.crops])
        masks = [np.packbits(cell.mask) for cell in found.cells]
        self.store.kept.put(
            key,
            boxes=np.array([cell.box for cell in found.cells], np.int64).reshape(-1, 4),
            confidence=np.array([cell.confidence for cell in found.cells], np.float64),
            touches_border=np.array([cell.touches_border for cell in found.cells], bool),
            inputs=inputs,
            masks=np.concatenate(masks) if masks else np.empty(0, np.uint8),
        )
        made = self.store.kept.get(key)
        assert made is not None
        return made

    def _together(
        self, held: Sequence[tuple[Tile, dict[str, np.ndarray]]], map_: SlideMap, overview: Overview, unit: float
    ) -> FoundSlide:
        """All tiles' cells, each once."""
        parts = [part for _, part in held]
        boxes = np.concatenate([np.empty((0, 4), np.int64), *(part["boxes"] for part in parts)])
        numbers = [number for number, part in enumerate(parts) for _ in part["boxes"]]
        kept = once(boxes, numbers, unit)
        masks = [mask for part in parts for mask in _unpacked(part["masks"], part["boxes"])]
        field = FoundField(
            self.shown,
            self.slide.size,
            unit,
            boxes[kept],
            np.concatenate([np.empty(0), *(part["confidence"] for part in parts)])[kept],
            np.concatenate([np.empty(0, bool), *(part["touches_border"] for part in parts)])[kept],
            np.concatenate([part["inputs"] for part in parts])[kept] if parts else np.empty((0, 0), np.float16),
        )
        own = [mask for mask, keep in zip(masks, kept, strict=True) if keep]
        return FoundSlide(field, own, map_, overview, self.slide.pixel_size, self.content)

    def _done(self, what: str, items: Sequence[Any], function: Callable[[Any], T]) -> Iterator[tuple[Any, T]]:
        """Each item and what a function makes of it, in order, with the progress."""
        made = over_batches(lambda some: function(some[0]), items, device=self.network.device, size=1)
        for (item,), outcome in track(made, total=len(items), what=f"{what} {self.slide.path.name}"):
            yield item, outcome

    def _key(self, *parts: Any) -> str:
        return content_key("slide", self.store.source, self.content, *parts)


def _unpacked(bits: np.ndarray, boxes: np.ndarray) -> Iterator[np.ndarray]:
    """The masks of cells, that were packed one after the other."""
    start = 0
    for left, top, right, bottom in boxes:
        shape = (int(bottom - top), int(right - left))
        length = -(-shape[0] * shape[1] // 8)
        yield np.unpackbits(bits[start : start + length], count=shape[0] * shape[1]).astype(bool).reshape(shape)
        start += length
