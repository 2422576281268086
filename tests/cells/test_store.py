"""The store on disk: what was appended comes back, and an interruption costs no whole cell."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.cells import CellStore
from dorl.errors import InputError

SHAPE = {"width": 3, "grid": 2, "mask_size": 5, "crop_size": 4}
SOURCE = {"segmenter": "abc", "precision": "float32"}
BINARIES = ("tokens.bin", "masks.bin", "crops.bin")
#: in the order in which an append writes them
WRITTEN = (*BINARIES, "index.jsonl")


def create(path: Path, **changes: Any) -> CellStore:
    return CellStore.create(path, **{**SHAPE, "source": SOURCE, **changes})


def cells(start: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Cells that differ by their number alone, so that any two ways to store them can be compared."""
    made = []
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        made.append(
            (
                rng.normal(size=(3, 2, 2)).astype(np.float16),
                rng.random((5, 5)) < 0.5,
                rng.integers(0, 256, (4, 4, 3), dtype=np.uint8),
                {"key": f"lab µ/{number}.png", "label": None if number % 3 else "monocyte", "height": number},
            )
        )
    shapes = ((3, 2, 2), np.float16), ((5, 5), bool), ((4, 4, 3), np.uint8)
    arrays = [np.array([cell[i] for cell in made], dt).reshape(-1, *shape) for i, (shape, dt) in enumerate(shapes)]
    return (*arrays, [cell[3] for cell in made])  # type: ignore[return-value]


def assert_holds(store: CellStore, count: int, order: list[int] | None = None) -> None:
    """The store holds cells 0 … count - 1, whole and in order."""
    assert len(store) == count
    tokens, masks, crops, rows = cells(0, count)
    assert store.keys == {row["key"] for row in rows}
    assert store.table.to_dict("records") == rows
    if not count:
        return
    order = list(range(count)) if order is None else order
    found = store.batch(order, "tokens", "masks", "crops")
    for one, other in zip(found, (tokens, masks, crops), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other[order])


def interrupt(whole: Path, before: dict[str, int], written: int) -> None:
    """Cut the files to what `written` bytes of the last append had left, the files' former lengths being `before`."""
    for name in WRITTEN:
        file = whole / name
        here = min(written, file.stat().st_size - before[name])
        written -= here
        with file.open("r+b") as stream:
            stream.truncate(before[name] + here)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), reopen=st.booleans())
def test_what_was_appended_comes_back_in_any_order(data: st.DataObject, sizes: list[int], reopen: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, count = create(Path(folder)), 0
        for size in sizes:
            store.append(*cells(count, size))
            count += size
            if reopen:
                store = create(Path(folder))
        order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=9)) if count else None
        assert_holds(store, count, order)
        assert_holds(CellStore.open(folder), count, order)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), first=st.integers(0, 3), second=st.integers(1, 3))
def test_an_interruption_at_any_byte_keeps_every_whole_cell(data: st.DataObject, first: int, second: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        create(path).append(*cells(0, first))
        before = {name: (path / name).stat().st_size for name in WRITTEN}
        create(path).append(*cells(first, second))
        lines = (path / "index.jsonl").read_bytes()[before["index.jsonl"] :]
        total = sum((path / name).stat().st_size - before[name] for name in WRITTEN)
        # half of the draws in the index, where it is decided which cells count
        written = data.draw(st.integers(0, total) | st.integers(total - len(lines), total))
        interrupt(path, before, written)
        kept = first + lines[: max(0, written - (total - len(lines)))].count(b"\n")

        assert_holds(CellStore.open(path), kept)  # reading changes nothing, so that it may be done meanwhile
        store = create(path) if data.draw(st.booleans()) else CellStore.open(path)
        assert_holds(store, kept)
        store.append(*cells(kept, 4))
        assert_holds(store, kept + 4)
        assert_holds(CellStore.open(path), kept + 4)
        for name in BINARIES:
            assert (path / name).stat().st_size % (kept + 4) == 0


def test_opening_for_reading_leaves_the_files_alone(tmp_path: Path) -> None:
    create(tmp_path).append(*cells(0, 2))
    with (tmp_path / "index.jsonl").open("a") as index:
        index.write('{"key": "ha')
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert_holds(CellStore.open(tmp_path), 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("wrong", ["tokens", "masks", "crops", "rows", "metadata"])
def test_cells_that_do_not_fit_are_refused_and_spoil_nothing(tmp_path: Path, wrong: str) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 2))
    tokens, masks, crops, rows = cells(2, 2)
    bad: dict[str, Any] = {
        "tokens": (tokens[:, :, :1], masks, crops, rows),
        "masks": (tokens, masks[:, :4], crops, rows),
        "crops": (tokens, masks, crops[..., :1], rows),
        "rows": (tokens, masks, crops, rows[:1]),
        "metadata": (tokens, masks, crops, [rows[0], {"key": object()}]),
    }
    with pytest.raises((ValueError, TypeError), match=r"shape|JSON"):
        store.append(*bad[wrong])
    assert_holds(store, 2)
    store.append(tokens, masks, crops, rows)
    assert_holds(store, 4)
    assert_holds(CellStore.open(tmp_path), 4)


