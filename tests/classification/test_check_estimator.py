"""scikit-learn's own checks of estimators, and what is known to fail in them and why."""

from __future__ import annotations

import warnings

import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from dorl.classification.estimators import EarlyStoppingMLP, SoftmaxSVC, SteadyForest, XGBoostClassifier

#: of the stock forest and machine, too: a weight of two isn't the same as a cell twice where cells are drawn, and where
#: libsvm stops within its tolerance
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "as of the stock estimator",
    "check_sample_weight_equivalence_on_sparse_data": "as of the stock estimator",
}


def failed(estimator: BaseEstimator) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) > 40
    return {one["check_name"] for one in results if one["status"] == "failed"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (SteadyForest(n_estimators=5), WEIGHTS),
        (SoftmaxSVC(), WEIGHTS),
        (SoftmaxSVC(kernel="linear"), WEIGHTS),
        (XGBoostClassifier(n_estimators=5), {}),
        (EarlyStoppingMLP(max_iter=50), {}),
    ],
    ids=["forest", "svm", "linear-svm", "xgboost", "mlp"],
)
def test_scikit_learns_checks_pass_but_for_those_named(estimator: BaseEstimator, expected: dict[str, str]) -> None:
    assert failed(estimator) == set(expected)


@pytest.mark.slow
@pytest.mark.parametrize("stock", [RandomForestClassifier(n_estimators=5), SVC()], ids=["forest", "svm"])
def test_the_stock_estimators_fail_the_same(stock: BaseEstimator) -> None:
    assert failed(stock) == set(WEIGHTS)
