"""Which cells each iteration of the training sees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from dorl.runtime.training import seeded


class Cells(Protocol):
    """What training needs of a `dorl.cells.CellStore`."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]: ...


def balanced_batches(
    domain: np.ndarray, batch_size: int, batches: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw batches that hold every lab, in shares as equal as they can be.

    Parameters
    ----------
    domain : int array of shape (N,)
        Lab of each cell.
    batch_size, batches : int
    rng : numpy Generator

    Yields
    ------
    int array of shape (batch_size,)
        Each lab's cells are drawn without repeats until all were drawn, then anew: a small lab is seen more often.
    """
    labs = np.unique(domain)
    members = [np.flatnonzero(domain == lab) for lab in labs]
    queues = [np.empty(0, int) for _ in labs]
    for number in range(batches):
        picked = []
        for lab in range(len(labs)):
            # what doesn't divide evenly goes to another lab in each batch
            share = batch_size // len(labs) + ((lab + number) % len(labs) < batch_size % len(labs))
            while len(queues[lab]) < share:
                queues[lab] = np.concatenate([queues[lab], rng.permutation(members[lab])])
            picked.append(queues[lab][:share])
            queues[lab] = queues[lab][share:]
        yield np.concatenate(picked)


def training_jobs(
    domain: np.ndarray, batch_size: int, per_epoch: int, done: int, total: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Number and cells of every iteration from `done` on, the same however often the training was interrupted."""
    for epoch in range(done // per_epoch, math.ceil(total / per_epoch)):
        batches = balanced_batches(domain, batch_size, per_epoch, seeded(seed, epoch))
        for offset, picked in enumerate(batches):
            iteration = epoch * per_epoch + offset
            if done <= iteration < total:
                yield iteration, picked
