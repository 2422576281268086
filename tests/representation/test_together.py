"""Two real processes train as one does, and go on when one has died."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.cells import CellStore

SCRIPT = Path(__file__).with_name("train_together.py")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 cells of three labs of unequal size."""
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2], [12, 8, 4])
    tokens = rng.normal(size=(24, 16, 4, 4)) + domain[:, None, None, None]
    crops = rng.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("together") / "cells"
    made = CellStore.create(path, width=16, grid=4, mask_size=16, crop_size=16)
    rows = [{"key": str(i), "domain": int(lab)} for i, lab in enumerate(domain)]
    made.append(tokens, np.ones((24, 16, 16), bool), crops, rows)
    return path


def train(store: Path, out: Path, processes: int, *, accumulate: int = 1, dies_at: int = -1) -> list[int]:
    """Exit statuses of the processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    for rank in range(processes):
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        words = [sys.executable, str(SCRIPT), str(store), str(out), str(accumulate), str(dies_at)]
        running.append(subprocess.Popen(words, env={**os.environ, **{k: str(v) for k, v in own.items()}}))
    return [process.wait(timeout=120) for process in running]


def curve(out: Path) -> pd.DataFrame:
    return pd.read_csv(out.with_suffix(".csv"))


@pytest.fixture(scope="module")
def alone(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process comes to."""
    out = tmp_path_factory.mktemp("alone") / "a.safetensors"
    assert train(store, out, 1) == [0]
    return out


@pytest.mark.slow
def test_two_processes_come_to_what_one_comes_to(store: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    assert train(store, out, 2) == [0, 0]  # a batch of 9 has parts of 5 and 4
    pd.testing.assert_frame_equal(curve(out), curve(alone), rtol=1e-4, atol=1e-5)
    one, two = (np.load(path.with_suffix(".npy")) for path in (alone, out))
    assert np.abs(two - one).max() < 0.02 * one.std()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.npy", "a.safetensors"]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_a_second_start_goes_on(
    store: Path, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.safetensors"
    statuses = train(store, out, 2, dies_at=20)
    assert statuses[1] == 9
    assert statuses[0] not in (0, None)
    assert not out.exists()
    capfd.readouterr()
    assert train(store, out, 2) == [0, 0]
    said = capfd.readouterr().err
    assert "going on at iteration" in said
    assert said.count("going on") == 1  # the main process speaks for all
    pd.testing.assert_frame_equal(curve(out), curve(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradients_of_parts_add_up_in_each_process(store: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    assert train(store, out, 2, accumulate=2) == [0, 0]
    found, expected = curve(out), curve(alone)
    # what parts of few cells say of the labs' difference is other; the rest is as for the whole batch
    for name in ("image", "tokens"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0.02)
