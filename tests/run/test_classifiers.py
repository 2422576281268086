from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.cells import CellStore
from dorl.classification import load_calibration
from dorl.classification.overviews import OverViews
from dorl.classification.views import ViewsClassifier
from dorl.commands.fit import fit
from dorl.domains import read_domains
from dorl.run.classifiers import (
    adapted_beside,
    expected_on,
    expected_without_labels,
    few_labelled,
    fit_classifiers,
    lab_weights,
)
from dorl.run.features import Represented
from dorl.run.mixes import expected_mix
from dorl.run.model import DoRL


def test_a_lab_of_few_labels_weighs_a_third_of_the_largest() -> None:
    labs = np.array(["a"] * 90 + ["b"] * 10 + ["c"] * 60, object)
    weights = lab_weights(labs)
    assert weights[:90].sum() == 90
    assert weights[90:100].sum() == pytest.approx(30)
    assert weights[100:].sum() == 60
    assert few_labelled(labs) == ["b"]
    assert few_labelled(labs[:90]) == []


def test_cells_without_labels_are_adapted_to_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    y = np.array(["lymphocyte", "monocyte"])[rng.integers(0, 2, 120)]
    X = rng.normal(size=(120, 2, 8)) + 2 * (y == "monocyte")[:, None, None]
    model = ViewsClassifier().fit(X, y)
    assert model.suited(X + 0.3, another_lab=False) is model
    assert adapted_beside(model, X + 0.3).adapted_
    assert adapted_beside(model, X[:99]) is model


@pytest.mark.slow
def test_fit_adapts_to_the_rest_of_a_lab_of_few_labels(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.run.classifiers.MIN_ADAPTED_CELLS", 20)
    shutil.copytree(rendered / "dune", tmp_path / "dune")
    table = pd.read_csv(tmp_path / "dune" / "manifest.csv")
    chosen = table.groupby("label").head(1).index
    table.loc[chosen].to_csv(tmp_path / "dune" / "chosen.csv", index=False)
    table.loc[~table.index.isin(chosen), "label"] = None
    table.to_csv(tmp_path / "dune" / "few.csv", index=False)

    def adapts(*labs: str) -> bool:
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        given = [f"harbour={rendered / 'harbour' / 'manifest.csv'}", *labs]
        fit(given, out=out, source=["harbour", "dune"], iterations=2, folds=2)
        return bool(DoRL.load(out).classifier[-1].adapted_)

    dune = tmp_path / "dune"
    assert adapts(f"dune={dune / 'few.csv'}")
    assert adapts(f"dune={dune / 'chosen.csv'}", f"rest={dune / 'images'}")  # as docs/your-own-lab.md has it
    assert not adapts(f"dune={dune / 'manifest.csv'}")


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
    row = expected_on(some, "dune", model.classifier, model.calibration, ["harbour"], unlike=None)
    assert row is not None
    sure = model.calibration.apply(model.classifier.predict_proba(some.inputs(np.asarray(dune[10:])))).max(1)
    assert (row["cells"], row["accuracy"]) == (20, pytest.approx(model.calibration.estimate(sure)[0], abs=1e-4))
    cells.loc[dune, "cell_found"] = False
    assert expected_on(some, "dune", model.classifier, model.calibration, ["harbour"], unlike=None) is None
    assert expected_without_labels(some, ["harbour"]) == []


def test_a_lab_too_small_to_calibrate_by_gives_no_estimate(made: Represented) -> None:
    few = made.cells.copy()
    few.loc[few.index[few["domain"] == "harbour"][10:], "label"] = None
    assert expected_without_labels(replace(made, cells=few), ["harbour"]) == []


def test_the_estimate_is_that_of_the_runs_own_classifier(made: Represented, fitted: Path) -> None:
    model = DoRL.load(fitted)
    assert model.over_views is not None
    assert model.calibration is not None
    row = expected_on(made, "dune", model.classifier, model.calibration, ["harbour", "dune"], unlike=model.unlike)
    assert "mix" not in row
    inputs = made.inputs(np.flatnonzero(made.cells["domain"] == "dune"))
    said = model.calibration.apply(model.classifier.predict_proba(inputs))
    assert row["accuracy"] == pytest.approx(model.calibration.estimate(said.max(1))[0], abs=1e-4)
    expected = expected_mix("blood", model.classes_, model.calibration.shares)
    row = expected_on(
        made, "dune", model.classifier, model.calibration, ["harbour", "dune"], expected, unlike=model.unlike
    )
    assert sum(row["mix"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_of_many_labelled_cells_some_are_learnt_by_all_but_the_default_classifier(
    made: Represented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dorl.run.classifiers.MAX_LEARNT", 40)
    learnt: dict[str, int] = {}

    def kept(kind: type, name: str) -> None:
        fit = kind.fit

        def told(self: object, X: np.ndarray, y: np.ndarray, *more: object) -> object:
            learnt[name] = max(learnt.get(name, 0), len(y))
            return fit(self, X, y, *more)

        monkeypatch.setattr(kind, "fit", told)

    kept(ViewsClassifier, "views")
    kept(OverViews, "others")
    labels = made.store.table["label"].tolist()
    fit_classifiers(replace(made, cells=made.cells.assign(label=labels)), tmp_path)
    assert learnt == {"views": 60, "others": 40}
    assert {load_calibration(path).cells for path in (tmp_path / "classifiers").glob("*.json")} == {40}
    assert "60 labelled cells: the default classifier learns all; the others learn 40" in capsys.readouterr().err
