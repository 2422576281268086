"""Many fits at the same time, on as many cores as there are and not more."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import cpu_count
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from dorl.runtime.memory import give_back_memory

T = TypeVar("T")
R = TypeVar("R")

#: bytes that the fits which run at the same time may take together, by estimate
MAX_BESIDE = 2**28

_this = threading.local()


def own_threads() -> int:
    """Threads that a fit may use: all usable cores, or its part of them where others run beside it."""
    return getattr(_this, "threads", None) or cpu_count()


def in_parallel(function: Callable[[T], R], jobs: Sequence[T], sizes: Sequence[int]) -> Iterator[tuple[T, R]]:
    """Map `function` over `jobs` in threads, in no order.

    They are threads and no processes, so that all share one copy of the features: what takes long in them (trees, BLAS,
    libsvm, XGBoost) runs beside other Python code. Each has the cores that are left to it.

    Parameters
    ----------
    function : callable
    jobs : sequence
    sizes : sequence of int
        Bytes that each job takes, by estimate. Large ones run with fewer beside them, or alone on all cores.

    Yields
    ------
    (job, result)
        As it ends.
    """
    cores = cpu_count()
    beside = [max(1, min(cores, MAX_BESIDE // max(1, size))) for size in sizes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the iteration limits are the paper's
        for most in sorted(set(beside), reverse=True):
            some = [job for job, workers in zip(jobs, beside, strict=True) if workers == most]
            for pair in _side_by_side(function, some, min(most, len(some)), cores):
                give_back_memory()  # what each leaves behind would add up
                yield pair


def _side_by_side(function: Callable[[T], R], jobs: Sequence[T], workers: int, cores: int) -> Iterator[tuple[T, R]]:
    if workers == 1:
        for job in jobs:
            yield job, function(job)
        return

    def work(job: T) -> tuple[T, R]:
        _this.threads = cores // workers
        return job, function(job)

    with threadpool_limits(cores // workers, user_api="blas"):
        parallel = Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=workers)
        yield from parallel(delayed(work)(job) for job in jobs)
