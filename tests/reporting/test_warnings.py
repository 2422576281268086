from __future__ import annotations

from typing import Any

from dorl.reporting.warnings import cautions


def lab(**given: Any) -> dict[str, Any]:
    whole = {"cells": 100, "without_cell": 0, "classes": {"monocyte": 50, "basophil": 50}, "left_out": {}, "notes": []}
    return whole | given


def distance(first: str, second: str, mmd: float, stage: str = "after") -> dict[str, Any]:
    return {"stage": stage, "first": first, "second": second, "cells": 50, "mmd": mmd, "told_apart": 1, "proxy_a": 2}


def test_nothing_is_said_where_all_is_well() -> None:
    assert cautions({"labs": {"a": lab(without_cell=5)}}) == []


def test_each_trouble_of_a_lab_is_said_with_its_size() -> None:
    classes = {"monocyte": 80, **{f"class {i}": i + 1 for i in range(6)}}
    labs = {
        "a": lab(classes=classes),
        "b": lab(left_out={"the file is empty": 2, "unknown class 'x'": 3}),
        "c": lab(without_cell=6),
        "d": lab(classes={}),
    }
    tiny, left_out, empty, bare = cautions({"labs": labs})
    assert tiny.startswith("a: 6 of 7 classes have fewer than 20 cells (class 0 1, class 1 2, class 2 3, class 3 4, …)")
    assert left_out.startswith("b: 5 of 105 files were left out")
    assert "in 6 of 100 images" in empty
    assert bare.startswith("d: has no labels")


def test_where_a_split_is_followed_the_tested_cells_are_counted() -> None:
    (said,) = cautions({"labs": {"a": lab(tested={"monocyte": 50, "basophil": 4})}})
    assert said.startswith("a: 1 of 2 classes have fewer than 20 tested cells (basophil 4)")


def test_one_pair_and_one_file_are_told_in_the_singular() -> None:
    (said,) = cautions({"labs": {"a": lab()}, "copies": [{"lab": "a", "other_lab": "a", "pairs": 1}]})
    assert "1 pair of its pictures shows the same" in said


def test_cells_whose_patient_is_not_known_are_told_where_there_are_labels() -> None:
    labs = {"a": lab(without_patient=100), "b": lab(without_patient=3), "c": lab(without_patient=0)}
    labs["d"] = lab(without_patient=100, classes={})
    whole, part, _ = cautions({"labs": labs})
    assert whole.startswith("a: no patient is known: cells of one smear may be learnt from and tested")
    assert part.startswith("b: of 3 cells no patient is known")


def test_a_lab_unlike_all_others_is_named_by_the_features_after_the_autoencoder() -> None:
    labs = {name: lab() for name in "abc"}
    near = [distance("a", "b", 0.1), distance("a", "c", 0.3), distance("b", "c", 0.4)]
    before = [distance("a", "b", 0.9, "before"), distance("a", "c", 0.1, "before"), distance("b", "c", 0.1, "before")]
    (said,) = cautions({"labs": labs, "distances": before + near})
    assert said.startswith("c is unlike all other labs")
    assert cautions({"labs": labs, "distances": before}) == []


def test_a_low_expected_accuracy_is_told() -> None:
    rows = [{"lab": name, "source": ["a"], "accuracy": value} for name, value in (("b", 0.5), ("c", 0.9))]
    (said,) = cautions({"labs": {"a": lab()}, "expected": rows})
    assert said == "b: by an estimate without labels, 50 % of the answers of the classifier learnt from a are right."
    rows[0] |= {"low": 0.3, "high": 0.7}
    (said,) = cautions({"labs": {"a": lab()}, "expected": rows, "results": [{"train": "a", "test": "b"}]})
    assert said.startswith("b: by an estimate without labels, 50 % (30 to 70) of the answers")
    assert said.endswith("What was measured there with labels stands in the tables below, and counts for more.")
