"""Images at URLs, in fsspec's memory and on a web server of this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from dorl.domains import fetching, read_domain, read_domains
from dorl.domains.fetching import fetch
from dorl.domains.gathering import gather
from dorl.domains.urls import cache_folder, mirror_of
from dorl.errors import DorlError, InputError
from dorl.files import png
from web_server import serving


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DORL_CACHE", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def memory() -> Iterator[Any]:
    """Fsspec's files in memory, none at first."""
    found = fsspec.filesystem("memory")
    found.store.clear()
    found.pseudo_dirs[:] = [""]
    yield found
    found.store.clear()


@pytest.fixture
def calls(memory: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is fetched out of memory."""
    fetched: list[str] = []
    before = type(memory).get_file

    def get_file(self: Any, rpath: str, lpath: str, **more: Any) -> None:
        fetched.append(rpath)
        before(self, rpath, lpath, **more)

    monkeypatch.setattr(type(memory), "get_file", get_file)
    return fetched


def picture(value: int, side: int = 16) -> bytes:
    return png(np.full((side, side, 3), value, np.uint8))


def fill(memory: Any, *names: str) -> None:
    for number, name in enumerate(names):
        memory.pipe_file(name, picture(number))


def test_a_folder_is_read_as_a_local_one(memory: Any, tmp_path: Path) -> None:
    names = ["monocyte/a b.png", "monocyte/100%.png", "basophil/ü.png", "basophil/x:y.png", ".hidden/no.png"]
    fill(memory, *(f"/bucket/lab/{name}" for name in names))
    memory.pipe_file("/bucket/lab/basophil/damaged.png", b"damaged")
    memory.pipe_file("/bucket/lab/readme.txt", b"not fetched")
    memory.pipe_file("/bucket/lab2/other.png", picture(9))
    memory.get("/bucket/lab", str(tmp_path / "lab"), recursive=True)
    here = read_domain(tmp_path / "lab")
    there = read_domain("memory://bucket/lab")
    assert there.name == here.name == "lab"
    assert there.table.equals(here.table)
    assert there.left_out.equals(here.left_out)
    assert all((there.load(i) == here.load(i)).all() for i in range(len(here)))
    assert not (there.root / "readme.txt").exists()
    (named,) = read_domains(["mine=memory://bucket/lab/"])
    assert named.name == "mine"
    assert named.table.equals(here.table)


def test_only_what_changed_is_fetched_again(memory: Any, calls: list[str]) -> None:
    fill(memory, "/lab/a.png", "/lab/b.png", "/lab/c.png")
    fetch("memory://lab")
    assert sorted(calls) == ["/lab/a.png", "/lab/b.png", "/lab/c.png"]
    calls.clear()
    memory.pipe_file("/lab/b.png", picture(200))
    memory.rm_file("/lab/c.png")
    lab = read_domain("memory://lab")
    assert calls == ["/lab/b.png"]
    assert lab.table["path"].tolist() == ["a.png", "b.png"]
    assert lab.load(1).max() == 200


def test_a_fetch_that_was_stopped_goes_on(
    memory: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fill(memory, *(f"/lab/{number}.png" for number in range(6)))
    through = type(memory).get_file

    def stopped(self: Any, rpath: str, lpath: str, **more: Any) -> None:
        if len(calls) == 3:
            Path(lpath).write_bytes(b"half of it")
            raise KeyboardInterrupt
        through(self, rpath, lpath, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch("memory://lab")
    held = [path for path in cache.rglob("*") if path.is_file()]
    assert len(held) == 3
    assert all(path.read_bytes() == memory.cat_file(f"/lab/{path.name}") for path in held)
    fetch("memory://lab")
    assert len(calls) == 6


def test_two_that_fetch_at_the_same_time_share_the_work(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def slow(self: Any, rpath: str, lpath: str) -> None:
        calls.append(rpath)
        time.sleep(0.005)
        Path(lpath).write_bytes(self.store[rpath].getvalue())  # two that read a file of fsspec's share its place in it

    fill(memory, *(f"/lab/{number}.png" for number in range(60)))
    monkeypatch.setattr(type(memory), "get_file", slow)
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(fetch, ["memory://lab"] * 2))) == 1
    assert len(set(calls)) == 60
    assert len(calls) < 90


def test_a_manifest_brings_the_images_that_it_lists(memory: Any, calls: list[str]) -> None:
    fill(memory, "/lab/images/a.png", "/lab/images/b.png", "/lab/images/not-listed.png", "/lab/m.png", "/outside.png")
    rows = "image;label;mask\nimages/a.png;monocyte;m.png\n./images/b.png;basophil;\nimages/none.png;basophil;\n"
    memory.pipe_file("/lab/cells.csv", rows.encode())
    lab = read_domain("memory://lab/cells.csv", any_class=True)
    assert lab.table["path"].tolist() == ["images/a.png", "images/b.png"]
    assert lab.left_out.to_numpy().tolist() == [["images/none.png", "no such file"]]
    assert sorted(calls) == ["/lab/cells.csv", "/lab/images/a.png", "/lab/images/b.png", "/lab/m.png"]
    memory.pipe_file("/lab/cells.csv", b"image,label\n../outside.png,monocyte\n")
    with pytest.raises(InputError, match="lies outside the manifest's folder"):
        read_domain("memory://lab/cells.csv")


def test_annotations_bring_the_images_of_their_folder(memory: Any) -> None:
    fill(memory, "/lab/images/a.png")
    memory.pipe_file(
        "/lab/cells.json",
        b'{"images": [{"id": 1, "file_name": "images/a.png", "width": 16, "height": 16}], "categories": '
        b'[{"id": 1, "name": "monocyte"}], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, '
        b'"bbox": [1, 1, 14, 14]}]}',
    )
    lab = read_domain("memory://lab/cells.json")
    assert lab.table[["path", "label"]].to_numpy().tolist() == [["images/a.png", "monocyte"]]


def test_several_urls_and_paths_have_names_as_given(memory: Any, tmp_path: Path) -> None:
    fill(memory, "/one/a.png", "/two/deep/a.png", "/single.png")
    (tmp_path / "b.png").write_bytes(picture(4))
    lab = gather(["memory://one", "x=memory://two", "memory://single.png", tmp_path / "b.png", "memory://one/a.png"])
    here = (tmp_path / "b.png").as_posix()
    assert lab.table["path"].tolist() == ["memory://one/a.png", "memory://two/deep/a.png", "memory://single.png", here]
    assert [lab.load(i).max() for i in range(4)] == [0, 1, 2, 4]
    assert gather("memory://one").table["path"].tolist() == ["a.png"]
    assert gather(["memory://one"], full=True).table["path"].tolist() == ["memory://one/a.png"]


def test_too_large_a_file_is_left_out_by_name(
    memory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(memory, "/lab/a.png")
    memory.pipe_file("/lab/large.png", picture(3, side=200) + bytes(2**20))
    monkeypatch.setattr(fetching, "MAX_BYTES", 2**20)
    assert read_domain("memory://lab").table["path"].tolist() == ["a.png"]
    assert capsys.readouterr().err == "left out: memory://lab/large.png: over 1 MB\n"
    with pytest.raises(InputError, match=r"memory://lab/large.png: no such file, or one over 1 MB"):
        fetch("memory://lab/large.png")
    fetch("memory://lab", slides=(".svs",))
    assert mirror_of("memory://lab/large.png").is_file()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://none", "^memory://none: is not there, or holds no jpg"),
        ("memory://notes", "is not there, or holds no jpg"),
        ("memory://lab/none.png", "^memory://lab/none.png: no such file"),
        ("memory://lab.zip", "is an archive, which isn't read; unpack it"),
        ("nothing://lab", r"^nothing://lab: nothing:// isn't known; give a path, or a URL such as s3://"),
        ("memory://", "names no place"),
    ],
)
def test_what_can_not_be_fetched_is_said_in_one_line(memory: Any, url: str, why: str) -> None:
    memory.pipe_file("/notes/readme.txt", b"no image")
    with pytest.raises(InputError, match=why):
        read_domain(url)


@pytest.mark.parametrize("name", ["/lab/../../a.png", "/lab/a\\b.png", "/lab//a.png", "/lab/./a.png"])
def test_a_name_without_a_place_below_the_folder_is_refused(
    memory: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(type(memory), "find", lambda self, path, detail: {name: {"size": 3, "type": "file"}})
    with pytest.raises(InputError, match="which has no place below a folder"):
        fetch("memory://lab")
    assert not [path for path in cache.parent.rglob("*") if path.is_file()]


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"^s3://bucket/lab: .*s3fs.*pip install"):
        read_domain("s3://bucket/lab")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"pip install 'dorl\[remote\]'"):
        read_domain("s3://bucket/lab")


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (OSError(28, "No space left on device"), InputError, "name another folder in DORL_CACHE"),
        (ConnectionError("https://host/?sig=secret"), DorlError, r"can't be reached \(ConnectionError\); the same"),
        (PermissionError("secret"), DorlError, "may not be read with the credentials"),
    ],
)
def test_what_fails_on_the_way_is_said_without_the_words_of_the_driver(
    memory: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception, kind: type[DorlError], why: str
) -> None:
    def fail(*values: Any, **more: Any) -> None:
        raise fault

    fill(memory, "/lab/a.png")
    monkeypatch.setattr(type(memory), "get_file", fail)
    with pytest.raises(DorlError, match=why) as error:
        fetch("memory://lab")
    assert type(error.value) is kind
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__  # nor with --debug


def test_a_cache_that_can_not_be_written_is_named(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory, "/lab/a.png")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("DORL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"can't be written .*; name another folder in DORL_CACHE"):
        fetch("memory://lab")


def test_a_file_that_came_short_is_not_kept(memory: Any, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    fill(memory, "/lab/a.png")
    monkeypatch.setattr(type(memory), "get_file", lambda self, rpath, lpath: Path(lpath).write_bytes(b"short"))
    with pytest.raises(DorlError, match=r"memory://lab/a.png: 5 of \d+ bytes came"):
        fetch("memory://lab")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_paths_with_a_colon_or_a_sign_of_equality_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a:b", "x=y", "s3:"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "1.png")
        assert len(gather(name)) == len(gather(f"lab={name}")) == 1
    monkeypatch.setitem(sys.modules, "fsspec", None)  # which no path needs
    assert gather(["a:b", "x=y"]).table["path"].tolist() == ["a:b/1.png", "x=y/1.png"]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """The address of a server, the folder that it shows, and what was fetched from it."""
    pytest.importorskip("aiohttp", reason="the Python package aiohttp (dorl[remote]) is not installed")
    folder = tmp_path / "shown"
    folder.mkdir()
    with serving(folder) as (address, asked):
        yield address, folder, asked


def laid(folder: Path) -> Callable[[str, int], None]:
    def lay(name: str, value: int) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(value))

    return lay


def test_a_folder_of_a_web_server_is_read_as_a_local_one(web: tuple[str, Path, list[str]]) -> None:
    address, folder, asked = web
    lay = laid(folder)
    for value, name in enumerate(("lab/monocyte/a b.png", "lab/monocyte/100%25.png", "lab/basophil/ü.png", "x.png")):
        lay(name, value)
    here, there = read_domain(folder / "lab"), read_domain(f"{address}/lab")
    assert there.table.equals(here.table)
    assert [there.load(i).max() for i in range(3)] == [here.load(i).max() for i in range(3)]
    asked.clear()
    assert read_domain(f"{address}/lab/").table.equals(here.table)
    assert not [path for path in asked if path.endswith(".png")]
    (found,) = gather([f"{address}/lab/monocyte/a%20b.png?sig=secret"], full=True).table["path"]
    assert found == f"{address}/lab/monocyte/a b.png"


def test_a_manifest_of_a_server_that_lists_nothing_is_read(web: tuple[str, Path, list[str]]) -> None:
    address, folder, _ = web
    laid(folder)("lab/images/a b.png", 7)
    (folder / "lab" / "index.html").write_text("no list")
    (folder / "lab" / "cells.csv").write_text("image,label\nimages/a b.png,monocyte\nimages/none.png,monocyte\n")
    lab = read_domain(f"{address}/lab/cells.csv?sig=secret")
    assert lab.table["path"].tolist() == ["images/a b.png"]
    assert lab.left_out["reason"].tolist() == ["no such file"]
    with pytest.raises(InputError, match="/lab: is not there, or holds no"):
        read_domain(f"{address}/lab")


def test_a_server_that_is_not_there_is_no_missing_file(web: tuple[str, Path, list[str]]) -> None:
    closed = "http://me:secret@127.0.0.1:9"
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/lab: can't be reached") as error:
        read_domain(f"{closed}/lab")
    assert "secret" not in str(error.value)
    with pytest.raises(DorlError, match=r"^http://127.0.0.1:9/lab/a.png: can't be reached") as error:
        read_domain(f"{closed}/lab/a.png?sig=secret")
    assert "secret" not in str(error.value)
    with pytest.raises(InputError, match=r"/none.png: no such file"):
        read_domain(f"{web[0]}/none.png")
