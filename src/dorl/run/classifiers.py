"""The run's classifiers: learnt from the source labs' labels, calibrated, adapted to cells without labels, saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline

from dorl.classification import VIEWS, save_calibration, save_classifier
from dorl.classification.calibration import calibrated
from dorl.classification.classifiers import appetite
from dorl.classification.heldout import ask_held_out
from dorl.classification.mix import Expected
from dorl.classification.parallel import in_parallel
from dorl.classification.unlike import Unlike
from dorl.classification.views import FEWEST, ViewsClassifier
from dorl.run.expected import expected_on
from dorl.run.features import Represented, learnt_level
from dorl.run.folder import CLASSIFIERS, UNLIKE, slug
from dorl.run.heldouts import ENDING, save_held_out
from dorl.run.mixes import expected_mix, listed
from dorl.run.unlikeness import save_unlike
from dorl.runtime.progress import say, track

#: a lab whose labels are learnt weighs at least this share of the one with most labels
LEAST_LAB = 1 / 3


def fit_classifiers(made: Represented, out: Path) -> list[dict[str, Any]]:
    """Fit each on the source labs' labels, calibrate it where there are labels enough, and save it.

    The one over views then adapts to the other labs' cells where they look unlike what it has learnt; where a source
    lab has few labels beside another, to those and to its own cells without a label in any case (`adapted_beside`).

    Its pseudo-labels come from probabilities corrected by the mix of those cells, which is expected as the run's
    settings say (`dorl.run.mixes.expected_mix`). Beside the classifiers is written how unlike the cells learnt a cell
    is.

    Returns what the default one is expected to do on the other labs.
    """
    settings = made.config.classifiers
    elsewhere = [lab.name for lab in made.labs if lab.name not in settings.source]
    labelled = made.cells["domain"].isin(settings.source) & made.cells["label"].notna()
    labels = made.cells.loc[labelled, "label"].to_numpy(object)
    learnt = learnt_level(labels).project_all(labels).astype(str)
    rows, others = (np.flatnonzero(which) for which in (labelled, ~made.cells["domain"].isin(settings.source)))
    labs = made.cells["domain"].to_numpy(object)[rows]
    few = few_labelled(labs)
    if few:
        others = np.union1d(others, np.flatnonzero(made.cells["domain"].isin(few) & made.cells["label"].isna()))
    others = others[made.cells["cell_found"].to_numpy(bool)[others]]

    unlike = Unlike.fit(
        made.described(rows), learnt, groups=made.groups[rows], patients=made.patients[rows], seed=made.config.seed
    )
    if unlike is not None:
        save_unlike(unlike, out / UNLIKE)
    classes, counts = np.unique(learnt, return_counts=True)
    expected = expected_mix(
        settings.shares or settings.expect, classes.tolist(), dict(zip(classes.tolist(), counts.tolist(), strict=True))
    )

    def fit_one(name: str) -> list[dict[str, Any]]:
        model, features = made.classifier(name), made.inputs(rows)
        if name == VIEWS:  # a pipeline of one step; how weights are handed to steps depends on a global setting
            model[-1].fit(features, learnt, lab_weights(labs))
        else:
            model.fit(features, learnt)
        place = out / CLASSIFIERS / f"{slug(name)}.skops"
        groups, patients = made.groups[rows], made.patients[rows]
        held = ask_held_out(model, features, learnt, groups=groups, patients=patients, seed=made.config.seed)
        calibration = None if held is None else calibrated(held)
        if held and calibration:
            save_held_out(held, place.with_suffix(ENDING))
            save_calibration(calibration, place.with_suffix(".json"))
        if name == VIEWS and len(others):
            adapt = adapted_beside if few else ViewsClassifier.suited
            model = make_pipeline(adapt(model[-1], made.inputs(others), expected))
        save_classifier(model, place)
        if name != settings.default or not calibration:
            return []
        asked = [expected_on(made, lab, name, model, calibration, settings.source, expected) for lab in elsewhere]
        return [row for row in asked if row is not None]

    sizes = [appetite(name, made.features.nbytes) for name in settings.names]
    done = in_parallel(fit_one, settings.names, sizes)
    accuracies = dict(track(done, total=len(settings.names), what="fitting the run's classifiers"))
    found = accuracies.get(settings.default, [])
    for row in found:
        if mix := row.get("mix"):
            say(
                f"{row['lab']}: mix of its {row['cells']} cells, expected as {settings.expect} and estimated from "
                f"them: {listed(list(mix), list(mix.values()))}"
            )
    return found


def lab_weights(labs: np.ndarray) -> np.ndarray:
    """Weight of each cell, by its lab's name (N,): a lab of few labels counts at least `LEAST_LAB` of the largest."""
    _, index, counts = np.unique(labs.astype(str), return_inverse=True, return_counts=True)
    return np.maximum(1.0, LEAST_LAB * counts.max() / counts)[index]


def few_labelled(labs: np.ndarray) -> list[str]:
    """Labs that have few labels beside another one's: those whose cells `lab_weights` makes weigh more; labs (N,)."""
    return sorted(set(labs.astype(str)[lab_weights(labs) > 1]))


def adapted_beside(classifier: ViewsClassifier, X: Any, expected: Expected | None = None) -> ViewsClassifier:
    """A fitted classifier that has learnt few labels of a lab, adapted to that lab's other cells.

    Few labels make the others look known, but they don't tell yet how the lab's classes spread: so it adapts however
    near they seem.

    Parameters
    ----------
    classifier : ViewsClassifier
    X : float array of shape (N, V, F), or `dorl.cells.rows.StoredRows`
        Views of those cells; fewer than `dorl.classification.views.FEWEST` change nothing.
    expected : Expected, optional
        As for `ViewsClassifier.adapted`.
    """
    return classifier.adapted(X, expected=expected) if len(X) >= FEWEST else classifier
