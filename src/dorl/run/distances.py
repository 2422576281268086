"""How far apart a run's labs are, before and after the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dorl.cells.pooling import stored_means
from dorl.cells.views import MARKS
from dorl.classification.distances import MAX_CELLS, drawn_cells, lab_distances
from dorl.representation.celltokens import LITTLE
from dorl.run.features import Represented
from dorl.run.folder import PUBLISHED
from dorl.runtime.inference import over_batches

#: cells of a lab that are compared where their tokens must be made anew
MAX_REMADE_CELLS = 150
#: stage, and what a lab's distance is measured on there
STAGES = {"before": "tokens averaged inside the mask", "after": "the autoencoder's features"}


def distances(represented: Represented) -> list[dict[str, Any]]:
    """Distances of the labs from each other, on the same cells at both stages.

    Returns
    -------
    list of dict
        A row a stage and a pair of labs: ``stage`` (a key of `STAGES`), and the columns of
        `dorl.classification.distances.lab_distances`.
    """
    labs = represented.cells["domain"].to_numpy(object)
    published, described = represented.config.method == PUBLISHED, represented.model.shared is not None
    most = MAX_CELLS if published or described else MAX_REMADE_CELLS
    rows = drawn_cells(labs, seed=represented.config.seed, most=most)
    if published:
        before = stored_means(represented.store, rows)
    elif described:  # which begins with these means
        before = represented.described(rows)[:, : represented.model.config.described_width // 4]
    else:
        before = token_means(represented, rows)
    found = []
    for stage, features in zip(STAGES, (before, represented.features[rows]), strict=True):
        by_lab = {lab.name: features[labs[rows] == lab.name] for lab in represented.labs}
        table = lab_distances(by_lab, seed=represented.config.seed).round(4)
        found += [{"stage": stage, **row} for row in table.to_dict("records")]
    return found


def token_means(represented: Represented, rows: np.ndarray) -> np.ndarray:
    """Tokens of some cells at common references, averaged inside the mask: float32 (M, C)."""

    def averaged(some: Sequence[int]) -> np.ndarray:
        tokens = represented.plain_views(some).tokens.float().flatten(2)
        weight = tokens[:, -MARKS : 1 - MARKS] + LITTLE
        return (tokens[:, :-MARKS] * weight).sum(2).div(weight.sum(2)).cpu().numpy()

    return np.concatenate(
        [part for _, part in over_batches(averaged, rows.tolist(), device=represented.network.device)]
    )
