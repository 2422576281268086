"""The cells of smear fields: each field is read, measured beside its folder's others, and searched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from dorl.domains import read_image
from dorl.errors import BadImageError
from dorl.run.countfolder import FieldStore, FoundField
from dorl.run.model import DoRL
from dorl.runtime.inference import over_batches
from dorl.runtime.progress import say, track
from dorl.segmentation import Segmenter
from dorl.segmentation.colours import colour_fault
from dorl.segmentation.fieldcells import cut_out
from dorl.segmentation.fields import search
from dorl.segmentation.overlap import details
from dorl.segmentation.ruler import FELLOWS, Ruler, measure, of_one_folder
from dorl.segmentation.smear import cleared

#: a field as it is shown, and where it is read
Listed = tuple[str, Path]
#: what is measured in a field: its size, (height, width, channels), and its ruler
Measured = tuple[tuple[int, ...], Ruler]
#: bytes of pictures that are held between measuring and searching; a field beyond them is read again
ROOM = 2**29


class Pictures:
    """Fields as they are read, each with its picture in even light.

    What `take` has read is held for the next `take` while there is room, so that a field which is measured first and
    searched later is read once.

    Parameters
    ----------
    room : int
        Bytes that are held at most.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._lock = room, Lock()
        self._held: dict[Path, tuple[np.ndarray, np.ndarray]] = {}

    def take(self, path: Path, *, hold: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """A field and its picture in even light, uint8 (H, W, 3) each; BadImageError where it can't be read.

        With `hold` it stays for the next time, where there is room.
        """
        with self._lock:
            held = self._held.pop(path, None)
            if held is not None:
                self._room += _size(held)
        if held is None:
            image = read_image(path)
            held = image, cleared(image)
        if hold:
            with self._lock:
                if path not in self._held and _size(held) <= self._room:
                    self._room -= _size(held)
                    self._held[path] = held
        return held


def search_fields(
    images: Sequence[Listed],
    store: FieldStore,
    network: Segmenter,
    model: DoRL | None,
    red_cell: float | None,
    left_out: list[tuple[str, str]],
    only: Collection[Listed] | None = None,
) -> None:
    """Find the cells of each field that isn't in the store yet.

    Parameters
    ----------
    images : sequence of (str, Path)
    store : FieldStore
        Takes what is found.
    network : Segmenter
    model : DoRL, optional
        Says what is kept of each cell for its classifier.
    red_cell : float, optional
        Diameter of a red cell in pixels; measured otherwise.
    left_out : list of (str, str)
        Takes path and reason of each field that can't be searched.
    only : collection of (str, Path), optional
        Fields among them to search, such as a shard's; the others of their folders are measured only. All by default.
    """
    store.name_all(images)
    asked = images if only is None else [listed for listed in images if listed in only]
    todo = [listed for listed in asked if store.get(listed[0]) is None]
    folders: dict[Path, list[Listed]] = {}
    for shown, path in images:
        folders.setdefault(path.parent, []).append((shown, path))
    wanted = set(todo)
    parts = [(own, some) for own in folders.values() if (some := [listed for listed in own if listed in wanted])]

    def made() -> Iterator[tuple[str, FoundField | str] | None]:
        """What is found in each field, a folder at a time, since a folder's pictures are held; None while measuring."""
        for own, some in parts:
            pictures = Pictures()
            rulers: dict[str, Ruler] = {}
            if red_cell is None and len(own) > FELLOWS:
                measured: dict[Listed, Measured | None] = {}
                # first those to be searched: meanwhile other processes measure the others
                order = sorted(own, key=lambda listed: listed not in wanted)
                for listed, outcome in _measured(order, wanted, pictures, store, network):
                    yield None
                    measured[listed] = outcome
                rulers = _rulers({listed: measured[listed] for listed in own})
            yield from _searched(some, pictures, rulers, store, network, model, red_cell)

    measuring = sum(len(own) for own, _ in parts if red_cell is None and len(own) > FELLOWS)
    done, total = len(asked) - len(todo), len(asked) + measuring
    for outcome in track(made(), total=total, what="measuring and counting" if measuring else "counting", done=done):
        if outcome is None:
            continue
        shown, found = outcome
        if isinstance(found, str):
            say(f"left out: {shown}: {found}")
            left_out.append((shown, found))
        elif found.red_cell is None:
            say(f"{shown}: no red cells to measure by; give --red-cell PIXELS if cells are missing")


def _measured(
    own: Sequence[Listed], wanted: set[Listed], pictures: Pictures, store: FieldStore, network: Segmenter
) -> Iterator[tuple[Listed, Measured | None]]:
    """Measure the fields of a folder, those that were searched before, too, so that an interrupted count ends alike."""

    def one(some: Sequence[Listed]) -> Measured | None:
        ((shown, path),) = some
        if (known := store.ruler(shown)) is not None:
            return known
        try:
            image, even = pictures.take(path, hold=(shown, path) in wanted)
        except BadImageError:
            return None
        found = image.shape, measure(even)
        store.put_ruler(shown, *found)
        return found

    for (listed,), outcome in over_batches(one, own, device=network.device, size=1):
        yield listed, outcome


def _rulers(measured: dict[Listed, Measured | None]) -> dict[str, Ruler]:
    """The ruler of each field of a folder, since a folder has one magnification as a rule."""
    groups: dict[tuple[int, ...], list[tuple[str, Ruler]]] = {}
    for (shown, _), outcome in measured.items():
        if outcome is not None:
            groups.setdefault(outcome[0], []).append((shown, outcome[1]))
    return {
        shown: ruler
        for own in groups.values()
        for (shown, _), ruler in zip(own, of_one_folder([ruler for _, ruler in own]), strict=True)
    }


def _searched(
    todo: Sequence[Listed],
    pictures: Pictures,
    rulers: dict[str, Ruler],
    store: FieldStore,
    network: Segmenter,
    model: DoRL | None,
    red_cell: float | None,
) -> Iterator[tuple[str, FoundField | str]]:
    """What is found in each field, or why it is left out."""

    def one(some: Sequence[Listed]) -> tuple[str, FoundField | str]:
        ((shown, path),) = some
        try:
            image, even = pictures.take(path)
        except BadImageError as error:
            return shown, error.without(path)
        ruler = rulers.get(shown) if red_cell is None else Ruler(red_cell, 1.0)
        found = search(network, image, ruler=ruler, even=even)
        cells, measured = found.cells, found.ruler.diameter
        if not cells and (fault := colour_fault(network, image, red_cell=measured)) is not None:
            return shown, fault
        inputs = None
        if model is not None and cells:
            crops = [cut_out(image, cell) for cell in cells]
            inputs = model.inputs_of([crop for crop, _ in crops], [mask for _, mask in crops])
        height, width = image.shape[:2]
        return shown, store.put(shown, (width, height), measured, cells, inputs, details(image))

    for _, outcome in over_batches(one, todo, device=network.device, size=1):
        yield outcome


def _size(held: tuple[np.ndarray, np.ndarray]) -> int:
    return sum(picture.nbytes for picture in held)
