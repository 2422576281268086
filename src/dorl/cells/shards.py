"""Shards: stores of several processes that embed at the same time, joined into one when all are done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from dorl.cells.store import CellStore
from dorl.runtime.processes import rank
from dorl.runtime.progress import track


class Shards:
    """The shards below a store's folder, those included that an interrupted run left there.

    Parameters
    ----------
    path : Path
        The folder of the store that they will be joined into.

    Attributes
    ----------
    own : Path
        The folder of this process's shard.
    keys : set of str
        Keys of the cells of all shards.
    """

    def __init__(self, path: Path) -> None:
        self.own = path / f"shard-{rank()}"
        # one without a header was not begun
        self._stores = [CellStore.open(file.parent) for file in sorted(path.glob("shard-*/cells.json"))]
        self.keys = {key for store in self._stores for key in store.keys}

    def join(self, store: CellStore, order: Sequence[str]) -> CellStore:
        """Append all their cells to `store`, and remove them; may be interrupted, and called again.

        Parameters
        ----------
        store : CellStore
        order : sequence of str
            Keys as a single process would have met them: the store comes out the same.

        Returns
        -------
        CellStore
            `store`.
        """
        join_stores(store, self._stores, order)
        for shard in self._stores:
            shutil.rmtree(shard.path)
        return store


def join_stores(store: CellStore, shards: Sequence[CellStore], order: Sequence[str]) -> CellStore:
    """Append to `store` what it lacks of the shards' cells, by their keys in this `order`; gives `store`."""
    have = store.keys
    filled = [shard for shard in shards if len(shard)]
    place = {key: (shard, row) for shard in filled for row, key in enumerate(shard.table["key"])}
    wanted = [place[key] for key in order if key in place and key not in have]
    runs = [(shard, [row for _, row in run]) for shard, run in groupby(wanted, key=lambda pair: pair[0])]
    for shard, rows in track(runs, total=len(runs), what="joining the processes' cells"):
        store.append(*shard.cells(rows))
    return store
