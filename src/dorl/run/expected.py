"""How well a classifier is likely to do on labs that it learnt no label of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline

from dorl.classification import VIEWS, Calibration, calibrate, expected_accuracy
from dorl.classification.mix import FEWEST, Expected
from dorl.run.features import Represented, learnt_level
from dorl.runtime.progress import track


def expected_on(
    made: Represented,
    lab: str,
    name: str,
    model: Pipeline,
    calibration: Calibration,
    source: Sequence[str],
    expected: Expected | None = None,
) -> dict[str, Any] | None:
    """The accuracy expected of a classifier on a lab's cells, labelled or not.

    Images in which no cell was found get no class, and don't count.

    Parameters
    ----------
    made : Represented
    lab : str
    name : str
        Of the classifier.
    model : Pipeline
        Fitted; the one over views may have adapted.
    calibration : Calibration
        Of the model before it adapted.
    source : sequence of str
        Labs that it learnt from.
    expected : Expected, optional
        The mix of classes that it has adapted with.

    Returns
    -------
    dict or None
        ``source``, ``lab``, ``cells``, ``accuracy`` with its 95 % interval ``low`` and ``high`` (0-1), ``adapted``, and
        the estimated ``mix`` of classes, where one is expected. None where no cell was found.
    """
    rows = made.found_in(lab)
    if not len(rows):
        return None
    asked = model[-1] if name == VIEWS else model
    accuracy, low, high = expected_accuracy(calibration, asked, made.inputs(rows), expected)
    adapted = bool(getattr(model[-1], "adapted_", False))
    found: dict[str, Any] = {"source": list(source), "lab": lab, "cells": len(rows), "adapted": adapted}
    if expected is not None and len(rows) >= FEWEST:
        mix = expected.estimate(calibration.apply(asked.predict_proba(made.inputs(rows))), unlike=adapted)
        found["mix"] = {str(name): round(float(share), 4) for name, share in zip(asked.classes_, mix, strict=True)}
    return {**found, "accuracy": round(accuracy, 4), "low": round(low, 4), "high": round(high, 4)}


def expected_without_labels(made: Represented, trains: Sequence[str]) -> list[dict[str, Any]]:
    """What the default classifier of each of the labs `trains` is expected to do on each lab without labels.

    Of an evaluation, which keeps no classifier; each is fitted to all labelled cells of its lab, and adapts to the lab
    without labels where it can. Rows as of `expected_on`; a lab with too few cells to calibrate by gives none.
    """
    name = made.config.classifiers.default
    unlabelled = [lab.name for lab in made.labs if not lab.classes]
    jobs = list(trains) if unlabelled else []
    found = []
    for train in track(jobs, total=len(jobs), what="estimating the accuracy on labs without labels"):
        rows = np.flatnonzero((made.cells["domain"] == train) & made.cells["label"].notna())
        labels = made.cells["label"].to_numpy(object)[rows]
        learnt = learnt_level(labels).project_all(labels).astype(str)
        model, inputs = made.classifier(name), made.inputs(rows)
        groups, patients = made.groups[rows], made.patients[rows]
        calibration = calibrate(model, inputs, learnt, groups=groups, patients=patients, seed=made.config.seed)
        if calibration is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the iteration limits are the paper's
            model.fit(inputs, learnt)
        for lab in unlabelled:
            others = made.inputs(made.found_in(lab))
            suited = make_pipeline(model[-1].suited(others)) if name == VIEWS and len(others) else model
            found.append(expected_on(made, lab, name, suited, calibration, [train]))
    return [row for row in found if row is not None]
