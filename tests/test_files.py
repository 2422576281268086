"""Files and folders that are whole where they have their final name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dorl.files import atomic, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.png"
    with atomic(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"  # writers choose the format by the ending
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, error: type[BaseException], before: bytes | None) -> None:
    target = tmp_path / "a.csv"
    if before is not None:
        target.write_bytes(before)

    def write() -> None:
        with atomic(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if before is None else [before])


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    with atomic(tmp_path / "folder") as temporary:
        (temporary / "below").mkdir(parents=True)
        (temporary / "below" / "a.txt").write_text("a")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "below" / "a.txt").read_text() == "a"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    def write() -> None:
        with atomic(tmp_path / "folder") as temporary:
            (temporary / "below").mkdir(parents=True)
            (temporary / "below" / "a.txt").write_text("a")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Zürich 20 µm")
    assert (tmp_path / "a.txt").read_bytes() == "Zürich 20 µm".encode()


def test_json_takes_numpy_and_paths(tmp_path: Path) -> None:
    value = {
        "float": np.float32(0.5),
        "int": np.int64(2**40),
        "bool": np.bool_(True),
        "array": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "path": tmp_path / "a",
        "plain": [1, None, "µ"],
    }
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "float": 0.5,
        "int": 2**40,
        "bool": True,
        "array": [[0, 1, 2], [3, 4, 5]],
        "path": (tmp_path / "a").as_posix(),
        "plain": [1, None, "µ"],
    }


def test_what_is_no_json_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set can't be written"):
        write_json(tmp_path / "a.json", {"a": {1}})
    assert list(tmp_path.iterdir()) == []
