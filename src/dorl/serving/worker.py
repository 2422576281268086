"""The one thread that looks at cells: a few of each waiting sample in turn, so that a single cell waits for no zip.

Of a sample of smear fields one field is searched in a turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from dorl.domains import read_image
from dorl.errors import BadImageError
from dorl.files import digest_of
from dorl.runtime.progress import say
from dorl.serving.fields import Fields
from dorl.serving.recogniser import Recogniser
from dorl.serving.store import Samples, Waiting
from dorl.serving.uploads.intake import Place, Places

#: cells that are looked at together, the first ones of a sample and later ones, and their pixels at most
FIRST, BATCH, PIXELS = 4, 16, 32_000_000


class Worker:
    """Looks at all samples that aren't done.

    Parameters
    ----------
    samples : Samples
    fields : Fields
    places : Places
    recogniser : Recogniser
        Used by this thread alone.
    """

    def __init__(self, samples: Samples, fields: Fields, places: Places, recogniser: Recogniser) -> None:
        self._samples = samples
        self._fields = fields
        self._places = places
        self._recogniser = recogniser
        self._turns: deque[int] = deque()
        self._begun: set[int] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="dorl-worker", daemon=True)

    def start(self) -> None:
        """Begin, with the samples that an earlier server left unfinished."""
        self._samples.begin_anew(self._recogniser.version, self._recogniser.classes)
        for sample in self._samples.unfinished():
            self.add(sample)
        self._thread.start()

    def add(self, sample: int) -> None:
        """A new sample is there."""
        with self._changed:
            self._turns.append(sample)
            self._changed.notify_all()

    def stop(self) -> None:
        """End after the cells at hand; the others wait for the next server."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def is_done(self, sample: int) -> bool:
        """Whether nothing of a sample is left to be looked at."""
        with self._changed:
            return sample not in self._turns

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._turns)
                if self._stopped:
                    return
                sample = self._turns[0]
            try:
                done = self._turn(sample)
            except Exception as error:  # a full disk, say; the sample goes on with the next server
                say(f"sample {sample}: stopped: {type(error).__name__}: {error}; start dorl serve again to go on")
                done = True
            with self._changed:
                self._turns.popleft()
                if not done:
                    self._turns.append(sample)
                self._changed.notify_all()

    def _turn(self, sample: int) -> bool:
        """Look at some cells of a sample; whether none is left."""
        place = self._samples.place(sample)
        if place is not None and (field := self._fields.next(sample)) is not None:
            self._search(sample, place, field)
            return False
        cells = self._samples.waiting(sample, BATCH if sample in self._begun else FIRST)
        if place is None or not cells:
            self._begun.discard(sample)
            self._finish(sample)
            return True
        self._begun.add(sample)
        chosen: list[Waiting] = []
        images: list[np.ndarray] = []
        contents: list[str] = []
        for cell in cells:
            path = None
            try:
                path = self._places.cell(place, cell.file)
                content, image = digest_of(path), read_image(path)
            except BadImageError as error:
                self._samples.leave_out(sample, cell, error.without(path))
                continue
            if images and sum(other[..., 0].size for other in images) + image[..., 0].size > PIXELS:
                break  # it waits for the next turn
            chosen.append(cell)
            images.append(image)
            contents.append(content)
        if chosen:
            self._look(sample, chosen, images, contents)
        return False

    def _look(
        self, sample: int, cells: Sequence[Waiting], images: Sequence[np.ndarray], contents: Sequence[str]
    ) -> None:
        try:
            seen = self._recogniser.look(images)
        except Exception as error:  # memory, a driver, a fault of ours: the other cells and samples go on
            say(f"sample {sample}: {len(cells)} cells failed: {type(error).__name__}: {error}")
            for cell in cells:
                self._samples.leave_out(sample, cell, f"failed while working ({type(error).__name__})")
            return
        looked = [(cell.id, content, seen_cell) for cell, content, seen_cell in zip(cells, contents, seen, strict=True)]
        self._samples.save(looked, self._recogniser.classes)

    def _search(self, sample: int, place: Place, field: Waiting) -> None:
        path = None
        try:
            path = self._places.given(place, field.file)
            found = self._recogniser.search(read_image(path))
        except BadImageError as error:
            self._samples.leave_out(sample, field, error.without(path), kind="fields")
            return
        except Exception as error:  # as in `_look`
            say(f"sample {sample}: {field.name} failed: {type(error).__name__}: {error}")
            self._samples.leave_out(sample, field, f"failed while working ({type(error).__name__})", kind="fields")
            return
        files = [f"field-{field.id}-{number:04d}.png" for number in range(1, len(found.cells) + 1)]
        try:
            for cell, file in zip(found.cells, files, strict=True):
                (self._places.samples / place.folder / file).write_bytes(cell.image)
        except FileNotFoundError:  # the sample was dropped meanwhile, if nobody else removed its folder
            self._samples.leave_out(sample, field, "the page's folder for its cells is gone", kind="fields")
            return
        self._fields.save(field, found, files, self._recogniser.classes)

    def _finish(self, sample: int) -> None:
        """Say what all cells of a sample say together."""
        inputs = self._samples.inputs(sample)
        together = None
        try:
            together = self._recogniser.together([packed for _, packed in inputs]) if inputs else None
        except Exception as error:  # each cell by itself has been looked at
            say(f"sample {sample}: could not be looked at as a whole: {type(error).__name__}: {error}")
        self._samples.finish(sample, [cell for cell, _ in inputs], together, self._recogniser.classes)
