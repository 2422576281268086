"""`predict`, `count` and `embed` on a Ray cluster of two workers, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dorl.commands.count import count
from dorl.commands.embed import embed
from dorl.commands.predict import predict
from web_server import serving

pytestmark = [pytest.mark.slow, pytest.mark.posix]


def killed_once(notes: Path, result: Callable[[], object]) -> int:
    """Kill a worker once a shard has left its note; how many were killed before the result was there."""
    psutil = pytest.importorskip("psutil")
    over, killed = threading.Event(), []

    def kill() -> None:
        while not over.wait(0.05):
            if not any(notes.glob("*.json")):
                continue
            for process in psutil.process_iter(["name", "cmdline", "ppid"]):
                words = process.info["cmdline"] or [""]
                if words[0].startswith("ray::_Actor.do") and os.getpid() in {above.pid for above in process.parents()}:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result()
    finally:
        over.set()
        killer.join()
        time.sleep(0.1)
    return len(killed)


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "writing.lock"]
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    return {name: data for name, data in names.items() if not name.startswith(".")}


def test_what_a_cluster_predicts_is_the_table_of_one_process(
    ray_cluster: str, fitted: Path, rendered: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):  # in batches of 32 enough for several parts of each worker
        for path in (rendered / "dune" / "images").iterdir():
            shutil.copy(path, images / f"{number}-{path.name}")
    (images / "0-003.png").write_bytes(b"damaged")
    predict(fitted, images, out=tmp_path / "alone.csv")
    out = tmp_path / "out.csv"
    notes = tmp_path / "out.csv.shards"
    killed = killed_once(notes, lambda: predict(fitted, images, out=out, ray=ray_cluster))
    assert killed == 1
    assert out.read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert not notes.exists()


def test_what_a_cluster_embeds_is_the_store_of_one_process(ray_cluster: str, labs: list[str], tmp_path: Path) -> None:
    embed(labs, out=tmp_path / "alone")
    out = tmp_path / "out"
    killed = killed_once(out / "shards", lambda: embed(labs, out=out, ray=ray_cluster))
    assert killed == 1
    assert files(out) == files(tmp_path / "alone")


def test_what_a_cluster_counts_is_the_count_of_one_process(
    ray_cluster: str, fitted: Path, smear: Path, tmp_path: Path
) -> None:
    count([smear], out=tmp_path / "alone", run=fitted)
    out = tmp_path / "out"
    killed_once(out / "shards", lambda: count([smear], out=out, run=fitted, ray=ray_cluster))
    assert files(out) == files(tmp_path / "alone")


def test_a_cluster_reads_urls(
    ray_cluster: str, labs: list[str], smear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="the Python package aiohttp (dorl[remote]) is not installed")
    monkeypatch.setenv("DORL_CACHE", str(tmp_path / "cache"))
    name, manifest = labs[0].split("=")
    with serving(Path(manifest).parents[1]) as (address, asked):
        url = f"{name}={address}/{'/'.join(Path(manifest).parts[-2:])}"
        embed([url], out=tmp_path / "alone")
        fetched = len(asked)
        embed([url], out=tmp_path / "embedded", ray=ray_cluster)
        assert len(asked) == fetched  # workers have the command's cache
    assert files(tmp_path / "embedded") == files(tmp_path / "alone")
    with serving(smear) as (address, _):
        count([f"{address}/again"], out=tmp_path / "here")
        count([f"{address}/again"], out=tmp_path / "counted", ray=ray_cluster)
    assert files(tmp_path / "counted") == files(tmp_path / "here")
