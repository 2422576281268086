"""Frozen backbone features and logistic regression, plain and standardised per lab."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.features import inside_mask
from dorl.benchmark.methods.method import SOURCE_VALIDATION, Fitted
from dorl.benchmark.methods.selection import HIDDEN, SOURCE, TARGET, choose_without_labels, split_source

#: inverse strengths of the regularisation that are compared
STRENGTHS = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Frozen:
    """Tokens averaged inside the mask, standardised by the source, logistic regression.

    Parameters
    ----------
    strengths : tuple of float
        Values of C; the one with the best balanced accuracy on held-out source cells is taken.
    """

    strengths: tuple[float, ...] = STRENGTHS

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` are not looked at."""
        steps = [("scale", StandardScaler()), ("model", LogisticRegression(max_iter=1000, random_state=seed))]
        search = GridSearchCV(
            Pipeline(steps),
            {"model__C": list(self.strengths)},
            cv=[split_source(source.numbers, seed)],
            scoring="balanced_accuracy",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes too rare to be held out
            search.fit(inside_mask(source.cells), source.labels.astype(str))
        setting = f"C={search.best_params_['model__C']:g}"

        def predict(cells: Cells) -> NDArray[np.object_]:
            return search.predict(inside_mask(cells)).astype(object)

        return [Fitted(predict, setting=setting, chosen_by=SOURCE_VALIDATION)]


@dataclass(frozen=True)
class PerLab:
    """As `Frozen`, each lab's features standardised by that lab's own mean and deviation.

    The target's statistics come from the unlabelled cells given to `fit`; single cells can be predicted afterwards.
    A feature-wise form of AdaBN (Li et al. 2016, arXiv 1603.04779).

    Parameters
    ----------
    strengths : tuple of float
        Values of C, of which a label-free scorer chooses.
    scorer : str
        One of `dorl.benchmark.methods.selection.SCORERS`.
    """

    strengths: tuple[float, ...] = STRENGTHS
    scorer: str = "dev"

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` is one lab."""
        from skada import make_da_pipeline

        (target,) = targets
        scalers = {}
        features = {}
        for cells in (source.cells, target):
            scalers[cells.lab] = StandardScaler()
            features[cells.lab] = scalers[cells.lab].fit_transform(inside_mask(cells)).astype(np.float32)
        X, other = features[source.cells.lab], features[target.lab]
        numbers, classes = source.numbers, np.array(source.classes, object)

        def learn(strength: float, rows: NDArray[np.intp]) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
            model = make_da_pipeline(LogisticRegression(C=strength, max_iter=1000, random_state=seed))
            y = np.concatenate([numbers[rows], np.full(len(other), HIDDEN)])
            domain = np.concatenate([np.full(len(rows), SOURCE), np.full(len(other), TARGET)])
            model.fit(np.concatenate([X[rows], other]), y, sample_domain=domain)
            return model, X, other

        best, chosen_by = choose_without_labels(self.strengths, learn, numbers, scorer=self.scorer, seed=seed)
        model, _, _ = learn(best, np.arange(len(numbers)))

        def predict(cells: Cells) -> NDArray[np.object_]:
            scaled = scalers[cells.lab].transform(inside_mask(cells)).astype(np.float32)
            return classes[model.predict(scaled, sample_domain=np.full(len(cells), TARGET))]

        return [Fitted(predict, setting=f"C={best:g}", chosen_by=chosen_by)]
