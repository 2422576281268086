import re

import numpy as np
import pandas as pd
import pytest

from classification.made_up import fine_and_coarse
from dorl.classification import ProtocolResult, cross_lab
from dorl.classification.answers import ALIKE
from dorl.reporting import table, write_results, write_tables
from dorl.reporting.tables import FILES
from dorl.sheets import read_sheet, write_sheet


def frame(scores):
    """Rows from {(train, test, classifier): accuracies of the folds}."""
    rows = [
        (train, test, "DoRL", classifier, fold, value, value / 2, value / 4)
        for (train, test, classifier), values in scores.items()
        for fold, value in enumerate(values)
    ]
    names = ["train", "test", "method", "classifier", "fold", "accuracy", "balanced_accuracy", "macro_f1"]
    return pd.DataFrame(rows, columns=names)


SCORES = frame(
    {
        ("M", "M", "RF"): (0.9, 0.8),
        ("M", "A", "RF"): (0.2, 0.2),
        ("M", "M", "SVM (poly)"): (0.7, 0.7),
        ("M", "A", "SVM (poly)"): (0.4, 0.5),
    }
)


def result():
    pairs = pd.DataFrame(
        {
            "train": ["M", "M"],
            "test": ["M", "A"],
            "cells": [10, 8],
            "left_out": [0, 3],
            "classes": [("a", "b"), ("a",)],
        }
    )
    return ProtocolResult(SCORES, SCORES.assign(accuracy=0.125), pairs, notes=["M → A: look here."])


def test_the_layout_is_that_of_table_1():
    assert table(SCORES).splitlines() == [
        "| method | M→M | M→A | average |",
        "| --- | ---: | ---: | ---: |",
        "| DoRL-RF | **85.00 ± 5.00** | 20.00 ± 0.00 | 52.50 |",
        "| DoRL-SVM (poly) | 70.00 ± 0.00 | **45.00 ± 5.00** | **57.50** |",
    ]


def test_columns_follow_the_labs_order_and_ties_are_all_bold():
    both = frame(
        {
            ("b", "a", "RF"): (0.5,),
            ("b", "b", "RF"): (0.4,),
            ("b", "a", "LR"): (0.5,),
            ("b", "b", "LR"): (0.3,),
        }
    )
    lines = table(both, ["a", "b"]).splitlines()
    assert lines[0] == "| method | b→a | b→b | average |"
    assert [line.count("**50.00**") for line in lines[2:]] == [1, 1]


def test_of_a_single_split_no_deviation_is_told(tmp_path):
    one = result()
    once = SCORES[SCORES["fold"] == 0]
    write_tables(ProtocolResult(once, once, one.pairs), tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "Tested once, on the labs' own split" in text
    assert "fold" not in text
    assert "±" not in text
    write_tables(one, tmp_path)
    assert "over 2 folds" in (tmp_path / "table.md").read_text()


def test_a_pair_that_compares_nothing_is_a_dash_and_no_part_of_the_average():
    lines = table(frame({("a", "a", "RF"): (0.5, 0.7), ("a", "b", "RF"): (np.nan, np.nan)})).splitlines()
    assert lines[2] == "| DoRL-RF | **60.00 ± 10.00** | – | **60.00** |"


def test_a_bar_in_a_name_does_not_break_the_table():
    lines = table(frame({("a|b", "a|b", "RF"): (0.5,)})).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_results_are_written_and_read_back(tmp_path):
    write_results(result(), tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), SCORES)
    assert (pd.read_csv(tmp_path / "results_flat.csv")["accuracy"] == 0.125).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def intervals(**told_apart):
    """Intervals of the pair M → A: five points to either side, and what is told apart from the best."""
    rows = SCORES[SCORES["test"] == "A"].groupby(["train", "test", "method", "classifier"], sort=False)
    found = rows[["accuracy", "macro_f1"]].mean().reset_index()
    for score in ("accuracy", "macro_f1"):
        found[f"{score}_low"], found[f"{score}_high"] = found[score] - 0.05, found[score] + 0.05
    return found.assign(told_apart=[told_apart.get(name) for name in found["classifier"]])


def test_intervals_stand_in_brackets_and_what_is_not_told_apart_from_the_best_is_marked():
    lines = table(SCORES, intervals=intervals(RF=False)).splitlines()
    assert lines[2] == "| DoRL-RF | **85.00 ± 5.00** | 20.00 ± 0.00 (15.0–25.0) ≈ | 52.50 |"
    assert lines[3] == "| DoRL-SVM (poly) | 70.00 ± 0.00 | **45.00 ± 5.00 (40.0–50.0)** | **57.50** |"
    assert ALIKE not in table(SCORES, intervals=intervals(RF=True))
    assert ALIKE not in table(SCORES, score="macro_f1", intervals=intervals(RF=False))


def test_the_marks_are_the_same_when_intervals_were_read_from_a_file(tmp_path):
    write_sheet(tmp_path / "intervals.csv", intervals(RF=False))
    again = read_sheet(tmp_path / "intervals.csv")
    assert table(SCORES, intervals=again) == table(SCORES, intervals=intervals(RF=False))


def test_of_a_real_result_every_table_has_intervals(tmp_path):
    found = cross_lab(fine_and_coarse(), classifiers=["LR", "RF"], folds=2)
    write_results(found, tmp_path)
    write_tables(found, tmp_path)
    rows = [line for line in (tmp_path / "table.md").read_text(encoding="utf-8").splitlines() if line[:6] == "| DoRL"]
    assert len(rows) == 2 * 5
    assert all(len(re.findall(r"± [\d.]+ \([\d.]+–[\d.]+\)", row)) == 4 for row in rows)
    told = read_sheet(tmp_path / "classes.csv")
    assert set(told["class"]) >= {"neutrophil", "monocyte"}
    assert told["sensitivity"].between(0, 1).all()
    nodes = read_sheet(tmp_path / "confusion.csv")
    own = nodes[(nodes["train"] == "fine") & (nodes["test"] == "fine") & (nodes["node"] == "neutrophil")]
    assert set(own["true"]) == {"neutrophil_banded", "neutrophil_segmented"}
    assert own[own["classifier"] == "LR"]["cells"].sum() == 40


@pytest.mark.parametrize(
    "text",
    ["85.00 ± 5.00", "12.50 ± 0.00", "42.50 ± 2.50", "21.25 ± 1.25", "look here", "| M→A | 8 | 3 | a |"],
)
def test_table_md_has_all_scores_the_pairs_and_the_notes(text, tmp_path):
    write_tables(result(), tmp_path)
    assert text in (tmp_path / "table.md").read_text(encoding="utf-8")