def test_a_failed_write_is_cut_off_by_the_next(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 2))
    moved = tmp_path / "elsewhere"
    (tmp_path / "crops.bin").rename(moved)
    (tmp_path / "crops.bin").mkdir()  # can't be written to
    with pytest.raises(OSError, match=r"directory|denied"):
        store.append(*cells(2, 3))
    (tmp_path / "crops.bin").rmdir()
    moved.rename(tmp_path / "crops.bin")
    store.append(*cells(2, 3))
    assert_holds(store, 5)
    assert_holds(CellStore.open(tmp_path), 5)


def test_whole_lines_of_an_append_that_failed_are_cut_off_too(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 2))
    index = tmp_path / "index.jsonl"
    whole = index.read_bytes()
    store.append(*cells(2, 3))
    written = index.read_bytes()
    index.write_bytes(whole)
    store = create(tmp_path)
    index.rename(tmp_path / "elsewhere")
    index.mkdir()  # can't be written to
    with pytest.raises(OSError, match=r"directory|denied"):
        store.append(*cells(2, 3))
    index.rmdir()
    index.write_bytes(written[:-5])  # as a full disk leaves it: two of the three lines whole
    store.append(*cells(2, 2))
    assert_holds(store, 4)
    assert_holds(CellStore.open(tmp_path), 4)


def test_a_store_made_anew_where_the_header_was_lost(tmp_path: Path) -> None:
    create(tmp_path).append(*cells(3, 2))
    (tmp_path / "cells.json").unlink()
    create(tmp_path).append(*cells(0, 1))
    assert_holds(CellStore.open(tmp_path), 1)


def test_a_write_that_failed_within_the_index_is_cut_off_by_the_next(tmp_path: Path) -> None:
    create(tmp_path).append(*cells(0, 2))
    store = CellStore.open(tmp_path)
    with (tmp_path / "index.jsonl").open("a") as index:
        index.write('{"key": "whole"}\n{"key": "ha')
    store.append(*cells(2, 1))
    assert_holds(store, 3)
    assert_holds(CellStore.open(tmp_path), 3)


def test_create_goes_on_with_the_store_that_lies_there(tmp_path: Path) -> None:
    create(tmp_path / "a" / "cells").append(*cells(0, 3))
    assert_holds(create(tmp_path / "a" / "cells"), 3)


def test_a_source_with_a_tuple_and_numbers_is_known_again(tmp_path: Path) -> None:
    source = {"mean": (215.0322, 187.7592), "layers": {"qkv": 4}, "digest": None}
    create(tmp_path, source=source).append(*cells(0, 1))
    assert_holds(create(tmp_path, source=source), 1)


@pytest.mark.parametrize(
    "change",
    [{"source": {"segmenter": "abd", "precision": "float32"}}, {"source": None}, {"width": 4}, {"crop_size": 8}],
)
def test_cells_of_another_source_or_shape_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    create(tmp_path).append(*cells(0, 2))
    with pytest.raises(InputError, match="holds cells of other weights or settings: choose another folder") as caught:
        create(tmp_path, **change)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert_holds(create(tmp_path), 2)


