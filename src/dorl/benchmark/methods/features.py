"""Frozen features: the backbone's tokens averaged, one vector a cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dorl.benchmark.methods.cells import Cells
from dorl.cells.pooling import masked_mean

#: cells that are averaged at once
BATCH = 256


def in_batches(cells: Cells, function: Callable[[NDArray[np.intp]], np.ndarray]) -> NDArray[np.float32]:
    """Map `function` over numbers of cells, `BATCH` at a time, and stack: float32 (N, D)."""
    numbers = np.arange(len(cells), dtype=np.intp)
    parts = [function(numbers[start : start + BATCH]) for start in range(0, len(cells), BATCH)]
    return np.concatenate(parts).astype(np.float32)


def inside_mask(cells: Cells) -> NDArray[np.float32]:
    """Tokens of the square crop, averaged inside the cell's mask: float32 (N, D)."""
    return in_batches(cells, lambda rows: masked_mean(*cells.batch(rows, "tokens", "masks")))


def whole_image(cells: Cells) -> NDArray[np.float32]:
    """Tokens of the whole image, averaged over all of it: float32 (N, D)."""
    return in_batches(cells, lambda rows: cells.published(rows, "tokens")[0].astype(np.float32).mean((2, 3)))
