from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.classification import VIEWS
from dorl.domains import read_domains
from dorl.run.expected import expected_on, expected_without_labels
from dorl.run.features import Represented
from dorl.run.mixes import expected_mix
from dorl.run.model import DoRL


@pytest.fixture
def made(fitted: Path, labs: list[str]) -> Represented:
    """The fitted run with dune's labels taken away."""
    model, store = DoRL.load(fitted), CellStore.open(fitted / "cells")
    cells = store.table
    cells.loc[cells["domain"] == "dune", "label"] = None
    harbour, dune = read_domains(labs)
    bare = replace(dune, table=dune.table.assign(label=None))
    features = np.zeros((len(store), 4), np.float32)
    return Represented([harbour, bare], model.config, store, cells, features, model.autoencoder, {}, model.segmenter)


def test_each_lab_that_can_teach_is_asked_about_each_lab_without_labels(made: Represented) -> None:
    (row,) = expected_without_labels(made, ["harbour"])
    assert (row["source"], row["lab"], row["cells"]) == (["harbour"], "dune", 30)
    assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
    assert row["adapted"] is False  # thirty cells are too few to adapt to
    assert expected_without_labels(replace(made, labs=made.labs[:1]), ["harbour"]) == []


def test_images_without_a_cell_do_not_count(made: Represented, fitted: Path) -> None:
    cells = made.cells.copy()
    dune = cells.index[cells["domain"] == "dune"]
    cells.loc[dune[:10], "cell_found"] = False
    some, model = replace(made, cells=cells), DoRL.load(fitted)
    row = expected_on(some, "dune", VIEWS, model.classifier, model.calibration, ["harbour"])
    assert row is not None
    sure = model.calibration.apply(model.classifier.predict_proba(some.inputs(np.asarray(dune[10:])))).max(1)
    assert (row["cells"], row["accuracy"]) == (20, pytest.approx(model.calibration.estimate(sure)[0], abs=1e-4))
    cells.loc[dune, "cell_found"] = False
    assert expected_on(some, "dune", VIEWS, model.classifier, model.calibration, ["harbour"]) is None
    assert expected_without_labels(some, ["harbour"]) == []


def test_a_lab_too_small_to_calibrate_by_gives_no_estimate(made: Represented) -> None:
    few = made.cells.copy()
    few.loc[few.index[few["domain"] == "harbour"][10:], "label"] = None
    assert expected_without_labels(replace(made, cells=few), ["harbour"]) == []


def test_the_estimate_is_that_of_the_runs_own_classifier(made: Represented, fitted: Path) -> None:
    model = DoRL.load(fitted)
    assert model.classifier_name == VIEWS
    assert model.calibration is not None
    row = expected_on(made, "dune", VIEWS, model.classifier, model.calibration, ["harbour", "dune"])
    assert "mix" not in row
    inputs = made.inputs(np.flatnonzero(made.cells["domain"] == "dune"))
    said = model.calibration.apply(model.classifier.predict_proba(inputs))
    assert row["accuracy"] == pytest.approx(model.calibration.estimate(said.max(1))[0], abs=1e-4)
    expected = expected_mix("blood", model.classes_, model.calibration.shares)
    row = expected_on(made, "dune", VIEWS, model.classifier, model.calibration, ["harbour", "dune"], expected)
    assert sum(row["mix"].values()) == pytest.approx(1, abs=1e-3)
