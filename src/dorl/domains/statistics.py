"""Numbers of a lab's images: grey levels and class counts (Figures 1 and 4 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from dorl.domains.domain import Domain
from dorl.errors import BadImageError
from dorl.runtime.progress import say
from dorl.taxonomy import NODES


def grey_levels(lab: Domain, *, limit: int | None = None, seed: int = 0) -> np.ndarray:
    """Mean share of each grey level over a lab's images.

    Parameters
    ----------
    lab : Domain
    limit : int, optional
        Measure a random `limit` of the images; all by default.
    seed : int

    Returns
    -------
    float64 array of shape (256,)
        Sums to 1; level 0 is black. Luma is that of ITU-R 601. Images that can't be read are passed over and named
        on standard error; all zero where none can.
    """
    chosen = np.arange(len(lab))
    if limit is not None and len(lab) > limit:
        chosen = np.sort(np.random.default_rng(seed).choice(len(lab), limit, replace=False))
    total, counted = np.zeros(256), 0
    for i in chosen:
        try:
            luma = np.asarray(Image.fromarray(lab.load(int(i))).convert("L"))
        except BadImageError as error:
            say(f"grey levels, passed over: {error}")
            continue
        total += np.bincount(luma.ravel(), minlength=256) / luma.size
        counted += 1
    return total / max(counted, 1)


def class_counts(labs: Sequence[Domain]) -> pd.DataFrame:
    """How many images of each class each lab has: int DataFrame, classes (in the tree's order) × labs."""
    columns = {lab.name: pd.Series(lab.labels, dtype=object).value_counts() for lab in labs}
    present = [node for node in NODES if any(node in counts for counts in columns.values())]
    return pd.DataFrame(columns).reindex(present).fillna(0).astype(int)
