"""How honest the classifiers' probabilities are, and how good the estimate of accuracy on a lab without labels is.

    python tools/measure/calibration.py RUN [--source acevedo] [--folds 4] [--seed 0]

RUN is a folder that `dorl fit` or `dorl evaluate` made; its ``features.h5ad`` and ``cells/`` are read. For each other
lab, the classes that it shares with the source lab in the tree are learnt, on all folds of the source lab but one, in
turn, and calibrated there; the classifier over views adapts to the other lab as `dorl predict` lets it. Prints, as
means over the folds: accuracy on the fold left out, the expected calibration error there without and with the
calibration, and for the other lab the estimated accuracy, its 95 % interval and the truth; and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import anndata
import numpy as np
from sklearn.model_selection import StratifiedKFold

from dorl.cells import CellStore
from dorl.cells.views import Views
from dorl.classification import CLASSIFIERS, VIEWS, calibrate, calibration_error, expected_accuracy, make_classifier
from dorl.classification.unlike import Unlike, described
from dorl.representation import CrossDomainAutoencoder
from dorl.taxonomy import shared_level


def fold(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    learn: np.ndarray,
    ask: np.ndarray,
    other: np.ndarray,
    truth: np.ndarray,
    seed: int,
    shared: int | None,
) -> dict[str, float]:
    """One classifier, learnt from one part of the source lab, asked about another part and about another lab."""
    model = make_classifier(name, seed, shared=shared)
    calibration = calibrate(model, X[learn], y[learn], seed=seed)
    if calibration is None:
        raise SystemExit("the source lab has too few labels")
    model.fit(X[learn], y[learn])
    said = model.predict_proba(X[ask])
    right = model.classes_[said.argmax(1)] == y[ask]
    cut = {"plain": Views().plain, "skip": shared or 0, "sized": False}
    unlike = Unlike.fit(described(X[learn], **cut), y[learn], seed=seed)
    another_lab = unlike is not None and unlike.of_another_lab(described(other, **cut))
    suited = model[-1].suited(other, another_lab=another_lab) if name == VIEWS else model
    there = suited.predict_proba(other)
    share, low, high = expected_accuracy(calibration, suited, other, another_lab=another_lab)
    return {
        "accuracy": float(right.mean()),
        "ECE before": calibration_error(said, right),
        "ECE": calibration_error(calibration.apply(said), right),
        "estimated": share,
        "low": low,
        "high": high,
        "true": float((model.classes_[there.argmax(1)] == truth).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", help="the lab to learn from; the first one by default")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # the iteration limits are the paper's
    table = anndata.read_h5ad(given.run / "features.h5ad")
    labelled = table[table.obs["label"].notna().to_numpy()]
    y = labelled.obs["label"].astype(str).to_numpy(object)
    store = CellStore.open(given.run / "cells")
    place = {key: row for row, key in enumerate(store.table["key"])}
    views = "views" in store.header
    inputs = store.batch([place[key] for key in labelled.obs_names], "views")[0] if views else np.asarray(labelled.X)
    if views:
        inputs = CrossDomainAutoencoder.load(given.run / "autoencoder.safetensors").completed(inputs)
    shared = labelled.n_vars if views else None
    taken = dict.fromkeys([*([VIEWS] if views else []), *CLASSIFIERS], inputs)
    lab = labelled.obs["domain"].astype(str).to_numpy()
    source = given.source or lab[0]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for other in [name for name in dict.fromkeys(lab) if name != source]:
        level = shared_level(sorted(set(y[lab == source])), sorted(set(y[lab == other])))
        projected = np.asarray(level.project_all(y), object)
        counted = np.array([name is not None for name in projected])
        own, theirs = (lab == source) & counted, (lab == other) & counted
        learnt, truth = projected[own].astype(str), projected[theirs].astype(str)
        rows = found[other] = {}
        for name, X in taken.items():
            folds = StratifiedKFold(given.folds, shuffle=True, random_state=given.seed).split(X[own], learnt)
            measured = [
                fold(name, X[own], learnt, learn, ask, X[theirs], truth, given.seed, shared) for learn, ask in folds
            ]
            rows[name] = {key: round(float(np.mean([one[key] for one in measured])), 4) for key in measured[0]}
        columns = list(next(iter(rows.values())))
        print(f"\n| {source} → {other} | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
        for name, row in rows.items():
            print(f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in columns)} |", flush=True)
    print(json.dumps({"source": source, **found}))


if __name__ == "__main__":
    main()
