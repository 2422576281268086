from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.reporting.contents import distances, expected, overview
from dorl.run.folder import RunConfig, read_config


@pytest.fixture
def config(fitted: Path) -> RunConfig:
    return read_config(fitted)


def results(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["train", "test", "method", "accuracy"])
    return frame.assign(classifier="Views", fold=frame.groupby(["train", "test", "method"]).cumcount())


def test_the_overview_shows_the_first_protocol_and_a_dash_where_nothing_is_compared(config: RunConfig) -> None:
    frame = results(
        ("dune", "dune", "DoRL", 0.5),
        ("dune", "dune", "DoRL", 0.7),
        ("dune", "harbour", "DoRL", np.nan),
        ("harbour", "dune", "DoRL", 0.25),
        ("harbour", "dune", "DoRL (unseen lab)", 1.0),
    )
    other = frame.assign(classifier="LR", accuracy=0.0)
    table = overview(pd.concat([other, frame]), config)
    assert table.columns[1:] == ["harbour", "dune"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["harbour", "–", "25.0 ± 0.0"],
        ["dune", "–", "60.0 ± 10.0"],
    ]


def test_distances_stand_side_by_side_before_and_after() -> None:
    row = {"first": "a", "second": "b", "cells": 40, "mmd": 0.5, "told_apart": 0.9, "proxy_a": 1.6}
    table = distances({"distances": [{"stage": "before", **row}, {"stage": "after", **row, "told_apart": 0.6}]})
    assert table is not None
    shown = dict(zip(table.columns, [cell.text for cell in table.rows[0]], strict=True))
    assert shown["labs"] == "a – b"
    assert (shown["told apart %, before"], shown["told apart %, after"]) == ("90.0", "60.0")
    assert distances({}) is None


def test_without_other_labs_nothing_is_expected() -> None:
    assert expected({"expected": []}) is None
