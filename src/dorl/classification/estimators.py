"""Thin scikit-learn estimators where a library's own one falls short of real labs.

All of them take class names as labels, may miss a class in training, give probabilities, and predict the
class of the highest probability.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils.multiclass import _ovr_decision_function, check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from dorl.classification.parallel import own_threads


@cache
def _intel_svc() -> Any:
    """The SVC of scikit-learn-intelex, or None where that isn't installed."""
    try:
        from sklearnex import svm
    except ImportError:
        return None
    return svm.SVC


class SteadyForest(RandomForestClassifier):
    """`sklearn.ensemble.RandomForestClassifier` that grows its trees in parallel and asks them in turn.

    Trees asked in parallel are summed in the order they answer, and the last bit of a sum decides a tie: the
    same forest would now and then predict another class. Leave ``n_jobs`` at its default.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SteadyForest:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        with parallel_config("threading", n_jobs=own_threads()):
            return super().fit(X, y, sample_weight)


class SoftmaxSVC(SVC):
    """`sklearn.svm.SVC` with probabilities from a softmax of its decision values.

    A softmax costs nothing and keeps the machine's own decision, where Platt scaling fits it five times over
    and may disagree with it. The numbers rank classes and cells; they are no calibrated frequencies. The predicted
    class is the one of the highest decision value, as with ``break_ties=True``.

    Decision values are computed by matrix products, many times faster than libsvm's own loop over support vectors. Of
    many values it learns through scikit-learn-intelex where that is installed: the same machine within the tolerance
    `tol`, in a fraction of the time. What is kept is scikit-learn's own either way.
    """

    #: with fewer values libsvm is as quick, and another library is not imported for it
    MANY = 1_000_000
    #: cells whose kernel is computed at once; it has a column for each support vector
    CHUNK = 256

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SoftmaxSVC:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        quick = _intel_svc() if np.asarray(X).size >= self.MANY and sample_weight is None else None
        if quick is None:
            return super().fit(X, y, sample_weight)
        learnt = quick(**self.get_params(), n_jobs=own_threads()).fit(X, y)
        own = ("classes_", "class_weight_", "n_features_in_", "shape_fit_", "fit_status_", "_gamma", "_sparse")
        for name in (*own, "_probA", "_probB"):
            setattr(self, name, getattr(learnt, name))
        for name in ("support_", "_n_support"):
            setattr(self, name, np.asarray(getattr(learnt, name), np.int32))
        self._effective_probability = False
        for name in ("support_vectors_", "dual_coef_", "intercept_"):
            setattr(self, name, np.ascontiguousarray(getattr(learnt, name), np.float64))
        sign = -1 if len(self.classes_) == 2 else 1  # libsvm's own, which it is asked with
        self._dual_coef_, self._intercept_ = sign * self.dual_coef_, sign * self.intercept_
        self.n_iter_ = self._num_iter = np.asarray(learnt.n_iter_, np.int32)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision values: (n_cells, n_classes), one against the rest; (n_cells,) of the second of two classes."""
        check_is_fitted(self)
        if self.kernel not in ("linear", "poly") or self._sparse or issparse(X):
            return super().decision_function(X)
        cells: NDArray[Any] = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        weights, vectors = self._pairs(), self.support_vectors_.T
        if self.kernel == "linear":
            weights = vectors @ weights
        found = []
        for start in range(0, len(cells), self.CHUNK):
            rows = cells[start : start + self.CHUNK].astype(np.float64)
            if self.kernel == "poly":
                rows = rows @ vectors
                rows *= self._gamma
                rows += self.coef0
                rows = _power(rows, self.degree)
            values = rows @ weights + self.intercept_
            two = len(self.classes_) == 2
            found.append(values[:, 0] if two else _ovr_decision_function(values < 0, -values, len(self.classes_)))
        return np.concatenate(found)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class of the highest decision value of each cell, shape (n_cells,)."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def _pairs(self) -> NDArray[np.float64]:
        """Weight of each support vector in the machine of each pair of classes: (n_vectors, n_pairs)."""
        if len(self.classes_) == 2:
            return self.dual_coef_.T
        ends = np.cumsum(self.n_support_)
        of = [slice(end - count, end) for end, count in zip(ends, self.n_support_, strict=True)]
        pairs = list(combinations(range(len(of)), 2))
        weights = np.zeros((len(self.support_), len(pairs)))
        for column, (first, second) in enumerate(pairs):  # libsvm's table leaves out a class's row for itself
            weights[of[first], column] = self.dual_coef_[second - 1, of[first]]
            weights[of[second], column] = self.dual_coef_[first, of[second]]
        return weights

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


def _power(values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """`values` to a small whole power, by multiplying: numpy's own power takes ten times as long."""
    if degree < 1:
        return np.power(values, degree)
    found = values
    for _ in range(degree - 1):
        found = found * values
    return found


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
        values = validate_data(self, X, reset=False)
        return np.asarray(self.model_.predict_proba(values), dtype=np.float64)

    def _checked(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
        """Features, the number of each cell's class in `classes_`, and how many cells each class has.

        Raises ValueError for features that can't be used, and for numbers in place of classes.
        """
        values, names = validate_data(self, X, y)
        check_classification_targets(names)
        self.classes_, index, counts = np.unique(names, return_inverse=True, return_counts=True)
        return values, index, counts

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each cell, shape (n_cells,)."""
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]


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
    #: from so many values on, 64 steps of a feature in place of XGBoost's 256 decide where a tree splits: less than
    #: half the time
    MANY, BINS = 10_000_000, 64

    def __init__(self, n_estimators: int = 100, random_state: int = 0) -> None:
        self.n_estimators = n_estimators
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> XGBoostClassifier:
        """Fit to `X`, shape (n_cells, n_features), and class names `y`, shape (n_cells,)."""
        # here, since it takes a second that a run without boosted trees need not spend
        from xgboost import XGBClassifier

        values, index, _ = self._checked(X, y)
        self.model_ = XGBClassifier(
            tree_method="hist",
            n_estimators=self.n_estimators,
            random_state=self.random_state,
            n_jobs=1 if values.size < self.ALONE else own_threads(),
            max_bin=None if values.size < self.MANY else self.BINS,
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
        values, index, counts = self._checked(X, y)
        splittable = len(counts) >= 2 and counts.min() >= 2 and int(self.HELD_BACK * len(index)) >= len(counts)
        self.model_ = MLPClassifier(
            hidden_layer_sizes=self.hidden_layer_sizes,
            max_iter=self.max_iter,
            early_stopping=bool(splittable),
            validation_fraction=self.HELD_BACK,
            random_state=self.random_state,
        )
        self.model_.fit(values, index)
        self.n_iter_ = self.model_.n_iter_
        return self