def assert_refused(path: Path, match: str) -> None:
    """Opened either way, the error is one line that begins with the path."""
    for way in (CellStore.open, create):
        with pytest.raises(InputError, match=match) as caught:
            way(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_store_of_another_version(tmp_path: Path) -> None:
    create(tmp_path)
    header = tmp_path / "cells.json"
    for text in (header.read_text().replace('"format": 1', '"format": 2'), "[]", "{}"):
        header.write_text(text)
        assert_refused(tmp_path, "another version")


@pytest.mark.parametrize("name", ["cells.json", "index.jsonl"])
def test_no_store(tmp_path: Path, name: str) -> None:
    create(tmp_path).append(*cells(0, 1))
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf"^{tmp_path}: no cell store \({name} is missing\)$"):
        CellStore.open(tmp_path)


@pytest.mark.parametrize("name", BINARIES)
def test_a_file_missing_or_too_short(tmp_path: Path, name: str) -> None:
    create(tmp_path).append(*cells(0, 3))
    file = tmp_path / name
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    assert_refused(tmp_path, f"{name} is missing or too short: remove the folder")
    file.unlink()
    assert_refused(tmp_path, f"{name} is missing or too short: remove the folder")


@pytest.mark.parametrize("name", ["cells.json", "index.jsonl"])
@pytest.mark.parametrize("content", [b"nothing\n", b'{"key"\n', b"\xff\xfe\n", b"\0\0\0\n"])
def test_a_damaged_header_or_index(tmp_path: Path, name: str, content: bytes) -> None:
    create(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path, "damaged: remove the folder and embed again")


@pytest.mark.parametrize(("name", "old", "new"), [("cells.json", "width", "wodth"), ("cells.json", ": 3", ': "3"')])
def test_a_header_without_a_size(tmp_path: Path, name: str, old: str, new: str) -> None:
    create(tmp_path)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    assert_refused(tmp_path, "damaged: remove the folder and embed again")


def test_an_index_of_something_else(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / "index.jsonl").write_text("5\n")
    assert_refused(tmp_path, "damaged: remove the folder and embed again")


def test_a_header_without_sizes_and_a_line_that_is_no_cell(tmp_path: Path) -> None:
    create(tmp_path / "a")
    (tmp_path / "a" / "cells.json").write_text('{"format": 1, "width": 3, "grid": null}')
    create(tmp_path / "b")
    (tmp_path / "b" / "index.jsonl").write_text("3\n")
    for name in "ab":
        assert_refused(tmp_path / name, "damaged: remove the folder and embed again")


def test_an_empty_store(tmp_path: Path) -> None:
    store = create(tmp_path)
    assert_holds(store, 0)
    assert_holds(CellStore.open(tmp_path), 0)
    with pytest.raises(InputError, match="the cell store is empty"):
        store.tokens  # noqa: B018
    with pytest.raises(InputError, match="the cell store is empty"):
        store.batch([0], "crops")


def test_tokens_and_crops_are_read_only_memory_maps(tmp_path: Path) -> None:
    store = create(tmp_path)
    tokens, _, crops, rows = given_cells = cells(0, 4)
    store.append(*given_cells)
    for found, expected in ((store.tokens, tokens), (store.crops, crops)):
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 0
    store.append(*cells(4, 1))
    assert len(store.tokens) == len(store.crops) == len(rows) + 1


def test_a_batch_is_a_copy_that_may_be_changed(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 3))
    for part in store.batch([0, 1], "tokens", "masks", "crops"):
        part[:] = 0
    assert_holds(store, 3)


@pytest.mark.parametrize("indices", [(2, 1), [2, 1], np.array([2, 1], np.uint8), range(2, 0, -1)])
def test_indices_of_any_kind(tmp_path: Path, indices: Any) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 4))
    (found,) = store.batch(indices, "tokens")
    np.testing.assert_array_equal(found, cells(0, 4)[0][[2, 1]])


