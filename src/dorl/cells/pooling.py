"""One vector a cell: its tokens averaged inside its mask."""

from __future__ import annotations

import numpy as np


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
