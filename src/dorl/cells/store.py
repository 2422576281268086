"""Cells on disk: mask, crop, views, tokens where asked for, and metadata, appended in batches, read by memory map.

A folder holds `cells.json` (shapes and what made them), flat binary files of equal-sized records, one a kind, and
`index.jsonl`, one line a cell. A cell counts once its line is whole: what an interrupted run left behind the last whole
line is cut off when the store is opened for writing, so that the run goes on where it stopped.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from dorl.errors import InputError
from dorl.files import write_json

#: version of the folder's layout
FORMAT = 1
_SIZES = ("width", "grid", "mask_size", "crop_size")
_DAMAGED = "cells.json or index.jsonl is damaged: remove the folder and embed again"


class CellStore:
    """An append-only store of cells; use `create` or `open`.

    Attributes
    ----------
    tokens : float16 memory map of shape (N, D, G, G)
    crops : uint8 memory map of shape (N, C, C, 3)
        RGB, 0-255.
    table : DataFrame of N rows
        The metadata given to `append`.
    """

    def __init__(self, path: Path, header: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        self.path = path
        self.header = header
        self._rows = rows
        self._whole = False  # whether nothing unfinished lies behind the last whole cell
        self._maps: dict[str, np.memmap] = {}
        self._lock: FileLock | None = None
        width, grid, side, crop = (header[key] for key in _SIZES)
        self._records: dict[str, tuple[tuple[int, ...], np.dtype]] = {
            "masks": (((side * side + 7) // 8,), np.dtype("u1")),
            "crops": ((crop, crop, 3), np.dtype("u1")),
        }
        if width:
            self._records["tokens"] = ((width, grid, grid), np.dtype("<f2"))
        if "views" in header:
            self._records["views"] = (tuple(header["views"]), np.dtype("<f2"))

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        width: int = 0,
        grid: int = 0,
        mask_size: int = 224,
        crop_size: int = 128,
        views: tuple[int, int] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> CellStore:
        """Make an empty store, or open the unfinished one that lies there.

        Parameters
        ----------
        width, grid : int
            Tokens are (width, grid, grid); where `width` is 0 the store holds none.
        mask_size, crop_size : int
            Sides in pixels.
        views : (int, int), optional
            Views of a cell, and numbers that describe one; without it the store holds none.
        source : mapping, optional
            What makes the cells (weights' digest and the like), JSON-able. A store of another source is refused.

        Raises
        ------
        InputError
            If a store of other shapes or another source lies there, or another process writes there.
        """
        path = Path(path)
        header = {
            "format": FORMAT,
            "width": width,
            "grid": grid,
            "mask_size": mask_size,
            "crop_size": crop_size,
            "source": dict(source or {}),
        }
        if views is not None:
            header["views"] = views
        header = json.loads(json.dumps(header))  # as it will be read: a tuple comes back as a list
        if (path / "cells.json").exists():
            held = _hold(path)
            store = cls.open(path)  # as it is now that nobody else writes
            store._lock = held
            if store.header != header:
                raise InputError(
                    f"{path}: holds cells of other weights or settings: choose another folder, or remove it"
                )
            store._cut_unfinished()
            return store
        path.mkdir(parents=True, exist_ok=True)
        store = cls(path, header, [])
        store._lock = _hold(path)
        for name in (*store._records, "index"):
            (path / _file_name(name)).touch()
        write_json(path / "cells.json", header)
        return store

    @classmethod
    def like(cls, path: str | Path, other: CellStore) -> CellStore:
        """`create` one for cells of the same shapes and source as another's."""
        header = other.header
        options = {name: header[name] for name in (*_SIZES, "source")}
        return cls.create(path, views=tuple(header["views"]) if "views" in header else None, **options)

    @classmethod
    def open(cls, path: str | Path) -> CellStore:
        """Open a store.

        Raises
        ------
        InputError
            If it is missing, of another version, or a file of it is missing or too short.
        """
        path = Path(path)
        try:
            header = json.loads((path / "cells.json").read_text(encoding="utf-8"))
            text = (path / "index.jsonl").read_text(encoding="utf-8")
            rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        except FileNotFoundError as error:
            raise InputError(f"{path}: no cell store ({Path(error.filename).name} is missing)") from error
        except ValueError as error:
            raise InputError(f"{path}: {_DAMAGED}") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise InputError(f"{path}: a cell store of another version: embed again")
        views = header.get("views", [0, 0])
        whole = isinstance(views, list) and len(views) == 2
        whole = whole and all(isinstance(size, int) for size in (*(header.get(key) for key in _SIZES), *views))
        if not whole or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{path}: {_DAMAGED}")
        store = cls(path, header, rows)
        for name in store._records:
            file = path / _file_name(name)
            if not file.exists() or file.stat().st_size < len(store) * store._record_bytes(name):
                raise InputError(f"{path}: {file.name} is missing or too short: remove the folder and embed again")
        return store

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def keys(self) -> set[str]:
        """Keys of the cells that are in."""
        return {row["key"] for row in self._rows}

    @property
    def table(self) -> pd.DataFrame:
        """Metadata, a row a cell; None where something isn't known."""
        table = pd.DataFrame(self._rows)
        texts = list(table.select_dtypes(exclude=["number", "bool"]))  # pandas 3 would make NaN of a text's None
        table[texts] = table[texts].astype(object).where(table[texts].notna(), None)
        return table

    def append(
        self,
        tokens: np.ndarray | None,
        masks: np.ndarray,
        crops: np.ndarray,
        rows: Sequence[Mapping[str, Any]],
        views: np.ndarray | None = None,
    ) -> None:
        """Add B cells.

        Parameters
        ----------
        tokens : float array of shape (B, D, G, G), where the store holds tokens
            Stored as float16.
        masks : bool array of shape (B, S, S)
        crops : uint8 array of shape (B, C, C, 3)
        rows : sequence of B mappings
            JSON-able metadata; each with a ``key`` that no other cell has.
        views : float array of shape (B, V, F), where the store holds views
            Stored as float16.
        """
        lines = [dict(row) for row in rows]
        count = len(lines)
        text = "".join(json.dumps(row) + "\n" for row in lines)
        side = self.header["mask_size"]
        given = {"masks": masks, "crops": crops}
        for name, more in (("tokens", tokens), ("views", views)):
            if more is not None:
                given[name] = more
        if given.keys() != self._records.keys():
            raise ValueError("tokens or views are given to a store that holds none, or the other way round")
        for name, array in given.items():
            shape = (side, side) if name == "masks" else self._records[name][0]
            if array.shape != (count, *shape):
                raise ValueError(f"{name} of shape {array.shape}, the store takes {(count, *shape)}")
        given["masks"] = np.packbits(masks.reshape(count, side * side), axis=1)
        self._lock = self._lock or _hold(self.path)
        if not self._whole:
            self._cut_unfinished()
        self._whole = False
        for name, array in given.items():
            with (self.path / _file_name(name)).open("ab") as file:
                np.ascontiguousarray(array, dtype=self._records[name][1]).tofile(file)
        with (self.path / "index.jsonl").open("a", encoding="utf-8") as index:
            index.write(text)
        self._whole = True
        self._rows += lines
        self._maps.clear()

    def leave(self) -> None:
        """Let other processes write, or remove the files; the next `append` writes again."""
        self._maps.clear()  # Windows removes no file that is mapped
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def tokens(self) -> np.memmap:
        """All tokens, memory-mapped, read-only."""
        return self._map("tokens")

    @property
    def crops(self) -> np.memmap:
        """All crops, memory-mapped, read-only."""
        return self._map("crops")

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        """Copy some cells into memory, in the order of `indices`, and let go of the pages they were read from.

        Without the latter the operating system counts every page ever touched as this process's memory, and a run's
        size would grow with the store.

        Parameters
        ----------
        indices : sequence of B ints
        names : "tokens", "masks", "crops" or "views"

        Returns
        -------
        tuple of arrays
            float16 (B, D, G, G), bool (B, S, S), uint8 (B, C, C, 3), float16 (B, V, F), as asked for.
        """
        found = []
        indices = np.asarray(indices, dtype=np.intp)
        for name in names:
            stored = self._map(name)
            found.append(self._unpack(stored[indices]) if name == "masks" else np.asarray(stored[indices]))
            self._let_go(stored)
        return tuple(found)

    def record(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of a cell's "tokens", "crops" or "views" on disk."""
        return self._records[name]

    def cells(self, indices: Sequence[int] | np.ndarray) -> tuple[Any, ...]:
        """Some cells whole, as `append` takes them: tokens, masks, crops, rows, views; None for what isn't held."""
        masks, crops = self.batch(indices, "masks", "crops")
        tokens, views = (
            self.batch(indices, name)[0] if name in self._records else None for name in ("tokens", "views")
        )
        return tokens, masks, crops, [dict(self._rows[index]) for index in indices], views

    def _unpack(self, packed: np.ndarray) -> np.ndarray:
        side = self.header["mask_size"]
        return np.unpackbits(packed, axis=1, count=side * side).reshape(-1, side, side).astype(bool)

    def _map(self, name: str) -> np.memmap:
        if name not in self._maps:
            shape, dtype = self._records[name]
            if not len(self):
                raise InputError(f"{self.path}: the cell store is empty")
            file = self.path / _file_name(name)
            self._maps[name] = np.memmap(file, dtype=dtype, mode="r", shape=(len(self), *shape))
        return self._maps[name]

    @staticmethod
    def _let_go(stored: np.memmap) -> None:
        pages = getattr(stored, "_mmap", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def _record_bytes(self, name: str) -> int:
        shape, dtype = self._records[name]
        return int(np.prod(shape)) * dtype.itemsize

    def _cut_unfinished(self) -> None:
        """Drop what an interrupted `append` left behind the last whole cell."""
        for name in self._records:
            with (self.path / _file_name(name)).open("r+b") as file:
                file.truncate(len(self) * self._record_bytes(name))
        index = self.path / "index.jsonl"
        # an append that failed here may have left whole lines, of cells whose records were cut just now
        lines = index.read_bytes().splitlines(keepends=True)[: len(self)]
        with index.open("r+b") as file:
            file.truncate(sum(map(len, lines)))
        self._whole = True


def _hold(path: Path) -> FileLock | None:
    """A lock on a store's folder, which all stores of this process share; none where the file system has no locks."""
    lock = FileLock(path / "writing.lock", timeout=0, is_singleton=True, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{path}: another process writes here; wait for its end, or stop it") from error
    except NotImplementedError:
        return None
    return lock


def _file_name(name: str) -> str:
    return "index.jsonl" if name == "index" else f"{name}.bin"
