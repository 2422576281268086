"""The run's classifiers: learnt from the source labs' labels, calibrated, adapted to cells without labels, saved.

And how well they are likely to do on labs that they learnt no label of.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline

from dorl.classification import Calibration, calibrate, expected_accuracy, save_calibration, save_classifier
from dorl.classification.calibration import calibrated
from dorl.classification.classifiers import appetite
from dorl.classification.folds import drawn_rows
from dorl.classification.heldout import ask_held_out
from dorl.classification.mix import MIN_MIX_CELLS, Expected
from dorl.classification.parallel import in_parallel
from dorl.classification.unlike import Unlike
from dorl.classification.views import MIN_ADAPTED_CELLS, ViewsClassifier
from dorl.run.features import Represented, learnt_level
from dorl.run.folder import CLASSIFIERS, UNLIKE, slug
from dorl.run.heldouts import ENDING, save_held_out
from dorl.run.mixes import expected_mix, listed
from dorl.run.unlikeness import are_another_lab, learnt_unlike, save_unlike
from dorl.runtime.progress import say, track

#: a lab whose labels are learnt weighs at least this share of the one with most labels
LEAST_LAB = 1 / 3
#: labelled cells that the paper's six classifiers learn at most, and that each is calibrated by
MAX_LEARNT = 50_000


def fit_classifiers(represented: Represented, out: Path) -> list[dict[str, Any]]:
    """Fit each on the source labs' labels, calibrate it where there are labels enough, and save it.

    The one over views then adapts to the other labs' cells where they look unlike what it has learnt; where a source
    lab has few labels beside another, to those and to its own cells without a label in any case (`adapted_beside`).

    Its pseudo-labels come from probabilities corrected by the mix of those cells, which is expected as the run's
    settings say (`dorl.run.mixes.expected_mix`). Beside the classifiers is written how unlike the cells learnt a cell
    is.

    Returns what the default one is expected to do on the other labs.
    """
    settings = represented.config.classifiers
    elsewhere = [lab.name for lab in represented.labs if lab.name not in settings.source]
    labelled = represented.cells["domain"].isin(settings.source) & represented.cells["label"].notna()
    labels = represented.cells.loc[labelled, "label"].to_numpy(object)
    learnt = learnt_level(labels).project_all(labels).astype(str)
    rows, others = (np.flatnonzero(which) for which in (labelled, ~represented.cells["domain"].isin(settings.source)))
    labs = represented.cells["domain"].to_numpy(object)[rows]
    few = few_labelled(labs)
    if few:
        others = np.union1d(
            others, np.flatnonzero(represented.cells["domain"].isin(few) & represented.cells["label"].isna())
        )
    others = others[represented.cells["cell_found"].to_numpy(bool)[others]]

    some = drawn_rows(learnt, MAX_LEARNT, seed=represented.config.seed)
    drawn, learnt_of_drawn = rows[some], learnt[some]
    if len(drawn) < len(rows):
        say(
            f"{len(rows)} labelled cells: the default classifier learns all; the others learn {MAX_LEARNT} of them, "
            "drawn by the seed, each class in its share, and all are calibrated by these"
        )
    groups, patients = represented.groups[drawn], represented.patients[drawn]
    unlike = learnt_unlike(represented, drawn, learnt_of_drawn)
    if unlike is not None:
        save_unlike(unlike, out / UNLIKE)
    classes, counts = np.unique(learnt, return_counts=True)
    expected = expected_mix(
        settings.shares or settings.expect, classes.tolist(), dict(zip(classes.tolist(), counts.tolist(), strict=True))
    )

    def fit_one(name: str) -> list[dict[str, Any]]:
        model, features = represented.classifier(name), represented.inputs(drawn)
        held = ask_held_out(
            model, features, learnt_of_drawn, groups=groups, patients=patients, seed=represented.config.seed
        )
        if isinstance(
            model[-1], ViewsClassifier
        ):  # a pipeline of one step; how weights are handed to steps depends on a global setting
            model[-1].fit(represented.inputs(rows), learnt, lab_weights(labs))
        else:
            model.fit(features, learnt_of_drawn)
        place = out / CLASSIFIERS / f"{slug(name)}.skops"
        calibration = None if held is None else calibrated(held)
        if held and calibration:
            save_held_out(held, place.with_suffix(ENDING))
            save_calibration(calibration, place.with_suffix(".json"))
        if isinstance(model[-1], ViewsClassifier) and len(others):
            inputs = represented.inputs(others)
            suited = (
                adapted_beside(model[-1], inputs, expected)
                if few
                else model[-1].suited(inputs, expected, another_lab=are_another_lab(unlike, represented, others))
            )
            model = make_pipeline(suited.elsewhere(False))
        save_classifier(model, place)
        if name != settings.default or not calibration:
            return []
        asked = [
            expected_on(represented, lab, model, calibration, settings.source, expected, unlike=unlike)
            for lab in elsewhere
        ]
        return [row for row in asked if row is not None]

    sizes = [appetite(name, represented.features.nbytes) for name in settings.names]
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
        Views of those cells; fewer than `dorl.classification.views.MIN_ADAPTED_CELLS` change nothing.
    expected : Expected, optional
        As for `ViewsClassifier.adapted`.
    """
    return classifier.adapted(X, expected=expected) if len(X) >= MIN_ADAPTED_CELLS else classifier


