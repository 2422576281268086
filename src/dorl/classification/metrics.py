"""Scores of predicted classes against true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: heading of the last column of a confusion matrix: predictions that are none of the compared classes
OTHER = "other"


def confusion(true: ArrayLike, predicted: ArrayLike, classes: Sequence[str]) -> NDArray[np.int64]:
    """Count cells by true and predicted class.

    Parameters
    ----------
    true : array of str, shape (n_cells,)
        Each one of `classes`.
    predicted : array of str or None, shape (n_cells,)
        What is not one of `classes` goes to the last column.
    classes : sequence of str

    Returns
    -------
    int array of shape (n_classes, n_classes + 1)
        Rows are true classes; the last column is "other".
    """
    index = {name: position for position, name in enumerate(classes)}
    outside = len(index)
    rows = np.array([index[name] for name in np.asarray(true, dtype=object)], dtype=np.int64)
    columns = np.array([index.get(n, outside) for n in np.asarray(predicted, dtype=object)], dtype=np.int64)
    counts = np.zeros((len(index), len(index) + 1), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def scores(true: ArrayLike, predicted: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1, each from 0 to 1.

    The last two are means over the classes present in `true`; without any cell all three are NaN.

    Parameters
    ----------
    true : array of str, shape (n_cells,)
    predicted : array of str or None, shape (n_cells,)
        A prediction outside `classes` is wrong.
    classes : sequence of str

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy`` (mean recall) and ``macro_f1``.
    """
    counts = confusion(true, predicted, classes)
    actual = counts.sum(axis=1)
    present = actual > 0
    if not present.any():
        return {"accuracy": np.nan, "balanced_accuracy": np.nan, "macro_f1": np.nan}
    hits = np.diagonal(counts)[present]
    claimed = counts[:, :-1].sum(axis=0)[present]
    return {
        "accuracy": float(hits.sum() / actual.sum()),
        "balanced_accuracy": float((hits / actual[present]).mean()),
        "macro_f1": float((2 * hits / (actual[present] + claimed)).mean()),
    }
