from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.classification.views import ViewsClassifier
from dorl.commands.fit import fit
from dorl.run.classifiers import adapted_beside, few_labelled, lab_weights
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
    assert model.suited(X + 0.3) is model  # they look known
    assert adapted_beside(model, X + 0.3).adapted_
    assert adapted_beside(model, X[:99]) is model


@pytest.mark.slow
def test_fit_adapts_to_the_rest_of_a_lab_of_few_labels(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.run.classifiers.FEWEST", 20)
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