def expected_on(
    represented: Represented,
    lab: str,
    model: Pipeline,
    calibration: Calibration,
    source: Sequence[str],
    expected: Expected | None = None,
    *,
    unlike: Unlike | None,
) -> dict[str, Any] | None:
    """The accuracy expected of a classifier on a lab's cells, labelled or not.

    Images in which no cell was found get no class, and don't count.

    Parameters
    ----------
    represented : Represented
    lab : str
    model : Pipeline
        Fitted; the one over views may have adapted.
    calibration : Calibration
        Of the model before it adapted.
    source : sequence of str
        Labs that it learnt from.
    expected : Expected, optional
        The mix of classes that it has adapted with.
    unlike : Unlike or None
        Says whether the cells are another lab's; without it they count as the source's.

    Returns
    -------
    dict or None
        ``source``, ``lab``, ``cells``, ``accuracy`` with its 95 % interval ``low`` and ``high`` (0-1), ``adapted``, and
        the estimated ``mix`` of classes, where one is expected. None where no cell was found.
    """
    rows = represented.found_in(lab)
    if not len(rows):
        return None
    another_lab = are_another_lab(unlike, represented, rows)
    asked = model[-1].elsewhere(another_lab) if isinstance(model[-1], ViewsClassifier) else model
    inputs = represented.inputs(rows)
    accuracy, low, high = expected_accuracy(calibration, asked, inputs, expected, another_lab=another_lab)
    adapted = bool(getattr(model[-1], "adapted_", False))
    found: dict[str, Any] = {"source": list(source), "lab": lab, "cells": len(rows), "adapted": adapted}
    if expected is not None and len(rows) >= MIN_MIX_CELLS:
        mix = expected.estimate(calibration.apply(asked.predict_proba(inputs)), another_lab=another_lab)
        found["mix"] = {str(name): round(float(share), 4) for name, share in zip(asked.classes_, mix, strict=True)}
    return {**found, "accuracy": round(accuracy, 4), "low": round(low, 4), "high": round(high, 4)}


def expected_without_labels(represented: Represented, trains: Sequence[str]) -> list[dict[str, Any]]:
    """What the default classifier of each of the labs `trains` is expected to do on each lab without labels.

    Of an evaluation, which keeps no classifier; each is fitted to all labelled cells of its lab, and adapts to the lab
    without labels where it can. Rows as of `expected_on`; a lab with too few cells to calibrate by gives none.
    """
    name = represented.config.classifiers.default
    unlabelled = [lab.name for lab in represented.labs if not lab.classes]
    jobs = list(trains) if unlabelled else []
    found = []
    for train in track(jobs, total=len(jobs), what="estimating the accuracy on labs without labels"):
        rows = np.flatnonzero((represented.cells["domain"] == train) & represented.cells["label"].notna())
        labels = represented.cells["label"].to_numpy(object)[rows]
        learnt = learnt_level(labels).project_all(labels).astype(str)
        model, inputs = represented.classifier(name), represented.inputs(rows)
        groups, patients = represented.groups[rows], represented.patients[rows]
        calibration = calibrate(model, inputs, learnt, groups=groups, patients=patients, seed=represented.config.seed)
        if calibration is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the iteration limits are the paper's
            model.fit(inputs, learnt)
        unlike = learnt_unlike(represented, rows, learnt)
        for lab in unlabelled:
            others, suited = represented.found_in(lab), model
            if isinstance(model[-1], ViewsClassifier) and len(others):
                another_lab = are_another_lab(unlike, represented, others)
                suited = make_pipeline(model[-1].suited(represented.inputs(others), another_lab=another_lab))
            found.append(expected_on(represented, lab, suited, calibration, [train], unlike=unlike))
    return [row for row in found if row is not None]
