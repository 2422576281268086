"""Shards of a count: each searches its fields and slides, and the count's folder keeps what it finds by content."""

from __future__ import annotations

from collections.abc import Sequence

from dorl.errors import InputError
from dorl.files import digest_of
from dorl.run.countfolder import FieldStore
from dorl.run.fieldsearch import Listed, search_fields
from dorl.run.model import DoRL
from dorl.run.slides import search_slides
from dorl.runtime.kept import content_key
from dorl.runtime.progress import say
from dorl.runtime.shards import FOLDER, Shard, ShardNotes
from dorl.segmentation import Segmenter
from dorl.words import counted


class CountShards:
    """Shards of fields and slides; called with one, it does that one.

    Parameters
    ----------
    images, slides : sequence of (str, Path)
        All of them.
    store : FieldStore
        Which writes no masks.
    network : Segmenter
    model : DoRL, optional
    red_cell : float, optional
        As for `search_fields`.
    """

    def __init__(
        self,
        images: Sequence[Listed],
        slides: Sequence[Listed],
        store: FieldStore,
        network: Segmenter,
        model: DoRL | None,
        red_cell: float | None,
    ) -> None:
        self.images, self.slides, self.store = images, slides, store
        self.network, self.model, self.red_cell = network, model, red_cell
        work = {"fields": content_key([shown for shown, _ in [*images, *slides]])}
        self.notes = ShardNotes(store.out / FOLDER, work)

    def __call__(self, shard: Shard) -> list[tuple[str, str]]:
        """Search a shard's fields and slides; it goes on where it was stopped. Path and reason of those left out."""
        self.notes.begin(shard)
        left_out: list[tuple[str, str]] = []
        fields, slides = shard.takes(self.images), shard.takes(self.slides)
        search_fields(self.images, self.store, self.network, self.model, self.red_cell, left_out, only=fields)
        unusable = [(shown, reason, self.store.content(shown)) for shown, reason in left_out]
        search_slides(slides, self.store, self.network, self.model, self.red_cell, left_out)
        self.notes.finish(shard, alike={"precision": self.network.precision}, left_out=unusable)
        many = counted(len(fields) + len(slides), "field or slide", "fields or slides")
        say(f"shard {shard}: {many} searched, {len(left_out)} left out: {self.store.out}")
        return left_out

    def joined(self, count: int) -> list[tuple[str, str]]:
        """Path and reason of the fields that the shards left out, once they are found to be whole.

        Raises
        ------
        InputError
            If a shard is missing, or of other fields, or a field has changed since.
        """
        notes = self.notes.joined(count)
        places = dict(self.images)
        left_out = {shown: reason for note in notes for shown, reason, _ in note["left_out"]}
        for note in notes:
            for shown, _, content in note["left_out"]:
                if digest_of(places[shown]) != content:
                    raise _changed(shown)
        self.store.name_all(self.images)
        for shown, _ in self.images:
            if shown not in left_out and self.store.get(shown) is None:
                raise _changed(shown)
        for shown, reason in left_out.items():
            say(f"left out: {shown}: {reason}")
        return [(shown, left_out[shown]) for shown, _ in self.images if shown in left_out]


def _changed(shown: str) -> InputError:
    return InputError(f"{shown} has changed since its shard was done; do that shard again, then join")
