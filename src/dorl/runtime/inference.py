"""Items through a network in batches, as suits the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch

from dorl.runtime.training import prefetch

T = TypeVar("T")
R = TypeVar("R")
#: images of a batch: on a processor, where their activations stay in its cache, and on a GPU
CPU_BATCH, GPU_BATCH = 8, 32


def batch_size(device: torch.device) -> int:
    """Images of a batch on `device`."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


def over_batches(
    function: Callable[[Sequence[T]], R], items: Sequence[T], *, device: torch.device, size: int | None = None
) -> Iterator[tuple[Sequence[T], R]]:
    """Map `function` over batches of `items` in worker threads, in order; reading files is a part of `function`.

    On a processor there are as many workers as torch has threads, and each computes its own batch on one: the many
    small layers of a small network don't wait for each other. On a GPU, two workers read and compute in turn.

    Parameters
    ----------
    function : callable
        From a batch to its result.
    items : sequence
    device : torch.device
    size : int, optional
        Items of a batch; `batch_size` otherwise.

    Yields
    ------
    (batch, result)
    """
    size = size or batch_size(device)
    threads, on_cpu = torch.get_num_threads(), device.type == "cpu"
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    workers = threads if on_cpu else 2
    one = partial(torch.set_num_threads, 1) if on_cpu else None
    try:
        results = prefetch(function, batches, workers=workers, ahead=workers + 1, initializer=one)
        yield from zip(batches, results, strict=True)
    finally:
        torch.set_num_threads(threads)
