"""What each part of the alignment of labs brings: from the stored descriptions of a run, without embedding anything.

    dorl fit acevedo=PBC_dataset_normal_DIB jtsc=JTSC_zheng2018/labels.csv bccd=BCCD_cropped --out RUN
    python tools/measure/alignment.py RUN --source acevedo

Prints a table: each row is a feature, learnt without labels from the source's cells and perhaps the others'; each
column a lab that the paper's logistic regression, learnt from the source's labels, classifies. Then how well the labs
are told apart by the feature, and classes within the source.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dorl.cells import CellStore
from dorl.cells.views import Views
from dorl.representation.alignment import WIDTH, align
from dorl.representation.clusters import cell_space
from dorl.taxonomy import shared_level

PLAIN = Views().plain
#: cells of the source lab's classes that are learnt, of each
LEARNT = 400

Feature = Callable[[np.ndarray], np.ndarray]


def plain_alone(views: np.ndarray) -> np.ndarray:
    """The plain views, the others missing."""
    found = views.copy()
    found[:, PLAIN:] = np.nan
    return found


def features(source: np.ndarray, others: dict[str, np.ndarray], seed: int) -> dict[str, Callable[[str], Feature]]:
    """Name of each feature, and what makes it for a tested lab."""
    own = source[:, :PLAIN].reshape(-1, source.shape[2])
    scaler = StandardScaler().fit(own)
    components = make_pipeline(StandardScaler(), PCA(WIDTH, random_state=seed)).fit(own)
    space = cell_space(source, PLAIN)[:, :WIDTH]

    def aligned(*labs: np.ndarray) -> Feature:
        learnt = align(labs, plain=PLAIN, seed=seed)
        return lambda X: (X - learnt.mean) @ learnt.basis

    alone = aligned(source)
    everything = aligned(source, *others.values())
    return {
        "description, standardised": lambda lab: scaler.transform,
        f"its {WIDTH} first principal components": lambda lab: components.transform,
        f"its {WIDTH} first components where restaining moves alike": lambda lab: lambda X: X @ space,
        "s, from the source's cells alone": lambda lab: alone,
        "s, from all labs but the tested": lambda lab: aligned(
            source, *(X for name, X in others.items() if name != lab)
        ),
        "s, from source and tested": lambda lab: aligned(source, others[lab]),
        "s, from all labs": lambda lab: everything,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", required=True, help="the lab whose labels are learnt")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    store = CellStore.open(given.run / "cells")
    table = store.table
    views = store.batch(np.arange(len(table)), "views")[0].astype(np.float32)
    labs = {name: np.flatnonzero(table["domain"] == name) for name in dict.fromkeys(table["domain"])}
    labels = {name: table["label"].iloc[rows].to_numpy(object) for name, rows in labs.items()}
    tested = [name for name in labs if name != given.source and any(label is not None for label in labels[name])]
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    apart: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        others = {name: plain_alone(views[rows]) for name, rows in labs.items() if name != given.source}
        source = views[labs[given.source]]
        for title, build in features(source, others, seed).items():
            for lab in tested:
                feature = build(lab)
                level = shared_level(*(sorted({one for one in labels[name] if one}) for name in (given.source, lab)))
                learnt = np.asarray(level.project_all(labels[given.source]), object)
                truth = np.asarray(level.project_all(labels[lab]), object)
                rng = np.random.default_rng(seed)
                classes = sorted({one for one in truth if one} & {one for one in learnt if one})
                rows = np.concatenate([rng.permutation(np.flatnonzero(learnt == one))[:LEARNT] for one in classes])
                X = source[rows]
                there = ~np.isnan(X[..., 0])
                y = np.repeat(learnt[rows].astype(str), there.sum(1))
                model = LogisticRegression(max_iter=500).fit(feature(X[there]), y)
                asked = np.isin(truth, classes)
                cells = others[lab][asked][:, :PLAIN]
                told = model.predict_proba(feature(cells.reshape(-1, cells.shape[2]))).reshape(len(cells), PLAIN, -1)
                right = model.classes_[told.mean(1).argmax(1)]
                scores = (np.mean(right == truth[asked]), balanced_accuracy_score(truth[asked].astype(str), right))
                found.setdefault(title, {}).setdefault(lab, []).append(scores)
                apart.setdefault(title, []).append(told_apart(feature, source, others[lab], seed))
    print(f"| feature, logistic regression | {' | '.join(tested)} | mean | labs told apart |")
    print(f"|---|{'---:|' * (len(tested) + 2)}")
    for title, rows in found.items():
        means = {lab: np.mean(rows[lab], 0) for lab in tested}
        cells = [f"{100 * means[lab][0]:.1f} ± {100 * np.std(rows[lab], 0)[0]:.1f}" for lab in tested]
        mean = 100 * float(np.mean([means[lab][0] for lab in tested]))
        print(f"| {title} | {' | '.join(cells)} | {mean:.1f} | {100 * np.mean(apart[title]):.0f} |", flush=True)


def told_apart(feature: Feature, source: np.ndarray, other: np.ndarray, seed: int) -> float:
    """Share of cells whose lab logistic regression tells right, five folds, as many of either lab: 0.5 is guessing."""
    rng = np.random.default_rng(seed)
    count = min(len(source), len(other))
    drawn = [lab[rng.permutation(len(lab))[:count], 0] for lab in (source, other)]
    X, y = feature(np.concatenate(drawn)), np.repeat([0, 1], count)
    return float(cross_val_score(LogisticRegression(max_iter=500), X, y, cv=5).mean())


if __name__ == "__main__":
    main()
