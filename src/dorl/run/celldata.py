"""The cells of a count as AnnData, which scanpy and squidpy open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.files import atomic
from dorl.run.assess import Assessment

#: the file in the count's folder
CELL_DATA = "cells.h5ad"
#: columns of text, of truth, and of numbers
_TEXT = ("path", "class", "node", "sample", "same_as")
_TRUTH = ("found", "touches_border", "unlike", "counted")


def write_count(
    path: Path,
    cells: pd.DataFrame,
    features: np.ndarray | None,
    assessed: Assessment | None,
    made: Mapping[str, Any],
) -> None:
    """Write cells of fields.

    X has the feature s, float32 (N, D), or nothing without a run. obs has the columns of ``cells.csv``, those of text
    as categories. ``obsm["spatial"]`` has the middle of each box, x and y in pixels of its field; ``path`` is the field
    (squidpy's ``library_key``). ``obsm["probabilities"]`` has a column a class. ``uns["dorl"]`` is `made` as JSON.

    Parameters
    ----------
    path : Path
    cells : DataFrame, one row a cell
        As `dorl count` writes it to ``cells.csv``.
    features : float array of shape (N, D), optional
    assessed : Assessment, optional
        Of the same cells.
    made : mapping
        `dorl.run.provenance.record`.
    """
    import anndata

    obs = cells.copy()
    obs.index = pd.Index([str(number) for number in range(len(cells))])
    for name in cells.columns:
        if name in _TEXT:
            obs[name] = pd.Categorical(cells[name].fillna("").astype(str).to_numpy())
        elif name in _TRUTH:
            obs[name] = pd.array([pd.NA if pd.isna(value) else bool(value) for value in cells[name]], dtype="boolean")
        else:
            obs[name] = cells[name].astype(float).to_numpy()
    boxes = cells[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float64)
    obsm: dict[str, Any] = {"spatial": (boxes[:, :2] + boxes[:, 2:]) / 2}
    if assessed is not None:
        chances = assessed.probabilities.astype(np.float32)
        obsm["probabilities"] = pd.DataFrame(chances, index=obs.index, columns=list(assessed.model.classes_))
    table = np.empty((len(cells), 0), np.float32) if features is None else np.asarray(features, np.float32)
    var = pd.DataFrame(index=pd.Index([f"s{number}" for number in range(table.shape[1])], dtype=str))
    found = anndata.AnnData(X=table, obs=obs, var=var, obsm=obsm, uns={"dorl": json.dumps(made)})
    with atomic(path) as temporary:
        found.write_h5ad(temporary)
