"""The grid of six classifiers and five folds, against the same grid in plain scikit-learn.

    python tools/measure/classifiers.py [--cells 30000] [--width 768] [--rounds 1] [--plain-folds 5]

The plain way is what one writes down: each fold of each classifier after the other, scikit-learn's and XGBoost's own
estimators with the paper's settings. Ours is `dorl.classification.cross_lab`. Both have the same folds of the same
made-up features of 11 classes. In each round one is run after the other; the medians over the rounds are compared.
With fewer `--plain-folds` the plain way runs only so many of the folds, and its time is multiplied up: the folds are
alike.
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
import warnings

import numpy as np
import pandas as pd
from joblib import cpu_count

from dorl import taxonomy
from dorl.classification import CLASSIFIERS, LabFeatures, cross_lab

CLASSES = taxonomy.CLASSES[:11]
FOLDS = 5


def made_up(cells: int, width: int) -> LabFeatures:
    """Features float32 (cells, width): classes of unequal size in 64 directions, and noise in all; 3 % wrong labels."""
    rng = np.random.default_rng(0)
    share = np.linspace(3, 1, len(CLASSES))
    index = rng.choice(len(CLASSES), cells, p=share / share.sum())
    centres = rng.normal(size=(len(CLASSES), 64)) * 0.55
    mixed = (centres[index] + rng.normal(size=(cells, 64))) @ rng.normal(size=(64, width)) / 8
    wrong = rng.random(cells) < 0.03
    index[wrong] = rng.integers(0, len(CLASSES), wrong.sum())
    X = np.tanh(mixed) + 0.3 * rng.normal(size=(cells, width))
    return LabFeatures(X.astype(np.float32), np.array(CLASSES, dtype=object)[index])


def plain(lab: LabFeatures, folds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and mean accuracy of each classifier, one fold after the other."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    estimators = {
        "RF": lambda: RandomForestClassifier(n_estimators=200, max_depth=16, random_state=0),
        "XGBoost": lambda: XGBClassifier(tree_method="hist", random_state=0),
        "SVM (poly)": lambda: SVC(kernel="poly", random_state=0),
        "SVM (linear)": lambda: SVC(kernel="linear", random_state=0),
        "LR": lambda: LogisticRegression(max_iter=500, random_state=0),
        "ANN": lambda: MLPClassifier(max_iter=1000, early_stopping=True, random_state=0),
    }
    y = np.unique(lab.y.astype(str), return_inverse=True)[1]
    splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(lab.X, lab.y.astype(str)))[:folds]
    seconds, right = {}, {}
    for name, make in estimators.items():
        began, found = time.monotonic(), []
        for learn, held_out in splits:
            scaler = StandardScaler().fit(lab.X[learn])
            model = make().fit(scaler.transform(lab.X[learn]), y[learn])
            found.append((model.predict(scaler.transform(lab.X[held_out])) == y[held_out]).mean())
        seconds[name], right[name] = (time.monotonic() - began) * FOLDS / folds, float(np.mean(found))
        print(f"plain {name}: {seconds[name]:.1f} s", flush=True)
    return seconds, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=30_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain-folds", type=int, default=FOLDS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    lab = made_up(given.cells, given.width)
    cross_lab({"small": made_up(300, 8)})  # libraries are loaded before the clock starts
    plain_seconds: list[dict[str, float]] = []
    ours: list[float] = []
    for _ in range(given.rounds):
        found, accuracy = plain(lab, given.plain_folds)
        plain_seconds.append(found)
        began = time.monotonic()
        flat = cross_lab({"lab": lab}, folds=FOLDS).results_flat
        ours.append(time.monotonic() - began)
    flat = flat[flat["fold"] < given.plain_folds].groupby("classifier")["accuracy"].mean()
    rows = [
        {
            "classifier": name,
            "plain_seconds": round(statistics.median(found[name] for found in plain_seconds), 1),
            "plain_accuracy": round(100 * accuracy[name], 2),
            "accuracy": round(100 * float(flat[name]), 2),
        }
        for name in CLASSIFIERS
    ]
    slow, quick = statistics.median(sum(found.values()) for found in plain_seconds), statistics.median(ours)
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"all, {FOLDS} folds: plain {slow:.0f} s, ours {quick:.0f} s, {slow / quick:.1f} times as fast")
    result = {
        "cells": given.cells,
        "width": given.width,
        "plain_seconds": round(slow, 1),
        "seconds": round(quick, 1),
        "ratio": round(slow / quick, 2),
        "plain_folds": given.plain_folds,
        "rounds": given.rounds,
        "cores": cpu_count(),
        "scikit_learn_intelex": importlib.util.find_spec("sklearnex") is not None,
        "classifiers": rows,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
