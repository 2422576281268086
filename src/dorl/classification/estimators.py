"""Thin scikit-learn estimators where a library's own one falls short of real labs.

All of them take class names as labels, may miss a class in training, give probabilities, and predict the
class of the highest probability.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted


class SteadyForest(RandomForestClassifier):
    """`sklearn.ensemble.RandomForestClassifier` that grows its trees in parallel and asks them in turn.

    Trees asked in parallel are summed in the order they answer, and the last bit of a sum decides a tie: the
    same forest would now and then predict another class. Leave ``n_jobs`` at its default.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SteadyForest:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        # -1: all cores that joblib finds usable, container limits included
        with parallel_config(n_jobs=-1):
            return super().fit(X, y, sample_weight)


class SoftmaxSVC(SVC):
    """`sklearn.svm.SVC` with probabilities from a softmax of its decision values.

    A softmax costs nothing and keeps the machine's own decision, where Platt scaling fits it five times over
    and may disagree with it. The numbers rank classes and cells; they are no calibrated frequencies. Build it
    with ``break_ties=True``: only then is the predicted class the one of the highest decision value.
    """

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array of shape (n_cells, n_features)

        Returns
        -------
        float array of shape (n_cells, n_classes), columns as in `classes_`
        """
        values = self.decision_function(X)
        if values.ndim == 1:
            second = expit(values)
            return np.column_stack([1 - second, second])
        return softmax(values, axis=1)


class _Wrapped(ClassifierMixin, BaseEstimator):
    """A classifier around a fitted `model_` that knows the classes by their index in `classes_`."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array of shape (n_cells, n_features)

        Returns
        -------
        float array of shape (n_cells, n_classes), columns as in `classes_`
        """
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(np.asarray(X)), dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each cell, shape (n_cells,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class XGBoostClassifier(_Wrapped):
    """`xgboost.XGBClassifier` (histogram trees) that takes class names.

    XGBoost itself wants labels 0 … k−1 without a gap, which a training fold that lacks a class doesn't give.

    Parameters
    ----------
    n_estimators : int, default 100
        Boosting rounds.
    random_state : int, default 0
    """

    #: with fewer values one thread is quicker: several spend their time waiting for each other
    ALONE = 1_000_000

    def __init__(self, n_estimators: int = 100, random_state: int = 0) -> None:
        self.n_estimators = n_estimators
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> XGBoostClassifier:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        # here, since it takes a second that a run without boosted trees need not spend
        from xgboost import XGBClassifier

        self.classes_, index = np.unique(np.asarray(y), return_inverse=True)
        values = np.asarray(X)
        self.model_ = XGBClassifier(
            tree_method="hist",
            n_estimators=self.n_estimators,
            random_state=self.random_state,
            n_jobs=1 if values.size < self.ALONE else None,
        )
        self.model_.fit(values, index)
        return self


class EarlyStoppingMLP(_Wrapped):
    """`sklearn.neural_network.MLPClassifier` with early stopping wherever the data allow it.

    Early stopping holds back a stratified tenth of the cells. That can't be drawn when a class has a single
    cell, or when the tenth has fewer cells than there are classes: then the training loss says when to stop.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default (100,)
    max_iter : int, default 1000
        Most epochs.
    random_state : int, default 0
    """

    #: share of the training cells held back
    HELD_BACK = 0.1

    def __init__(
        self, hidden_layer_sizes: tuple[int, ...] = (100,), max_iter: int = 1000, random_state: int = 0
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> EarlyStoppingMLP:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        self.classes_, index, counts = np.unique(np.asarray(y), return_inverse=True, return_counts=True)
        splittable = counts.min() >= 2 and int(self.HELD_BACK * len(index)) >= len(counts)
        self.model_ = MLPClassifier(
            hidden_layer_sizes=self.hidden_layer_sizes,
            max_iter=self.max_iter,
            early_stopping=bool(splittable),
            validation_fraction=self.HELD_BACK,
            random_state=self.random_state,
        )
        self.model_.fit(np.asarray(X), index)
        return self
