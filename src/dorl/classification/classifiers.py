"""The six classifiers of the paper, by the names its tables use, and the one over views."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dorl.classification.estimators import EarlyStoppingMLP, SoftmaxSVC, SteadyForest, XGBoostClassifier
from dorl.classification.overviews import OverViews
from dorl.classification.views import ViewsClassifier
from dorl.errors import InputError


def _svm(kernel: str, seed: int) -> ClassifierMixin:
    # the cache, in MB, holds the kernel of two classes of some thousand cells; several machines learn at a time
    return SoftmaxSVC(kernel=kernel, C=1.0, break_ties=True, cache_size=100, random_state=seed)


#: name in tables → builder from a seed, in the order of the paper's Table 1
CLASSIFIERS: dict[str, Callable[[int], ClassifierMixin]] = {
    "RF": lambda seed: SteadyForest(n_estimators=200, max_depth=16, random_state=seed),
    "XGBoost": lambda seed: XGBoostClassifier(random_state=seed),
    "SVM (poly)": lambda seed: _svm("poly", seed),
    "SVM (linear)": lambda seed: _svm("linear", seed),
    "LR": lambda seed: LogisticRegression(max_iter=500, random_state=seed),
    "ANN": lambda seed: EarlyStoppingMLP(random_state=seed),
}

#: a fit's memory, in sizes of its features, as measured with 20,000 × 192; XGBoost takes 1, but of many values it is
#: quickest alone on all cores
_APPETITE = {"RF": 16, "XGBoost": 4, "SVM (poly)": 16, "SVM (linear)": 16, "LR": 4, "ANN": 4}


def appetite(name: str, size: int) -> int:
    """Bytes of memory that a fit to features of `size` bytes takes, as `dorl.classification.parallel` is told it."""
    # the one over views takes most memory, and all cores by itself
    return _APPETITE[name] * size if name in _APPETITE else sys.maxsize


#: name of the default classifier, which learns from views of a cell and adapts to another lab
VIEWS = "Views"
#: these don't depend on the scale of features
UNSCALED = ("RF", "XGBoost", VIEWS)


def make_classifier(name: str, seed: int = 0, *, shared: int | None = None) -> Pipeline:
    """An unfitted classifier with the paper's settings.

    Parameters
    ----------
    name : str
        One of `CLASSIFIERS`, or `VIEWS`.
    seed : int, default 0
        Same seed and data, same classifier.
    shared : int, optional
        Make it learn from views of each cell, of which so many numbers, the first ones, are the feature s; with 0 all
        are. Those of `CLASSIFIERS` take s alone (`OverViews`), as it is scaled; `VIEWS` takes all numbers, always of
        views.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``fit(X, y)`` with X of shape (n_cells, n_features), over views (n_cells, n_views, n_features), and y class
        names of shape (n_cells,);
        ``predict_proba(X)`` of shape (n_cells, n_classes), whose argmax is ``predict(X)``.
    """
    builders = {**CLASSIFIERS, VIEWS: lambda seed: ViewsClassifier(random_state=seed, shared=shared or 0)}
    if name not in builders:
        raise InputError(f"there is no classifier {name!r}: choose from {', '.join(builders)}")
    model = builders[name](seed)
    # trees split at thresholds, so the scale of a feature changes nothing; that of s says how much each number tells
    scaled = name not in UNSCALED and not shared
    one = make_pipeline(StandardScaler(), model) if scaled else make_pipeline(model)
    return one if name == VIEWS or shared is None else make_pipeline(OverViews(one, random_state=seed, shared=shared))
