"""Files of fitted classifiers: skops, so that reading one runs no code of the file's.

skops imports every module of scikit-learn, and so torch where it is installed; the rest of this folder
imports no torch.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skops.io.exceptions import UntrustedTypesFoundException

from dorl.classification.estimators import EarlyStoppingMLP, SoftmaxSVC, SteadyForest, XGBoostClassifier
from dorl.classification.overviews import OverViews
from dorl.classification.views import ViewsClassifier
from dorl.errors import InputError
from dorl.files import atomic

#: what a file may hold beyond the types that skops itself trusts (numpy, scipy, public scikit-learn)
TRUSTED_TYPES = (
    "builtins.bytearray",
    "dorl.classification.estimators.EarlyStoppingMLP",
    "dorl.classification.estimators.SoftmaxSVC",
    "dorl.classification.estimators.SteadyForest",
    "dorl.classification.estimators.XGBoostClassifier",
    "dorl.classification.overviews.OverViews",
    "dorl.classification.views.ViewsClassifier",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
)

#: the steps that `make_classifier` puts together
STEPS = (
    StandardScaler,
    SteadyForest,
    XGBoostClassifier,
    SoftmaxSVC,
    LogisticRegression,
    EarlyStoppingMLP,
    OverViews,
    ViewsClassifier,
)


def save_classifier(model: Pipeline, path: str | Path) -> None:
    """Write a fitted classifier.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        From `make_classifier`.
    path : str or Path
        By custom ``….skops``.
    """
    with atomic(path) as temporary:
        skops.io.dump(model, temporary, compression=zipfile.ZIP_DEFLATED)


def load_classifier(path: str | Path) -> Pipeline:
    """Read a classifier that `save_classifier` wrote, and nothing else.

    A file with any type that is not on the allow-list is refused before anything of it is built.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    sklearn.pipeline.Pipeline
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such classifier file")
    try:
        model = skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
        raise InputError(
            f"{path}: holds {', '.join(foreign)}, which no classifier of dorl has; it was not loaded"
        ) from error
    except Exception as error:  # a damaged file can fail anywhere in zip, JSON, numpy or an estimator's state
        raise InputError(
            f"{path}: not a whole skops file of this version ({type(error).__name__}); fit again"
        ) from error
    if not _is_ours(model):
        raise InputError(f"{path}: holds no classifier that dorl wrote; it was not loaded")
    return model


def _is_ours(model: Any) -> bool:
    if type(model) is not Pipeline or not all(type(step) in STEPS for _, step in model.steps):
        return False
    for _, step in model.steps:
        if type(step) is OverViews and not _is_ours(step.estimator_):
            return False
        if type(step) is SteadyForest and not _is_sound(step):
            return False
        if type(step) is EarlyStoppingMLP and type(step.model_) is not MLPClassifier:
            return False
        # by name, since importing xgboost takes a second that the other classifiers need not spend
        if type(step) is XGBoostClassifier and type(step.model_).__name__ != "XGBClassifier":
            return False
    return True


def _is_sound(forest: SteadyForest) -> bool:
    """Whether every tree leads only to nodes and features that exist.

    scikit-learn follows these numbers unchecked, so a forged file could otherwise crash the process.
    """
    for tree in forest.estimators_:
        if type(tree) is not DecisionTreeClassifier or tree.n_features_in_ != forest.n_features_in_:
            return False
        nodes = tree.tree_
        if nodes.n_features != forest.n_features_in_ or len(nodes.value) != nodes.node_count:
            return False
        position = np.arange(nodes.node_count)
        inner = nodes.children_left != -1
        for children in (nodes.children_left[inner], nodes.children_right[inner]):
            # a child stands after its parent, so there is no circle either
            if (children <= position[inner]).any() or (children >= nodes.node_count).any():
                return False
        feature = nodes.feature[inner]
        if (feature < 0).any() or (feature >= forest.n_features_in_).any():
            return False
    return True
