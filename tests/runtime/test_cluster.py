"""Parts of some work on a Ray cluster."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dorl.errors import DorlError, InputError
from dorl.runtime import cluster
from dorl.runtime.cluster import over_cluster, parts_for


def test_parts_depend_on_the_inputs_alone() -> None:
    assert parts_for(0, 0) == 1
    assert parts_for(60, 2) == 2
    assert parts_for(1000, 32) == 16
    assert parts_for(1_000_000, 31_250) == 1954


def test_actors_share_out_the_machines() -> None:
    assert cluster._actors([{"CPU": 16.0}, {"CPU": 6.0}, {}])[0] == 5
    assert cluster._actors([{"CPU": 1.0}, {"CPU": 1.0}])[0] == 2
    assert cluster._actors([{"CPU": 64.0, "GPU": 2.0}, {"CPU": 8.0}])[0] == 2
    assert cluster._actors([{"CPU": 16.0}])[1]["num_cpus"] == 4


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'dorl\[ray\]'"):
        over_cluster("auto", lambda: print, [1])


def test_an_address_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance")

    standin = SimpleNamespace(is_initialized=lambda: False, init=refused)
    monkeypatch.setitem(sys.modules, "ray", standin)
    with pytest.raises(InputError, match="no Ray cluster at 'auto': start one with ray start --head"):
        over_cluster("auto", lambda: print, [1])


@pytest.mark.slow
@pytest.mark.posix
def test_a_killed_workers_part_is_done_again(ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def make() -> Any:
        def do(part: int) -> None:
            begun = Path(f"begun-{part}")
            if part == 3 and not begun.exists():
                begun.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            Path(f"{part}.txt").write_text(str(os.getpid()), encoding="utf-8")

        return do

    over_cluster(ray_cluster, make, range(8))
    done = [path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.txt"))]
    assert len(done) == 8
    assert len(set(done)) == 3  # two workers, and the one in place of that which was killed


@pytest.mark.slow
def test_what_is_wrong_in_a_worker_is_said_here(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def refusing() -> Any:
        raise InputError("no such run; give another")

    def failing() -> Any:
        return lambda part: 1 / part

    with pytest.raises(InputError, match=r"^no such run; give another$"):
        over_cluster(ray_cluster, refusing, [1])
    with pytest.raises(DorlError, match="a worker failed: ZeroDivisionError"):
        over_cluster(ray_cluster, failing, [0])
