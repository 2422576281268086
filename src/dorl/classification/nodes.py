"""A cell's class by an ancestor where the finer one isn't sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dorl import taxonomy

#: the probability that a node of the tree must have
SURE = 0.9


def finest_sure(probabilities: ArrayLike, classes: Sequence[str], *, sure: float = SURE) -> NDArray[Any]:
    """The finest node of the tree that each cell belongs to with enough probability.

    Parameters
    ----------
    probabilities : float array of shape (N, C)
        Rows sum to 1.
    classes : sequence of str, length C
        Nodes of `dorl.taxonomy`, none above another.
    sure : float
        Least probability of the node: the sum over the classes that it is or that lie below it; 0-1.

    Returns
    -------
    object array of str, shape (N,)
        The likeliest class or one of its ancestors; ``"cell"``, the root, where not even the finest ancestor but that
        is sure.
    """
    chances = np.asarray(probabilities, np.float64)
    best = chances.argmax(1)
    found = np.full(len(chances), "cell", object)
    for number in np.unique(best):
        rows = np.flatnonzero(best == number)
        for node in reversed((classes[number], *taxonomy.ancestors(classes[number]))):
            below = [taxonomy.is_a(name, node) for name in classes]
            enough = chances[rows][:, below].sum(1) >= sure
            found[rows[enough]] = node
    return found


def probability_of(probabilities: ArrayLike, classes: Sequence[str], nodes: ArrayLike) -> NDArray[np.float64]:
    """Probability of each cell's node (N,): the sum over the classes (C,) that it is or that lie below it, (N,)."""
    chances, names = np.asarray(probabilities, np.float64), np.asarray(nodes, object)
    below = {node: np.array([taxonomy.is_a(name, node) for name in classes]) for node in set(names.tolist())}
    return np.array([row[below[node]].sum() for row, node in zip(chances, names, strict=True)], np.float64)
