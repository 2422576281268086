"""The cells of a run that are most unlike all that its classifiers have learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dorl.classification import load_classifier
from dorl.run.features import Represented
from dorl.run.folder import CLASSIFIERS, UNLIKE, slug
from dorl.run.unlikeness import load_unlike

#: cells that are listed, and the folder of their pictures
MAX_UNLIKE, KIND = 24, "unlike"


def most_unlike(represented: Represented, run: Path) -> list[dict[str, Any]]:
    """The cells above the threshold that are most unlike those learnt, the most unlike first.

    In another lab, whose labels weren't learnt, the shift that its cells share isn't held against them
    (`dorl.classification.unlike.Unlike.suited`).

    Returns
    -------
    list of dict
        ``lab``, ``path``, ``label`` (None where unknown), ``predicted`` by the default classifier, ``distance`` (above
        1), ``row`` (number of the cell in the run's store). Nothing of a run that can't tell.
    """
    settings = represented.config.classifiers
    unlike = load_unlike(run / UNLIKE)
    if unlike is None or not settings.names:
        return []
    classifier = load_classifier(run / CLASSIFIERS / f"{slug(settings.default)}.skops")
    found = []
    for lab in represented.labs:
        rows = represented.found_in(lab.name)
        if not len(rows):
            continue
        described, probabilities = represented.described(rows), classifier.predict_proba(represented.inputs(rows))
        own = unlike
        if lab.name not in settings.source and unlike.of_another_lab(described):
            own = unlike.suited(described, probabilities)
        distance = own.distance(described)
        for place in np.flatnonzero(distance > 1):
            row = int(rows[place])
            found.append(
                {
                    "lab": lab.name,
                    "path": represented.cells["path"].iat[row],
                    "label": represented.cells["label"].iat[row],
                    "predicted": str(classifier.classes_[probabilities[place].argmax()]),
                    "distance": round(float(distance[place]), 3),
                    "row": row,
                }
            )
    return sorted(found, key=lambda one: -one["distance"])[:MAX_UNLIKE]
