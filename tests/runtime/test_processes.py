"""Several processes of one command: who does what, and what is said when one fails."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.errors import DorlError, InputError
from dorl.runtime import processes
from dorl.runtime.processes import (
    LOST,
    SUPERVISED,
    _verdict,
    gathered,
    in_turn,
    is_main,
    launch,
    lost_another,
    several,
    share,
)
from dorl.runtime.progress import say, track

DORL = [sys.executable, "-m", "dorl"]


def pretend(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(count))


def test_one_process_is_the_main_one_and_waits_for_none() -> None:
    assert is_main()
    assert not several()
    assert gathered(3) == [3]
    assert in_turn(lambda: "main", lambda: "other") == "main"
    assert share(range(7), 2) == list(range(7))


def test_shares_are_whole_batches_and_together_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for rank in range(3):
        pretend(monkeypatch, rank, 3)
        shares.append(share(range(20), 4))
    assert shares == [[0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16, 17, 18, 19], [8, 9, 10, 11]]


def test_others_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch, 1, 2)
    monkeypatch.setattr("sys.stderr", Terminal())
    say("something")
    assert list(track([1, 2], total=2, what="counting")) == [1, 2]
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [({0: 2, 1: LOST}, 2), ({0: 1, 1: -signal.SIGTERM}, 1), ({1: 2, 0: 1}, 1), ({0: LOST}, LOST)],
)
def test_the_main_process_has_said_why(statuses: dict[int, int], expected: int, tmp_path: Path) -> None:
    assert _verdict(statuses, 2, tmp_path) == expected


@pytest.mark.posix
@pytest.mark.parametrize(
    ("statuses", "kind", "message"),
    [
        (
            {0: LOST, 1: -signal.SIGKILL},
            DorlError,
            r"process 2 of 2 was killed \(SIGKILL\), which the system does when memory",
        ),
        ({0: -signal.SIGSEGV, 1: LOST}, DorlError, r"process 1 of 2 was killed \(SIGSEGV\); the same command goes on"),
        ({0: LOST, 1: 2}, InputError, "process 2 of 2 failed: no such file; the same command goes on"),
        ({1: 1, 0: -signal.SIGTERM}, DorlError, "process 2 of 2 failed: no such file"),
        ({1: -signal.SIGTERM, 0: -signal.SIGTERM}, DorlError, r"process 2 of 2 was killed \(SIGTERM\)"),
    ],
)
def test_a_silent_process_that_failed_is_told_of(
    statuses: dict[int, int], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    log = tmp_path / "run" / "attempt_0" / "1" / "stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("a warning\ndorl: no such file\n\n")
    with pytest.raises(DorlError, match=message) as caught:
        _verdict(statuses, 2, tmp_path)
    assert type(caught.value) is kind


def test_only_a_broken_connection_means_that_another_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:9234")
    assert not lost_another(gone)
    pretend(monkeypatch, 0, 2)
    assert lost_another(gone)
    assert not lost_another(RuntimeError("out of memory"))
    assert not lost_another(InputError("Connection closed by peer"))


@pytest.mark.parametrize("number", [0, -1])
def test_no_process_at_all(number: int) -> None:
    with pytest.raises(InputError, match=f"processes is {number}: give 1 or more"):
        launch(["fit"], number)


def test_a_command_that_cannot_be_divided(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch, 0, 2)
    assert subprocess.run([*DORL, "report", "run"]).returncode == 2
    assert capfd.readouterr().err == "dorl: report is done by one process; embed, fit, evaluate take several\n"


@pytest.mark.slow
def test_wrong_input_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["embed", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"), "--processes", "2"]
    assert subprocess.run([*DORL, *words]).returncode == 2
    said = capfd.readouterr().err
    assert said.startswith("dorl: ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_fit_in_two_processes_is_fit_in_one(labs: list[str], fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["fit", *labs, "--out", str(out), "--iterations", "4", "--folds", "2", "--seed", "3", "--processes", "2"]
    assert subprocess.run([*DORL, *words]).returncode == 0
    names = {str(path.relative_to(fitted)) for path in fitted.rglob("*")}
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == names  # no shard is left
    assert (out / "config.toml").read_text() == (fitted / "config.toml").read_text()
    assert (out / "cells/index.jsonl").read_bytes() == (fitted / "cells/index.jsonl").read_bytes()
    for name in ("views",):
        one, two = (np.fromfile(run / f"cells/{name}.bin", "<f2").astype(np.float32) for run in (fitted, out))
        there = np.isfinite(one)
        np.testing.assert_array_equal(there, np.isfinite(two))
        assert np.abs(two - one)[there].max() <= 0.01 * one[there].std()
    one, two = (pd.read_csv(run / "history.csv") for run in (fitted, out))
    pd.testing.assert_frame_equal(two, one, rtol=1e-3, atol=1e-3)
    assert len(json.loads((out / "metrics.json").read_text())["results"]) > 0


@pytest.mark.posix
@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run_and_the_next_start_goes_on(
    labs: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import psutil

    out = tmp_path / "features"
    words = [*DORL, "embed", *labs, "--out", str(out), "--processes", "2"]
    running = subprocess.Popen(words)
    shard = out / "cells" / "shard-1" / "index.jsonl"
    until = time.monotonic() + 120
    while not (shard.exists() and shard.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    second = next(child for child in psutil.Process(running.pid).children() if child.environ()["RANK"] == "1")
    second.kill()
    assert running.wait(timeout=60) == 1
    assert "dorl: process 2 of 2 was killed (SIGKILL)" in capfd.readouterr().err
    begun = shard.read_text().count("\n")
    assert begun < 60
    # with another number of processes, too
    assert subprocess.run([*DORL, "embed", *labs, "--out", str(out)]).returncode == 0
    assert "cells are embedded already" in capfd.readouterr().err
    rows = [json.loads(line) for line in (out / "cells" / "index.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["key"] for row in rows}) == 60
    assert [row["domain"] for row in rows] == ["harbour"] * 30 + ["dune"] * 30
    assert not list((out / "cells").glob("shard-*"))


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP"])
def test_a_launch_that_is_told_to_end_takes_its_processes_with_it(labs: list[str], tmp_path: Path, how: str) -> None:
    import psutil

    out = tmp_path / "features"
    running = subprocess.Popen([*DORL, "embed", *labs, "--out", str(out), "--processes", "2"])
    shard = out / "cells" / "shard-1" / "cells.json"
    until = time.monotonic() + 120
    while not shard.exists() and time.monotonic() < until:
        time.sleep(0.01)
    children = psutil.Process(running.pid).children()
    running.send_signal(getattr(signal, how))
    assert running.wait(timeout=60) == 130
    assert len(children) == 2
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(arguments: argparse.Namespace) -> None:
        started.append((arguments, dict(os.environ)))

    monkeypatch.setattr("torch.distributed.run.run", start)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert launch(["fit", "lab", "--out", "x"], 4) == 0
    ((arguments, environment),) = started
    assert arguments.nproc_per_node == "4"
    assert arguments.redirects == "1:3,2:3,3:3"
    assert [arguments.training_script, *arguments.training_script_args] == ["dorl", "fit", "lab", "--out", "x"]
    assert environment["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in os.environ
    assert SUPERVISED not in os.environ
