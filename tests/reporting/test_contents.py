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
    return frame.assign(classifier="Views", macro_f1=0.5, fold=frame.groupby(["train", "test", "method"]).cumcount())


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
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["harbour", "dune", "25.0", "50.0"],
        ["dune", "harbour", "–", "50.0"],
        ["dune", "dune", "60.0", "50.0"],
    ]


def test_the_overview_shows_intervals_and_the_patients_that_were_drawn(config: RunConfig) -> None:
    frame = results(("dune", "harbour", "DoRL", 0.5))
    known = {"train": "dune", "test": "harbour", "method": "DoRL", "classifier": "Views", "cells": 90, "units": 12}
    limits = {"accuracy_low": 0.4, "accuracy_high": 0.6, "macro_f1_low": 0.3, "macro_f1_high": 0.7}
    told = [pd.DataFrame([{**known, **limits, "drawn": drawn}]) for drawn in ("patients", "cells")]
    shown = [
        dict(zip(one.columns, [cell.text for cell in one.rows[0]], strict=True))
        for one in (overview(frame, config, one) for one in told)
    ]
    assert [one["cells"] for one in shown] == ["90", "90"]
    assert [one.get("patients") for one in shown] == ["12", None]
    assert shown[0]["accuracy, 95 % interval"] == "40.0 to 60.0"
    assert shown[0]["macro-F1, 95 % interval"] == "30.0 to 70.0"


def test_the_overview_of_a_split_names_no_folds(config: RunConfig) -> None:
    frame = results(("dune", "harbour", "DoRL", 0.5))
    assert "tested once, on the labs' own split" in overview(frame, config).caption
    twice = results(("dune", "harbour", "DoRL", 0.5), ("dune", "harbour", "DoRL", 0.6))
    assert "mean over 2 folds" in overview(twice, config).caption


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
