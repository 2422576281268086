"""Fits at the same time: as many as there are cores for, and the same results."""

from __future__ import annotations

import threading
import time

import pandas as pd
import pytest

from dorl.classification import cross_lab, parallel
from dorl.classification.parallel import in_parallel, own_threads

from .made_up import fine_and_coarse


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 4)


class Counted:
    """How many run at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.threads: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, job: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.append(own_threads())
        time.sleep(0.05)
        with self.lock:
            self.now -= 1
        return job**2


@pytest.mark.parametrize(
    ("jobs", "size", "workers", "threads"),
    [
        (12, 10, 4, 1),
        (2, 10, 2, 2),
        (12, parallel.MAX_BESIDE // 2, 2, 2),
        (12, 2 * parallel.MAX_BESIDE, 1, 4),
        (0, 1, 0, 0),
    ],
    ids=["as many as cores", "fewer jobs", "large", "huge", "none"],
)
def test_cores_are_shared_out_and_never_twice(cores: None, jobs: int, size: int, workers: int, threads: int) -> None:
    counted = Counted()
    assert dict(in_parallel(counted, range(jobs), [size] * jobs)) == {i: i**2 for i in range(jobs)}
    assert counted.most == workers
    assert set(counted.threads) == ({threads} if jobs else set())
    assert own_threads() == 4


def test_a_large_one_runs_alone_after_the_small_ones(cores: None) -> None:
    counted = Counted()
    found = list(in_parallel(counted, [0, 1, 2, 3, 4], [1, 1, parallel.MAX_BESIDE, 1, 1]))
    assert found[-1] == (2, 4)
    assert counted.threads == [1, 1, 1, 1, 4]


def test_an_error_is_that_of_the_job(cores: None) -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda job: 1 // job, [1, 0, 1], [1, 1, 1]))


def test_results_are_those_of_one_fit_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (1, 4):
        monkeypatch.setattr(parallel, "cpu_count", lambda count=count: count)
        found.append(cross_lab(fine_and_coarse(), folds=2))
    one, several = found
    pd.testing.assert_frame_equal(one.results, several.results)
    pd.testing.assert_frame_equal(one.results_flat, several.results_flat)
    assert one.confusions.keys() == several.confusions.keys()
    assert one.notes == several.notes
