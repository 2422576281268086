"""Some cells' records as an array that is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorl.cells.store import CellStore

#: cells that are read at once
READ = 2048


def plain_means(rows: StoredRows | NDArray[Any], plain: int) -> NDArray[np.float32]:
    """The mean over the first `plain` records of each cell, float32 (N, …), of rows (N, V, …), slice by slice."""
    views = rows[:, :plain]
    parts = [np.asarray(views[start : start + READ], np.float32).mean(1) for start in range(0, len(views), READ)]
    return np.concatenate(parts) if parts else np.empty((0, *rows.shape[2:]), np.float32)


def with_last(records: NDArray[Any], numbers: NDArray[np.floating]) -> NDArray[Any]:
    """Records (N, V, F) with a number of each cell (N, 1), or view (N, V), at their end: (N, V, F + 1), their type."""
    column = np.broadcast_to(numbers, records.shape[:2])[..., None]
    return np.concatenate([records, column.astype(records.dtype)], -1)


class StoredRows:
    """Records of some cells of a store, which stay on disk.

    Indexed by row numbers or by a mask, or cut in its second axis (``rows[:, :2]``), it gives another of its kind;
    indexed by a slice of rows alone, it reads them. So a classifier that goes through its cells in slices, as
    `dorl.classification.views` does, needs memory for one slice.

    Parameters
    ----------
    store : CellStore
    name : str
        "tokens", "crops" or "views".
    rows : int array of shape (N,)
        Which cells, in this order.
    most : int, optional
        How far the second axis goes; to its end by default.
    then : callable, optional
        What is read goes through it: from an array of records to one as long, whose last axis alone may be another.
    beside : float array of shape (N, V), optional
        A number of each view, put at the end of its records.
    """

    def __init__(
        self,
        store: CellStore,
        name: str,
        rows: NDArray[np.intp],
        most: int | None = None,
        *,
        then: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        beside: NDArray[np.floating] | None = None,
    ) -> None:
        self._store, self._name, self._most = store, name, most
        self._then, self._beside = then, beside
        self._rows = np.asarray(rows, np.intp)
        (first, *rest), self.dtype = store.record(name)
        if then is not None:
            empty = then(np.empty((0, first, *rest), self.dtype))
            rest, self.dtype = list(empty.shape[2:]), empty.dtype
        if beside is not None:
            rest = [*rest[:-1], rest[-1] + 1]
        self.shape = (len(self._rows), first if most is None else min(first, most), *rest)
        self.ndim = len(self.shape)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:  # as scikit-learn asks
            index = index[0]
        if isinstance(index, tuple) and len(index) == 2 and isinstance(index[1], slice):
            rows, cut = index
            if cut.start in (None, 0) and cut.step in (None, 1) and (cut.stop is None or cut.stop >= 0):
                most = self.shape[1] if cut.stop is None else min(cut.stop, self.shape[1])
                return self._of(rows, most)
        if isinstance(index, slice):
            (found,) = self._store.batch(self._rows[index], self._name)
            found = found[:, : self.shape[1]]
            found = found if self._then is None else self._then(found)
            return found if self._beside is None else with_last(found, self._beside[index, : self.shape[1]])
        if isinstance(index, (list, np.ndarray)):
            return self._of(index, self._most)
        raise IndexError(f"rows of a store are given by a slice, numbers or a mask, not by {index!r}")

    def _of(self, index: Any, most: int | None) -> StoredRows:
        beside = None if self._beside is None else self._beside[index]
        return StoredRows(self._store, self._name, self._rows[index], most, then=self._then, beside=beside)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("what is on disk can't be an array without a copy")
        return np.asarray(self[:], dtype)
