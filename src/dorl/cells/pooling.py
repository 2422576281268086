"""One vector a cell: its tokens averaged inside its mask."""

from __future__ import annotations

import numpy as np

from dorl.cells.store import CellStore
from dorl.runtime.progress import track

#: cells of a store that are averaged at once
BATCH = 64


def stored_means(store: CellStore, rows: np.ndarray, *, what: str | None = None) -> np.ndarray:
    """`masked_mean` of some cells of a store, float32 (M, D); how far it is is said where it is told `what` this is."""
    found = np.empty((len(rows), store.header["width"]), np.float32)
    starts = range(0, len(rows), BATCH)
    for start in starts if what is None else track(starts, total=len(starts), what=what):
        part = slice(start, start + BATCH)
        found[part] = masked_mean(*store.batch(rows[part], "tokens", "masks"))
    return found


def masked_mean(tokens: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Average the tokens of each cell, weighted by how much of each token's patch the mask covers.

    Parameters
    ----------
    tokens : float array of shape (B, D, G, G)
    masks : bool array of shape (B, S, S)
        S at least G. Where it is empty, all tokens weigh the same.

    Returns
    -------
    float32 array of shape (B, D)
    """
    batch, _, grid, _ = tokens.shape
    edges = np.linspace(0, masks.shape[1], grid + 1).astype(int)
    covered = np.add.reduceat(masks.astype(np.float32), edges[:-1], axis=1)
    covered = np.add.reduceat(covered, edges[:-1], axis=2)
    covered[covered.sum((1, 2)) == 0] = 1
    weights = covered / covered.sum((1, 2), keepdims=True)
    return np.einsum("bdij,bij->bd", tokens.astype(np.float32), weights.reshape(batch, grid, grid))
