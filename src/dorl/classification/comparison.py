"""How the classes of a training lab are compared with those of a tested lab: by the tree, and flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorl.classification.answers import Answers, collected
from dorl.classification.metrics import confusion, scores
from dorl.taxonomy import flat, shared_level
from dorl.words import counted


class Comparison:
    """Compare predictions of a classifier of lab `train` with the labels of lab `test`.

    Parameters
    ----------
    train, test : str
        Names of the labs.
    train_labels, test_labels : array of str, shape (n_cells,)
        All labels of either lab.

    Attributes
    ----------
    classes : tuple of str
        The classes of the tree comparison.
    """

    def __init__(
        self, train: str, test: str, train_labels: NDArray[np.object_], test_labels: NDArray[np.object_]
    ) -> None:
        self.train, self.test = train, test
        names = np.unique(test_labels.astype(str))
        level = shared_level(sorted(set(train_labels)), names.tolist())
        self.classes: tuple[str, ...] = tuple(level.classes)
        self._level = level
        self._true = np.asarray(level.project_all(test_labels), dtype=object)
        self._true_flat = np.array([flat(name) for name in test_labels], dtype=object)
        flat_predictable = {flat(name) for name in train_labels}
        self._flat_classes = tuple(sorted(flat_predictable | set(self._true_flat)))
        self._labels = test_labels.astype(str)
        self.restrict(np.arange(len(test_labels)))

    def restrict(self, cells: NDArray[np.intp]) -> None:
        """Say which cells are tested, by their row numbers (n,): `summary` and `note` count them and no others."""
        tested = np.zeros(len(self._labels), bool)
        tested[cells] = True
        compared = np.array([name is not None for name in self._true], bool)
        self._compared = int((tested & compared).sum())
        names, counts = np.unique(self._labels[tested & ~compared], return_counts=True)
        self._lost = dict(zip(names.tolist(), counts.tolist(), strict=True))

    def tree(
        self, cells: NDArray[np.intp], predicted: NDArray[np.object_]
    ) -> tuple[dict[str, float], NDArray[np.int64]]:
        """Scores and confusion matrix at the level that both labs share.

        Parameters
        ----------
        cells : int array of shape (n,)
            Row numbers of the predicted cells among those of the tested lab.
        predicted : array of str, shape (n,)
            In the words of the training lab.
        """
        true = self._true[cells]
        counted = np.array([name is not None for name in true], dtype=bool)
        projected = np.asarray(self._level.project_all(predicted), dtype=object)
        return (
            scores(true[counted], projected[counted], self.classes),
            confusion(true[counted], projected[counted], self.classes),
        )

    def wrong(self, cells: NDArray[np.intp], predicted: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each cell counts as wrong in the comparison by the tree; parameters as for `tree`, result (n,)."""
        projected = np.asarray(self._level.project_all(predicted), dtype=object)
        return np.array(
            [true is not None and given != true for true, given in zip(self._true[cells], projected, strict=True)], bool
        )

    def flat(self, cells: NDArray[np.intp], predicted: NDArray[np.object_]) -> dict[str, float]:
        """Scores of the paper's comparison: flat names, all cells; parameters as for `tree`."""
        flattened = np.array([flat(name) for name in predicted], dtype=object)
        return scores(self._true_flat[cells], flattened, self._flat_classes)

    def answers(
        self,
        folds: Sequence[tuple[NDArray[np.intp], NDArray[np.object_]]],
        units: NDArray[np.int64],
        *,
        by_patient: bool,
        probabilities: NDArray[np.float64] | None = None,
    ) -> tuple[Answers, Answers]:
        """All folds' answers, compared by the tree and flat; parameters as for `collected`, in the lab's own words."""
        tree = [(cells, np.asarray(self._level.project_all(predicted), object)) for cells, predicted in folds]
        flattened = [(cells, np.array([flat(name) for name in predicted], object)) for cells, predicted in folds]
        return (
            collected(self.classes, self._true, tree, units, by_patient=by_patient, probabilities=probabilities),
            collected(self._flat_classes, self._true_flat, flattened, units, by_patient=by_patient),
        )

    def gathered(self, probabilities: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities (n, K) of the training lab's classes, summed up to those of the tree comparison (n, C)."""
        found = np.zeros((len(probabilities), len(self.classes)))
        for column, name in enumerate(self._level.project_all(classes)):
            if name is not None:
                found[:, self.classes.index(name)] += probabilities[:, column]
        return found

    def summary(self) -> dict[str, Any]:
        """The row of `ProtocolResult.pairs`."""
        return {
            "train": self.train,
            "test": self.test,
            "cells": self._compared,
            "left_out": sum(self._lost.values()),
            "classes": self.classes,
        }

    def note(self) -> str | None:
        """What the reader should know about the cells left out, or None."""
        if not self._lost:
            return None
        count = counted(len(self._lost), "class has", "classes have")
        listed = ", ".join(f"{name} {cells}" for name, cells in self._lost.items())
        return (
            f"{self.train} → {self.test}: {count} no counterpart in {self.train} "
            f"(cells: {listed}): left out of the tree comparison, counted in the flat one."
        )