def test_an_empty_batch(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 1))
    shapes = [part.shape for part in store.batch([], "tokens", "masks", "crops")]
    assert shapes == [(0, 3, 2, 2), (0, 5, 5), (0, 4, 4, 3)]


def test_an_index_past_the_end(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 2))
    with pytest.raises(IndexError):
        store.batch([2], "tokens")


def test_tokens_are_rounded_to_half_precision(tmp_path: Path) -> None:
    store = create(tmp_path)
    tokens, masks, crops, rows = cells(0, 2)
    precise = tokens.astype(np.float64) * (1 + 1e-9)
    store.append(precise, masks, crops, rows)
    np.testing.assert_array_equal(store.tokens, precise.astype(np.float16))


def test_the_published_sizes_fit(tmp_path: Path) -> None:
    store = CellStore.create(tmp_path, width=768, grid=14)
    rng = np.random.default_rng(0)
    mask = rng.random((2, 224, 224)) < 0.3
    tokens, crops = np.ones((2, 768, 14, 14), np.float16), np.full((2, 128, 128, 3), 7, np.uint8)
    store.append(tokens, mask, crops, [{"key": "a"}, {"key": "b"}])
    found = CellStore.open(tmp_path).batch([1, 0], "masks", "crops", "tokens")
    np.testing.assert_array_equal(found[0], mask[::-1])
    assert [part.shape for part in found[1:]] == [(2, 128, 128, 3), (2, 768, 14, 14)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 360_000  # about 350 kB a cell


def test_threads_read_the_same_cells(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.append(*cells(0, 50))
    expected = cells(0, 50)[2]

    def read(seed: int) -> None:
        order = np.random.default_rng(seed).integers(0, 50, 20)
        (found,) = store.batch(order, "crops")
        np.testing.assert_array_equal(found, expected[order])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(200)))


def resident(file: Path) -> int:
    """Kilobytes of `file` that count as this process's memory."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


@pytest.mark.posix
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="counts pages the way of Linux")
def test_a_batch_does_not_stay_in_memory(tmp_path: Path) -> None:
    store = CellStore.create(tmp_path, width=64, grid=14, mask_size=16, crop_size=8)
    size = 40
    arrays = np.ones((size, 64, 14, 14)), np.ones((size, 16, 16), bool), np.ones((size, 8, 8, 3), np.uint8)
    store.append(*arrays, [{"key": str(i)} for i in range(size)])
    assert store.tokens.sum(dtype=np.float64) == size * 64 * 14 * 14
    assert resident(tmp_path / "tokens.bin") > 500  # kB: the probe sees what plain reading leaves
    store.batch(range(size), "tokens")
    assert resident(tmp_path / "tokens.bin") < 100


def test_a_store_can_be_moved(tmp_path: Path) -> None:
    create(tmp_path / "a").append(*cells(0, 2))
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert_holds(CellStore.open(tmp_path / "b"), 2)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    text = "import sys; from test_store import create; s = create(sys.argv[1]); print('begun', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", text.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])"), str(tmp_path)],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"begun\n"
    with pytest.raises(InputError, match="another process writes here; wait for its end, or stop it"):
        create(tmp_path)
    reader = CellStore.open(tmp_path)  # reading is free
    with pytest.raises(InputError, match="another process writes here"):
        reader.append(*cells(0, 1))
    other.kill()
    other.wait()
    store = create(tmp_path)
    store.append(*cells(0, 1))
    again = create(tmp_path)  # one process may open it twice
    again.append(*cells(1, 1))
    assert_holds(CellStore.open(tmp_path), 2)


def test_a_store_that_was_left_holds_no_file(tmp_path: Path) -> None:
    """Windows removes no file that is mapped."""
    store = create(tmp_path / "cells")
    store.append(*cells(0, 3))
    assert len(store.tokens) == 3
    assert store._maps
    store.leave()
    assert not store._maps
    assert len(store.tokens) == 3  # mapped anew when asked for
