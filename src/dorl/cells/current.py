"""A store without the cells of images that have changed since: cells are of a content, not of a name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from dorl.cells.store import CellStore

#: what a row calls the digest of its image
CONTENT = "content"
#: cells that are copied at once
BATCH = 256


def drop_changed(store: CellStore, content_of: Callable[[str], str | None]) -> tuple[CellStore, int]:
    """Take out the cells of images that aren't what they were.

    Parameters
    ----------
    store : CellStore
        Open for writing. It is written anew where a cell has to go.
    content_of : callable
        The digest that a cell's image has now, by the cell's key; None for images that aren't asked for, whose cells
        stay.

    Returns
    -------
    (CellStore, int)
        The store as it is now, and how many cells went.
    """
    rows = store.table.to_dict("records") if len(store) else []
    kept = [row for row, row_of in enumerate(rows) if content_of(row_of["key"]) in (None, row_of.get(CONTENT))]
    gone = len(store) - len(kept)
    if not gone:
        return store, 0
    path, new = store.path, store.path.with_name(f".{store.path.name}.renewed")
    shutil.rmtree(new, ignore_errors=True)
    fresh = CellStore.like(new, store)
    for start in range(0, len(kept), BATCH):
        fresh.append(*store.cells(kept[start : start + BATCH]))
    fresh.leave()
    store.leave()
    _move_shards(path, new)
    shutil.rmtree(path)
    new.rename(path)
    return CellStore.like(path, store), gone


def _move_shards(path: Path, new: Path) -> None:
    """Keep the stores below a store's folder."""
    for shard in path.glob("shard-*"):
        shard.rename(new / shard.name)
