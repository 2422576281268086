"""Many fits at the same time, on as many cores as there are and not more."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import cpu_count
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")

#: bytes that the fits which run at the same time may take together, by estimate: a fit of many cells keeps all cores
#: busy by itself (trees, kernels, BLAS), and many of them at a time would only take more memory
MOST = 2**27
#: copies of its input that a fit makes: the fold, scaled, and in double precision
COPIES = 6

_this = threading.local()


def own_threads() -> int:
    """Threads that a fit may use: all usable cores, or its part of them where others run beside it."""
    return getattr(_this, "threads", None) or cpu_count()


def in_parallel(function: Callable[[T], R], jobs: Sequence[T], *, size: int) -> Iterator[tuple[int, R]]:
    """Map `function` over `jobs` in threads, those first that come first.

    They are threads and no processes, so that all share one copy of the features: what takes long in them (trees, BLAS,
    libsvm, XGBoost) runs beside other Python code. BLAS gets the cores that are left to each.

    Parameters
    ----------
    function : callable
    jobs : sequence
    size : int
        Bytes of a job's input. Large ones run with fewer beside them.

    Yields
    ------
    (number, result)
        Number of the job, as it ends.
    """
    cores = cpu_count()
    workers = max(1, min(cores, len(jobs), MOST // max(1, COPIES * size)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the iteration limits are the paper's
        if workers == 1:
            for number, job in enumerate(jobs):
                yield number, function(job)
            return

        def work(number: int, job: T) -> tuple[int, R]:
            _this.threads = cores // workers
            return number, function(job)

        with threadpool_limits(cores // workers, user_api="blas"):
            parallel = Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=workers)
            yield from parallel(delayed(work)(number, job) for number, job in enumerate(jobs))
