"""How far apart a run's labs are, before and after the autoencoder."""

from __future__ import annotations

from typing import Any

from dorl.cells.pooling import stored_means
from dorl.classification.distances import drawn_cells, lab_distances
from dorl.pipeline.represent import Represented

#: stage, and what a lab's distance is measured on there
STAGES = {"before": "tokens averaged inside the mask", "after": "the autoencoder's features"}


def distances(made: Represented) -> list[dict[str, Any]]:
    """Distances of the labs from each other, on the same cells at both stages.

    Returns
    -------
    list of dict
        A row a stage and a pair of labs: ``stage`` (a key of `STAGES`), and the columns of
        `dorl.classification.distances.lab_distances`.
    """
    labs = made.cells["domain"].to_numpy(object)
    rows = drawn_cells(labs, seed=made.config.seed)
    before = stored_means(made.store, rows)
    found = []
    for stage, features in zip(STAGES, (before, made.features[rows]), strict=True):
        by_lab = {lab.name: features[labs[rows] == lab.name] for lab in made.labs}
        table = lab_distances(by_lab, seed=made.config.seed).round(4)
        found += [{"stage": stage, **row} for row in table.to_dict("records")]
    return found
