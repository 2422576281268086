"""Shards of several processes become the store that one process would have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.cells.shards import Shards

ORDER = [f"lab/{i}.png" for i in range(12)]


def create(path: Path) -> CellStore:
    return CellStore.create(path, width=3, grid=2, mask_size=5, crop_size=4, views=(2, 3))


def cells(numbers: list[int]) -> tuple[Any, ...]:
    draws = [np.random.default_rng(number) for number in numbers]
    return (
        np.stack([rng.normal(size=(3, 2, 2)) for rng in draws]),
        np.stack([rng.random((5, 5)) < 0.5 for rng in draws]),
        np.stack([rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for rng in draws]),
        [{"key": ORDER[number], "label": None if number % 3 else "monocyte"} for number in numbers],
        np.stack([rng.normal(size=(2, 3)) for rng in draws]),
    )


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """Of the store that one process writes; cell 5 can't be read."""
    store = create(tmp_path / "whole")
    store.append(*cells([i for i in range(12) if i != 5]))
    return files(tmp_path / "whole")


@pytest.fixture
def divided(tmp_path: Path) -> CellStore:
    """Cells 0 and 1 in the store, the others in two shards by turns of two."""
    store = create(tmp_path / "cells")
    store.append(*cells([0, 1]))
    for number, turns in enumerate(([[2, 3], [6, 7], [10, 11]], [[4], [8, 9]])):
        shard = create(tmp_path / "cells" / f"shard-{number}")
        for turn in turns:
            shard.append(*cells(turn))
    return store


def test_joined_they_are_the_store_of_one_process(divided: CellStore, whole: dict[str, bytes]) -> None:
    shards = Shards(divided.path)
    assert shards.keys == {ORDER[i] for i in (2, 3, 4, 6, 7, 8, 9, 10, 11)}
    assert shards.join(divided, ORDER) is divided
    assert files(divided.path) == whole
    assert Shards(divided.path).keys == set()


@pytest.mark.parametrize("appends", [0, 1, 3, 5])
def test_joining_goes_on_where_it_was_interrupted(
    divided: CellStore, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, appends: int
) -> None:
    append, left = CellStore.append, appends

    def interrupted(self: CellStore, *given: Any) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        append(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(CellStore, "append", interrupted)
        if appends < 5:
            with pytest.raises(KeyboardInterrupt):
                Shards(divided.path).join(divided, ORDER)
    again = create(divided.path)
    Shards(divided.path).join(again, ORDER)
    assert files(divided.path) == whole


def test_a_shard_that_was_not_begun_counts_for_nothing(divided: CellStore) -> None:
    (divided.path / "shard-2").mkdir()
    assert len(Shards(divided.path).keys) == 9


def test_each_process_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shards(tmp_path).own == tmp_path / "shard-0"
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert Shards(tmp_path).own == tmp_path / "shard-3"
