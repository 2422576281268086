"""Scores of predicted classes against true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: heading of the last column of a confusion matrix: predictions that are none of the compared classes
OTHER = "other"
#: what is measured, in the order of `scores_of`
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


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
    return dict(zip(SCORES, scores_of(confusion(true, predicted, classes)).tolist(), strict=True))


def scores_of(confusions: ArrayLike) -> NDArray[np.float64]:
    """Accuracy, balanced accuracy and macro-F1 of many confusion matrices.

    Parameters
    ----------
    confusions : array of shape (..., C, C + 1)
        As of `confusion`.

    Returns
    -------
    float array of shape (..., 3)
        The last two are means over the classes that hold a cell; NaN for a matrix without any.
    """
    counts = np.asarray(confusions, np.float64)
    actual = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    claimed = counts[..., :-1].sum(axis=-2)
    present = actual > 0
    classes, cells = present.sum(axis=-1), actual.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(present, hits / actual, 0.0).sum(axis=-1) / classes
        f1 = np.where(present, 2 * hits / (actual + claimed), 0.0).sum(axis=-1) / classes
        return np.stack([hits.sum(axis=-1) / cells, recall, f1], axis=-1)
