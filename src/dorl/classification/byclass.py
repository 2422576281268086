"""Measures of a class at a time, agreement beyond chance, and the confusion at each node of the tree.

Which measure answers which question follows Maier-Hein, Reinke et al., *Metrics reloaded: recommendations for image
analysis validation*, Nat. Methods 21 (2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dorl import taxonomy
from dorl.classification.answers import Answers, Key, confusion_of
from dorl.classification.mix import shares_of
from dorl.errors import InputError

#: columns of `class_measures`; shares from 0 to 1
COLUMNS = (
    *("class", "cells", "sensitivity", "specificity", "ppv", "npv", "ppv_blood", "npv_blood", "share_blood"),
    *("roc_auc", "average_precision"),
)
#: columns of `node_table`
NODES = ("train", "test", "method", "classifier", "node", "true", "predicted", "cells")
#: columns of `reliability`
BINS = ("low", "high", "cells", "confidence", "accuracy")


def class_measures(answers: Answers) -> pd.DataFrame:
    """What a laboratory asks of each class, one against the rest.

    Parameters
    ----------
    answers : Answers

    Returns
    -------
    DataFrame
        `COLUMNS`, a row a class: ``cells`` of it; ``sensitivity`` and ``specificity``, as of `confusion_of`;
        predictive values ``ppv`` and ``npv`` at the mix of classes of these cells, and at that of normal adult blood
        (``ppv_blood``, ``npv_blood``, by Bayes' theorem from ``share_blood``, among the classes compared); areas under
        the ROC curve and, as average precision, the precision-recall curve where probabilities are known. NaN where a
        measure has no cell to be counted on.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    here, table = answers.compared(), confusion_of(answers)
    count = len(here.classes)
    blood = blood_shares(here.classes)
    rows = []
    for number, name in enumerate(here.classes):
        cells = here.true == number
        hit, predicted = table[number, number], table[:, number].sum()
        of, total = table[number].sum(), table.sum()
        sensitivity, specificity = _ratio(hit, of), _ratio(total - of - predicted + hit, total - of)
        share = float(blood[number]) if blood is not None else np.nan
        row: dict[str, object] = {"class": name, "cells": int(cells.sum())}
        row |= {"sensitivity": sensitivity, "specificity": specificity}
        row |= {"ppv": _ratio(hit, predicted), "npv": _ratio(total - of - predicted + hit, total - predicted)}
        row["ppv_blood"] = _ratio(sensitivity * share, sensitivity * share + (1 - specificity) * (1 - share))
        row["npv_blood"] = _ratio(specificity * (1 - share), specificity * (1 - share) + (1 - sensitivity) * share)
        row["share_blood"] = share
        if here.probabilities is not None and 0 < cells.sum() < len(cells) and count > 1:
            row["roc_auc"] = float(roc_auc_score(cells, here.probabilities[:, number]))
            row["average_precision"] = float(average_precision_score(cells, here.probabilities[:, number]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def blood_shares(classes: Sequence[str]) -> NDArray[np.float64] | None:
    """Shares of classes (C,) among them in normal adult blood; None where it holds none of them."""
    if not len(classes):
        return None
    try:
        return shares_of("blood", classes, np.ones(len(classes)))
    except InputError:
        return None


def kappa(counts: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Cohen's kappa: agreement beyond what chance gives, 1 at most.

    Parameters
    ----------
    counts : array of shape (C, C) or (C, C + 1)
        Cells. Rows are true classes; a last column more is that of other answers.
    weights : float array of the same shape, optional
        How grave each confusion is, 0 for none; 1 for each error by default.

    Returns
    -------
    float
        NaN without cells, or where chance alone gives no error.

    References
    ----------
    Cohen, Educ. Psychol. Meas. 20 (1960); Cohen, *Weighted kappa*, Psychol. Bull. 70 (1968).
    """
    table = np.asarray(counts, np.float64)
    grave = 1 - np.eye(*table.shape) if weights is None else np.asarray(weights, np.float64)
    if not table.sum():
        return float("nan")
    table = table / table.sum()
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    return 1 - _ratio((grave * table).sum(), (grave * chance).sum())


def tree_weights(classes: Sequence[str]) -> NDArray[np.float64]:
    """How far classes lie apart in the tree: float (C, C + 1), steps from one to the other; the last to the root."""
    roads = [(name, *taxonomy.ancestors(name)) for name in classes]

    def steps(a: tuple[str, ...], b: tuple[str, ...]) -> int:
        return len(a) + len(b) - 2 * len(set(a) & set(b))

    return np.array([[steps(a, b) for b in [*roads, roads[0][-1:]]] for a in roads], np.float64)


def node_confusions(
    classes: Sequence[str], counts: ArrayLike
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """How the branches below each node of the tree are taken for one another.

    Parameters
    ----------
    classes : sequence of str, length C
    counts : array of shape (C, C + 1)
        Cells, as of `confusion_of`.

    Returns
    -------
    dict of node to (branches, float array of shape (B, B + 1))
        Nodes with two branches or more that hold a class, from the root down; cells truly of these branches. A branch
        is a child of the node; the last column counts the answers outside them.
    """
    roads = {name: (name, *taxonomy.ancestors(name))[::-1] for name in classes}  # the root first
    found = {}
    for node in taxonomy.NODES:
        depth = len(taxonomy.ancestors(node))
        branch = [road[depth + 1] if len(road) > depth + 1 and road[depth] == node else None for road in roads.values()]
        branches = tuple(dict.fromkeys(one for one in branch if one is not None))
        if len(branches) < 2:
            continue
        place = [len(branches) if one is None else branches.index(one) for one in branch]
        table = np.zeros((len(branches) + 1, len(branches) + 1))
        for row, line in zip(place, np.asarray(counts, np.float64), strict=True):
            np.add.at(table, (row, [*place, len(branches)]), line)
        found[node] = branches, table[:-1].round(9)
    return found


def reliability(answers: Answers, *, bins: int = 10) -> pd.DataFrame:
    """How often answers of a confidence are right.

    Returns
    -------
    DataFrame
        `BINS`, a row a bin of confidence, 0-1, of equal width that holds a cell: mean confidence and accuracy there.
        Confidence is the likeliest compared class's probability. Without rows where no probability is known.
    """
    here = answers.compared()
    if here.probabilities is None or not len(here.true):
        return pd.DataFrame(columns=list(BINS))
    confidence = here.probabilities.max(axis=1)
    right = here.probabilities.argmax(axis=1) == here.true
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [
        (one / bins, (one + 1) / bins, int(keep.sum()), float(confidence[keep].mean()), float(right[keep].mean()))
        for one in range(bins)
        if (keep := place == one).any()
    ]
    return pd.DataFrame(rows, columns=list(BINS))


def class_table(answers: Mapping[Key, Answers]) -> pd.DataFrame:
    """`class_measures` of each key, with the columns train, test, method and classifier before them."""
    names = ("train", "test", "method", "classifier")
    parts = []
    for key, of in answers.items():
        part = class_measures(of)
        for place, (name, value) in enumerate(zip(names, key, strict=True)):
            part.insert(place, name, value)
        parts.append(part)
    whole = [part for part in parts if len(part)]
    return pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=[*names, *COLUMNS])


def node_table(answers: Mapping[Key, Answers]) -> pd.DataFrame:
    """`node_confusions` of each key as one table, `NODES`; the answer ``other`` is any outside the node's branches."""
    rows = []
    for key, of in answers.items():
        for node, (branches, counts) in node_confusions(of.classes, confusion_of(of)).items():
            for true, line in zip(branches, counts, strict=True):
                for predicted, cells in zip((*branches, "other"), line, strict=True):
                    rows.append((*key, node, true, predicted, round(float(cells), 4)))
    return pd.DataFrame(rows, columns=list(NODES))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
