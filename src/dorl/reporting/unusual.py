"""The cells of a run that are most unlike all that its classifiers have learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline

from dorl.classification import load_classifier
from dorl.classification.views import ViewsClassifier
from dorl.run.assess import MAX_ADAPTED_CELLS
from dorl.run.features import Represented
from dorl.run.folder import CLASSIFIERS, UNLIKE, slug
from dorl.run.unlikeness import load_unlike

#: cells that are listed, and the folder of their pictures
MAX_UNLIKE, KIND = 24, "unlike"
#: cells that are looked at at once
CHUNK = 4096


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
        own, asked = unlike, classifier
        if lab.name not in settings.source:  # the shift that another lab's cells share is learnt from some of them
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(MAX_ADAPTED_CELLS, len(rows))).astype(int))]
            described = represented.described(some)
            if unlike.of_another_lab(described):
                if isinstance(classifier[-1], ViewsClassifier):
                    asked = make_pipeline(classifier[-1].elsewhere())
                own = unlike.suited(described, asked.predict_proba(represented.inputs(some)))
        parts = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
        distance = np.concatenate([own.distance(represented.described(part)) for part in parts])
        # no more than are listed can be among the most unlike of all labs
        first = np.argsort(-distance, kind="stable")[:MAX_UNLIKE]
        first = np.sort(first[distance[first] > 1])
        chances = asked.predict_proba(represented.inputs(rows[first])) if len(first) else []
        for place, chance in zip(first, chances, strict=True):
            row = int(rows[place])
            found.append(
                {
                    "lab": lab.name,
                    "path": represented.cells["path"].iat[row],
                    "label": represented.cells["label"].iat[row],
                    "predicted": str(classifier.classes_[chance.argmax()]),
                    "distance": round(float(distance[place]), 3),
                    "row": row,
                }
            )
    return sorted(found, key=lambda one: -one["distance"])[:MAX_UNLIKE]
