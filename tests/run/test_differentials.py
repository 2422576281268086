"""The differential of a count, and the cells to look at first."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dorl.classification.differential import UNCLASSIFIED, UNLIKE
from dorl.commands.count import CELLS
from dorl.run.differentials import lines, named, to_review


def _cells() -> pd.DataFrame:
    """A sure cell, an unsure one at an edge, an unlike one without a class, an unlike myelocyte, an undecided node."""
    rows = {
        "class": ["monocyte", "monocyte", "", "myelocyte", "cell"],
        "probability": [0.95, 0.5, 0.9, 0.8, 0.9],
        "unlike": [False, False, True, True, None],
        "touches_border": [False, True, False, False, False],
    }
    return pd.DataFrame(rows, columns=list(CELLS))


def test_what_a_cell_counts_as() -> None:
    assert named(_cells(), each_unlike=True).tolist() == ["monocyte", "monocyte", UNLIKE, UNLIKE, UNCLASSIFIED]
    assert named(_cells(), each_unlike=False).tolist() == ["monocyte", "monocyte", UNLIKE, "myelocyte", UNCLASSIFIED]


def test_cells_to_look_at_first_have_their_reasons() -> None:
    review = to_review(_cells())
    assert review["reason"].tolist() == ["unsure edge", "unlike immature", "unlike unsure"]
    assert review["class"].tolist() == ["monocyte", "myelocyte", ""]


def test_lines_say_percentages_and_ratios() -> None:
    row = {"cells": 4, "low": 0.3, "high": 0.9, "low_with_errors": 0.2, "high_with_errors": np.nan}
    counts = pd.DataFrame(
        [
            {"class": "a", "group": "leukocyte", "share": 0.8, **row},
            {"class": "b", "group": "apart", "share": 1.5, **row},
        ]
    )
    counts.loc[0, "high_with_errors"] = 0.95
    counts.loc[1, "low_with_errors"] = np.nan
    first, second = lines(counts)
    assert first == "     4  a  80.0 % (30.0 to 90.0 by counting, 20.0 to 95.0 with errors)"
    assert second == "     4  b  150.0 per 100 leukocytes (30.0 to 90.0 by counting)"
