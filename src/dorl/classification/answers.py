"""What the classifiers of a protocol said of each cell, and the tables of intervals and tests that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dorl.classification.bootstrap import Difference, Interval, compare, holm, score_intervals
from dorl.classification.metrics import SCORES

#: (train, test, method, classifier)
Key = tuple[str, str, str, str]
#: what is told apart has a corrected p below this
ALPHA = 0.05
#: marks in tables what isn't told apart from the best of its column
ALIKE = "≈"
#: columns of `intervals_table`
INTERVALS = (
    *("train", "test", "method", "classifier", "cells", "units", "drawn"),
    *(f"{score}{limit}" for score in SCORES for limit in ("", "_low", "_high")),
    *("best", "difference", "difference_low", "difference_high"),
    *("p_bootstrap", "p_mcnemar", "p_holm", "told_apart"),
)


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one classifier, fitted once a fold, about one lab's cells.

    Parameters
    ----------
    classes : tuple of str, length C
        That are compared.
    true : int array of shape (N,)
        Number of each cell's class; -1 where it has no counterpart, and isn't compared.
    predicted : int array of shape (F, N)
        Of each fold; C for an answer that is none of the classes, -1 where the fold's classifier wasn't asked.
    units : int array of shape (N,)
        The same number for cells that belong together: of a patient where that is known, and copies.
    by_patient : bool
        Whether a patient is known of any cell.
    probabilities : float array of shape (N, C), optional
        Mean over the folds that were asked; what they leave to 1 belongs to other classes.
    """

    classes: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    units: NDArray[np.int64]
    by_patient: bool = False
    probabilities: NDArray[np.float64] | None = None

    def compared(self) -> Answers:
        """The cells that have a counterpart and were asked about."""
        keep = (self.true >= 0) & (self.predicted >= 0).any(axis=0)
        probabilities = None if self.probabilities is None else self.probabilities[keep]
        return Answers(
            self.classes, self.true[keep], self.predicted[:, keep], self.units[keep], self.by_patient, probabilities
        )

    @property
    def right(self) -> NDArray[np.float64]:
        """Share of the folds asked about each cell that were right (N,)."""
        asked = self.predicted >= 0
        return ((self.predicted == self.true) & asked).sum(axis=0) / np.maximum(asked.sum(axis=0), 1)

    @property
    def drawn(self) -> str:
        """What a bootstrap draws, for a caption."""
        return "patients" if self.by_patient else "cells"

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """`score_intervals` of the compared cells."""
        here = self.compared()
        return score_intervals(here.true, here.predicted, len(here.classes), here.units, seed=seed)


def collected(
    classes: Sequence[str],
    true: NDArray[np.object_],
    folds: Iterable[tuple[NDArray[np.intp], NDArray[np.object_]]],
    units: NDArray[np.int64],
    *,
    by_patient: bool = False,
    probabilities: NDArray[np.float64] | None = None,
) -> Answers:
    """`Answers` of class names.

    Parameters
    ----------
    classes : sequence of str
    true : object array of shape (N,)
        None where a cell isn't compared.
    folds : iterable of (int array (n,), object array (n,))
        The cells that each fold's classifier was asked about, and its answers in the same words as `true`.
    units, by_patient, probabilities
        As for `Answers`.
    """
    number = {name: place for place, name in enumerate(classes)}
    asked = list(folds)
    numbers = np.full((len(asked), len(true)), -1, np.int64)
    for fold, (cells, predicted) in enumerate(asked):
        numbers[fold, cells] = [number.get(name, len(number)) for name in predicted]
    known = np.array([-1 if name is None else number[name] for name in true], np.int64)
    return Answers(tuple(classes), known, numbers, units, by_patient, probabilities)


def confusion_of(answers: Answers) -> NDArray[np.float64]:
    """Cells by true and predicted class: float (C, C + 1), the last column other answers.

    Each cell counts once: where F folds were asked about it, each of their answers counts 1 / F.
    """
    count = len(answers.classes)
    table = np.zeros((count, count + 1))
    asked = np.maximum((answers.predicted >= 0).sum(axis=0), 1)
    for predicted in answers.predicted:
        keep = (predicted >= 0) & (answers.true >= 0)
        np.add.at(table, (answers.true[keep], predicted[keep]), 1 / asked[keep])
    return table.round(9)


def intervals_table(answers: Mapping[Key, Answers], *, seed: int = 0) -> pd.DataFrame:
    """Scores with their intervals, and each row against the best of its pair of labs.

    Returns
    -------
    DataFrame
        `INTERVALS`, a row a key: ``cells`` compared, of so many ``units``, which are ``drawn`` (patients or cells); the
        scores, 0-1, and their limits; whether the row is the ``best`` of its pair by accuracy, else how far below the
        best it is, with the limits and p of `dorl.classification.bootstrap.compare`; ``p_holm``, corrected over the
        rows of the pair; and ``told_apart``, whether that is below `ALPHA`.
    """
    rows: list[dict[str, object]] = []
    for train, test in dict.fromkeys(key[:2] for key in answers):
        here = {key: of.compared() for key, of in answers.items() if key[:2] == (train, test)}
        found = {key: of.intervals(seed=seed) for key, of in here.items()}
        some = {key: of for key, of in here.items() if len(of.true)}
        best = max(some, key=lambda key: some[key].right.mean(), default=None)
        against = {} if best is None else _against(best, some, seed)
        p = dict(zip(against, holm([of.p for of in against.values()]), strict=True))
        for key, of in here.items():
            row: dict[str, object] = dict(zip(("train", "test", "method", "classifier"), key, strict=True))
            row |= {"cells": len(of.true), "units": len(np.unique(of.units)), "drawn": of.drawn}
            for score, interval in found[key].items():
                row |= {score: interval.value, f"{score}_low": interval.low, f"{score}_high": interval.high}
            row["best"] = key == best
            if key in against:
                apart = against[key]
                row |= {"difference": apart.value, "difference_low": apart.low, "difference_high": apart.high}
                row |= {"p_bootstrap": apart.p_bootstrap, "p_mcnemar": apart.p_mcnemar, "p_holm": float(p[key])}
                row["told_apart"] = bool(p[key] < ALPHA)
            rows.append(row)
    return pd.DataFrame(rows, columns=list(INTERVALS))


def _against(best: Key, answers: Mapping[Key, Answers], seed: int) -> dict[Key, Difference]:
    """Each other row of a pair of labs that was asked about the same cells, compared with the best."""
    top = answers[best]
    return {
        key: compare(of.right, top.right, of.units, seed=seed)
        for key, of in answers.items()
        if key != best and len(of.true) == len(top.true)
    }
