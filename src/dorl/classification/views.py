"""The classifier over several views of each cell, which can adapt itself to cells without labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from dorl.classification.folds import drawn_rows
from dorl.classification.mix import MIN_SHARE, Expected
from dorl.representation.clusters import Clusters, cell_space
from dorl.representation.discriminant import CHUNK, Array, Moments, asked, chunks, sliceable, surest, told, whitening
from dorl.taxonomy import UNCOMMON

#: with fewer cells than this nothing is learnt from them without their classes
MIN_ADAPTED_CELLS = 100
#: views that the space of clusters is learnt from, and cells that are adapted to, at most
CLUSTERED, ADAPTED = 9_000, 3_000
#: weight of what is said of s about another lab's cells, 0-1; the description has the rest
SHARED = 2 / 3
#: landmarks of the kernel on s; and of so many views, drawn at random, the median distance sets its width
LANDMARKS, MEASURED = 200, 1_000


class ViewsClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regressions that learn from every view of a cell, classify by the plain ones, and adapt.

    One learns the description that s is made of, which tells most within the labs learnt. It does so in the space in
    which all classes have the same round spread, so that few iterations are enough and the penalty treats all
    directions alike. The other learns the feature s, what labs share, through a Gaussian kernel; `elsewhere` heeds it
    most, for another lab's cells. Beside them it keeps the sums that linear discriminant analysis is made of: `adapted`
    adds another lab's cells to them, without the cells it was fitted to.

    Parameters
    ----------
    plain : int, default 2
        How many of a cell's views, the first ones, classify it.
    C : float, default 0.01
        Inverse strength of the penalty of the logistic regression on the description.
    shrinkage : float, default 0.1
        Of the covariance within classes, of standardised features, towards a multiple of the identity; 0-1.
    random_state : int, default 0
        Draws the views that the logistic regressions learn from where there are too many.
    shared : int, default 0
        How many numbers of a view, the first ones, are the feature s; the others are its description. With 0 all are.

    Attributes
    ----------
    classes_ : array of str, shape (C,)
    coef_, intercept_ : float arrays of shape (C, F) and (C,)
        Of the logistic regression on the description.
    shared_ : sklearn.pipeline.Pipeline or None
        A kernel's map and a logistic regression, of s; None where nothing is s.
    elsewhere_ : bool
        Whether it is asked about another lab's cells.
    counts_, means_, scatter_ : float arrays of shape (C,), (C, F) and (F, F)
        `dorl.representation.discriminant.Moments` of the descriptions.
    space_ : float array of shape (F, K)
        In which another lab's cells form clusters (`dorl.representation.clusters.cell_space`).
    adapted_ : bool
        Whether it has adapted to cells without classes, and asks the discriminant analysis, too.
    adapted_coef_, adapted_intercept_ : float arrays of shape (C, F) and (C,)
        Of the discriminant analysis, where it has.
    """

    #: views that the logistic regressions learn from at most
    MAX_VIEWS = 30_000

    def __init__(
        self, plain: int = 2, C: float = 0.01, shrinkage: float = 0.1, random_state: int = 0, shared: int = 0
    ) -> None:
        self.plain = plain
        self.C = C
        self.shrinkage = shrinkage
        self.random_state = random_state
        self.shared = shared

    def __setstate__(self, state: dict[str, Any]) -> None:
        # those of dorl 0.1 had none of these
        super().__setstate__({"shared": 0, "space_": None, "shared_": None, "elsewhere_": False, **state})

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> ViewsClassifier:
        """Learn cells.

        Parameters
        ----------
        X : float array of shape (N, V, shared + F), or `dorl.cells.rows.StoredRows` of that shape
            V views of each cell, the plain ones first; a view that is NaN is passed over. It is read slice by slice,
            here and wherever else X is taken.
        y : array of str, shape (N,)
        sample_weight : float array of shape (N,), optional
            Above 0; 1 each otherwise.
        """
        cells = sliceable(X)
        self.classes_, index = np.unique(np.asarray(y), return_inverse=True)
        weight = np.ones(len(cells)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        self._keep(Moments.of(cells, index, len(self.classes_), weight, skip=self.shared))
        self.space_ = self._space(cells)
        self.adapted_ = self.elsewhere_ = False
        middle, scale, within = self._moments().spread(self.shrinkage)
        # rows times this have the identity as their covariance within classes
        whiten = whitening(within, scale)
        drawn = self._drawn(cells, index, weight)
        most = len(drawn[0]) * cells.shape[1]
        learnt = np.empty((most, cells.shape[2]), np.float32), np.empty(most, np.intp), np.empty(most)
        count = 0
        for rows, of, weighs in chunks(*drawn):
            part = slice(count, count := count + len(rows))
            learnt[0][part, : self.shared] = rows[:, : self.shared]
            learnt[0][part, self.shared :] = (rows[:, self.shared :] - middle) @ whiten
            learnt[1][part], learnt[2][part] = of, weighs
        rows, of, weighs = (array[:count] for array in learnt)
        s, described = np.split(rows, [self.shared], axis=1)
        self.shared_ = _kernel_regression(s, of, weighs, self.random_state) if self.shared else None
        weights, offsets = _regression(described, of, weighs, C=self.C)
        self.coef_ = weights @ whiten.T
        self.intercept_ = offsets - self.coef_ @ middle
        return self

    def elsewhere(self, another_lab: bool = True) -> ViewsClassifier:
        """The same, asked about another lab's cells, or about cells of the labs learnt.

        Of the labs learnt the description alone tells most. Of another lab's cells, what it tells beyond s misleads: s
        weighs `SHARED`.
        """
        check_is_fitted(self, "coef_")
        if self.elsewhere_ == another_lab:
            return self
        other = copy(self)
        other.elsewhere_ = another_lab
        return other

    def adapted(
        self,
        X: ArrayLike,
        *,
        expected: Expected | None = None,
        rounds: int = 2,
        share: float = 0.6,
        weight: float = 1.0,
    ) -> ViewsClassifier:
        """A copy that has learnt from another lab's cells, too, whose classes nobody gave: self-training.

        In each round it classifies them. Cells that look alike to each other go together
        (`dorl.representation.clusters.Clusters.agreed`). It takes the surest of each class at its word, and lets the
        discriminant analysis learn those beside the cells that it was fitted to. Classes that blood hardly holds
        (`dorl.taxonomy.UNCOMMON`) are not learnt so: most cells that it would take for theirs are common ones that
        another lab's stain or camera made to look like them, and each round would take in more. It still finds them.

        Parameters
        ----------
        X : float array of shape (N, V, shared + F)
            Of more than `ADAPTED` cells so many are drawn.
        expected : Expected, optional
            The classes' shares that are expected here: each round then takes cells at their word by probabilities that
            are corrected by the mix which it estimates.
        rounds : int
        share : float
            Of the cells given to a class, the surest are taken, 0-1.
        weight : float
            Of all these cells together, where all that it was fitted to weighs 1.

        Returns
        -------
        ViewsClassifier
            Itself where there is nothing to learn: no cell seems to be of a common class.

        References
        ----------
        Lee, *Pseudo-Label*, ICML 2013 workshop; Zou et al. 2018, arXiv 1810.07911 (the share of each class).
        """
        check_is_fitted(self, "coef_")
        rows = np.random.default_rng(self.random_state).permutation(len(sliceable(X)))[:ADAPTED]
        cells = np.asarray(sliceable(X)[np.sort(rows)][:, : self.plain], np.float32)
        descriptions = cells[..., self.shared :]
        own, other = self._moments(), copy(self)
        clusters = None if self.space_ is None else Clusters(descriptions.mean(1), self.space_)
        common = ~np.isin(self.classes_, list(UNCOMMON))
        analysis = own.analysis(self.shrinkage)
        probabilities = asked(descriptions, *analysis)
        if self.shared:
            probabilities = (2 * self.first_proba(cells) + probabilities) / 3
        for _ in range(rounds):
            if expected is not None:  # first: whole clusters are wrong in the same way, single cells less
                learnt = np.maximum(other.counts_ / other.counts_.sum(), MIN_SHARE)
                probabilities = replace(expected, source=learnt).corrected(probabilities, another_lab=True)
            if clusters is not None:
                probabilities = clusters.agreed(probabilities)
            index, sure = surest(probabilities, share)
            sure &= common[index]
            if not sure.any():
                return self
            found = Moments.of(descriptions[sure], index[sure], len(self.classes_))
            other._keep(own.joined(found, weight * own.counts.sum()))
            analysis = other._moments().analysis(self.shrinkage)
            probabilities = asked(descriptions, *analysis)
        other.adapted_coef_, other.adapted_intercept_ = analysis
        other.adapted_ = True
        return other

    def suited(
        self, X: ArrayLike, expected: Expected | None = None, *, another_lab: bool, adapt: bool = True
    ) -> ViewsClassifier:
        """The same for some cells: `elsewhere` where they are another lab's, and `adapted` to them.

        It adapts to `MIN_ADAPTED_CELLS` or more, and not at all without `adapt`.
        `another_lab` is what `dorl.classification.unlike.Unlike.of_another_lab` says of these cells.
        """
        other = self.elsewhere(another_lab)
        if not (adapt and another_lab) or len(sliceable(X)) < MIN_ADAPTED_CELLS:
            return other
        return other.adapted(X, expected=expected)

    def agreement(self, X: ArrayLike, *, another_lab: bool) -> float | None:
        """Share of cells, 0-1, that keep their class where it adapts to them; None where it has, or wouldn't."""
        if self.adapted_ or not (other := self.suited(X, another_lab=another_lab)).adapted_:
            return None
        return float((self.elsewhere(another_lab).predict(X) == other.predict(X)).mean())

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of the classes, the mean over the plain views.

        Parameters
        ----------
        X : float array of shape (N, V, F)
            V at least `plain`.

        Returns
        -------
        float array of shape (N, C), columns as in `classes_`
        """
        if not self.adapted_:
            return self.first_proba(X)
        return self._mean(X, lambda rows: (self._first(rows) + self._analysed(rows)) / 2)

    def first_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """What it says, or said before it adapted; input and result as for `predict_proba`."""
        check_is_fitted(self, "coef_")
        return self._mean(X, self._first)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each cell, shape (N,); input as for `predict_proba`."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def _drawn(
        self, X: Any, index: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> tuple[Any, NDArray[np.intp], NDArray[np.float64]]:
        """Cells, such that views are at most `MAX_VIEWS`: `dorl.classification.folds.drawn_rows`."""
        rows = drawn_rows(index, self.MAX_VIEWS // X.shape[1], seed=self.random_state)
        return (X, index, weight) if len(rows) == len(X) else (X[rows], index[rows], weight[rows])

    def _space(self, X: Any) -> Array:
        rows = np.random.default_rng(self.random_state).permutation(len(X))[: max(1, CLUSTERED // X.shape[1])]
        return cell_space(np.asarray(X[np.sort(rows)], np.float32)[..., self.shared :], self.plain)

    def _moments(self) -> Moments:
        return Moments(self.counts_, self.means_, self.scatter_)

    def _keep(self, moments: Moments) -> None:
        self.counts_, self.means_, self.scatter_ = moments

    def _mean(self, X: ArrayLike, probabilities_of: Callable[[Array], Array]) -> Array:
        """The mean over the plain views of what is said of rows (n, plain, shared + F), slice by slice: (N, C)."""
        cells = sliceable(X)
        found = np.empty((len(cells), len(self.classes_)))
        for start in range(0, len(cells), CHUNK):
            rows = np.asarray(cells[start : start + CHUNK][:, : self.plain], np.float64)
            found[start : start + CHUNK] = probabilities_of(rows).mean(1)
        return found

    def _first(self, rows: Array) -> Array:
        described = told(rows[..., self.shared :], self.coef_, self.intercept_)
        if self.shared_ is None or not self.elsewhere_:
            return described
        by_s = self.shared_.predict_proba(rows[..., : self.shared].reshape(-1, self.shared))
        return np.asarray(SHARED * by_s.reshape(described.shape) + (1 - SHARED) * described)

    def _analysed(self, rows: Array) -> Array:
        return told(rows[..., self.shared :], self.adapted_coef_, self.adapted_intercept_)


def _kernel_regression(
    rows: NDArray[np.float32], index: NDArray[np.intp], weight: NDArray[np.float64], seed: int
) -> Pipeline:
    """A logistic regression of rows (n, F) through a Gaussian kernel as wide as they usually lie apart.

    References
    ----------
    Williams & Seeger, *Using the Nyström method to speed up kernel machines*, NIPS 2000.
    """
    rng = np.random.default_rng(seed)
    apart = float(np.median(pdist(rows[rng.permutation(len(rows))[:MEASURED]], "sqeuclidean")))
    kernel = Nystroem(gamma=1 / max(apart, 1e-12), n_components=min(LANDMARKS, len(rows)), random_state=seed)
    regression = LogisticRegression(max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # by itself: how a pipeline hands weights to its steps depends on a global setting
        regression.fit(kernel.fit_transform(rows), index, weight)
    return make_pipeline(kernel, regression)


def _regression(
    rows: NDArray[np.floating], index: NDArray[np.intp], weight: NDArray[np.float64], *, C: float
) -> tuple[Array, Array]:
    """Weights (C, F) and offsets (C,) of a logistic regression of rows (n, F)."""
    model = LogisticRegression(C=C, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is left to gain after so many is noise
        model.fit(rows, index, weight)
    weights, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps the second class's alone
        weights, offsets = np.vstack([0 * weights, weights]), np.append(0 * offsets, offsets)
    return weights, offsets
