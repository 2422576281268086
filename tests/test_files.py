"""Files and folders that are whole where they have their final name."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dorl.errors import InputError
from dorl.files import atomic, digest_of, write_json, write_text


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


@pytest.mark.posix
def test_a_link_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "deep" / "real.csv", tmp_path / "link.csv"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o600  # who may read it stays
    coming = tmp_path / "coming.csv"
    coming.symlink_to("deep/not-yet.csv")
    write_text(coming, "new")
    assert coming.is_symlink()
    assert (real.parent / "not-yet.csv").read_text() == "new"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises((InputError, OSError)):
        write_text(tmp_path / "round", "new")


@pytest.mark.posix
def test_a_pipe_gets_the_whole_or_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="nobody reads this pipe; start its reader first"):
        write_text(pipe, "text")
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        while True:
            try:
                write_text(pipe, "text" * 100_000)
                break
            except InputError:  # the reader isn't there yet
                time.sleep(0.01)
        assert read.result() == "text" * 100_000
    assert pipe.is_fifo()
    write_text("/dev/null", "text")
    assert not Path("/dev/null").is_file()


@pytest.mark.posix
def test_what_the_process_has_open_goes_on_where_it_is(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w") as file:
        file.write("first ")
        file.flush()
        write_text(f"/dev/fd/{file.fileno()}", "second ")
        os.write(file.fileno(), b"third")
    assert (tmp_path / "out.txt").read_text() == "first second third"


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".csv", "é" * 127, "a." + "b" * 253):
        write_text(tmp_path / name, "whole")
    assert len(list(tmp_path.iterdir())) == 3


def test_what_utf8_lacks_is_written_out(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "caf\udce9")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\\xe9"


def test_a_digest_changes_with_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    path.write_bytes(bytes(3_000_000))
    before = digest_of(path)
    path.write_bytes(bytes(1_500_000) + b"1" + bytes(1_499_999))
    assert digest_of(path) not in ("", before)
    assert digest_of(tmp_path / "none") == digest_of(tmp_path) == ""
