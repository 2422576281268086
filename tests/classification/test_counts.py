"""Differential counts against published and computed intervals."""

from __future__ import annotations

import numpy as np
import pytest

from dorl.classification.counts import COLUMNS, differential


def test_shares_and_wilsons_intervals() -> None:
    table = differential(["a"] * 50 + ["b"] * 50, ["a", "b", "c"])
    assert tuple(table) == COLUMNS
    assert table["cells"].tolist() == [50, 50, 0]
    # (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.959964, n = 100
    assert table.iloc[0, 2:].tolist() == pytest.approx([0.5, 0.40383, 0.59617], abs=1e-5)
    assert table.iloc[2, 2:].tolist() == pytest.approx([0, 0, 0.03699], abs=1e-5)


def test_more_cells_and_a_lower_level_narrow_the_interval() -> None:
    few, many = (differential(["a", "b"] * n, ["a", "b"]) for n in (5, 500))
    wide, narrow = (table["high"].iat[0] - table["low"].iat[0] for table in (few, many))
    assert narrow < wide / 5
    less = differential(["a", "b"] * 5, ["a", "b"], level=0.5)
    assert less["high"].iat[0] - less["low"].iat[0] < wide


def test_without_cells_there_is_no_share() -> None:
    table = differential([], ["a", "b"])
    assert table["cells"].tolist() == [0, 0]
    assert np.isnan(table[["share", "low", "high"]].to_numpy()).all()
    assert differential([], []).empty
