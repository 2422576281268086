"""The six classifiers of the paper, by the names its tables use, and the one over views."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dorl.classification.estimators import Components, EarlyStoppingMLP, SoftmaxSVC, SteadyForest, XGBoostClassifier
from dorl.classification.overviews import OverViews
from dorl.classification.views import ViewsClassifier
from dorl.errors import InputError


def _svm(kernel: str, seed: int, C: float = 1.0) -> ClassifierMixin:
    # the cache, in MB, holds the kernel of two classes of some thousand cells; several machines learn at a time
    return SoftmaxSVC(kernel=kernel, C=C, break_ties=True, cache_size=100, random_state=seed)


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


#: over views, those that see every number of s are held back more; how much was chosen on restained held-out cells of
#: Acevedo-20, by no other lab's label (300 a class learnt: logistic regression right in 98.6 % with C 0.003, 97.8 %
#: with the paper's 1; a linear SVM of squared hinge loss 98.6 % with 0.001)
_HELD_BACK: dict[str, Callable[[int], ClassifierMixin]] = {
    "SVM (linear)": lambda seed: _svm("linear", seed, C=0.001),
    "LR": lambda seed: LogisticRegression(C=0.003, max_iter=500, random_state=seed),
}
#: over views, these take as many principal components of the features as are given: else they would take hours
SLOW, COMPONENTS = ("RF", "XGBoost", "SVM (poly)", "ANN"), 128
#: name of the default classifier, which learns from views of a cell and adapts to another lab
VIEWS = "Views"
#: trees split at thresholds, so the scale of a feature changes nothing; views are scaled by their classifier
UNSCALED = ("RF", "XGBoost", VIEWS)


def make_classifier(name: str, seed: int = 0, *, views: bool = False) -> Pipeline:
    """An unfitted classifier with the paper's settings, over views a little held back.

    Parameters
    ----------
    name : str
        One of `CLASSIFIERS`, or `VIEWS`.
    seed : int, default 0
        Same seed and data, same classifier.
    views : bool, default False
        Make one of `CLASSIFIERS` learn from views of each cell (`OverViews`), as `VIEWS` always does.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``fit(X, y)`` with X of shape (n_cells, n_features), over views (n_cells, n_views, n_features), and y class
        names of shape (n_cells,);
        ``predict_proba(X)`` of shape (n_cells, n_classes), whose argmax is ``predict(X)``.
    """
    builders = {**CLASSIFIERS, VIEWS: lambda seed: ViewsClassifier(random_state=seed)}
    if name not in builders:
        raise InputError(f"there is no classifier {name!r}: choose from {', '.join(builders)}")
    if not views or name == VIEWS:
        model = builders[name](seed)
        return make_pipeline(model) if name in UNSCALED else make_pipeline(StandardScaler(), model)
    model = _HELD_BACK.get(name, builders[name])(seed)
    steps = [StandardScaler(), *([Components(COMPONENTS, random_state=seed)] if name in SLOW else []), model]
    return make_pipeline(OverViews(make_pipeline(*steps), random_state=seed))
