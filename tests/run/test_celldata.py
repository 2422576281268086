"""The AnnData of a count, and what is said of how tables were made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import dorl
from dorl.commands.count import CELLS, count
from dorl.commands.predict import predict
from dorl.files import digest_of
from dorl.run.celldata import write_count
from dorl.run.model import DoRL
from dorl.run.provenance import run_digest


@pytest.fixture(scope="module")
def counted(smear: Path, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("celldata") / "out"
    count([smear], out=out, run=fitted, reject=True)
    return out


def test_places_chances_and_truth_are_written_as_they_are(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            ("a.png", 2, 3, 12, 23, "monocyte", 0.7, "monocyte", True, 0.9, False, 0.4, False, "s", True, ""),
            ("b.png", 0, 0, 9, 9, "", np.nan, None, True, 0.8, True, np.nan, None, "s", False, "a.png"),
        ],
        columns=list(CELLS),
    )
    chances = np.array([[0.7, 0.3], [0.5, 0.5]])
    assessed: Any = SimpleNamespace(probabilities=chances, model=SimpleNamespace(classes_=["monocyte", "basophil"]))
    write_count(tmp_path / "cells.h5ad", table, np.ones((2, 3), np.float32), assessed, {"dorl": "1"})
    data = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert data.obsm["spatial"].tolist() == [[7, 13], [4.5, 4.5]]
    assert data.obsm["probabilities"].to_numpy() == pytest.approx(chances)
    assert list(data.obsm["probabilities"].columns) == ["monocyte", "basophil"]
    assert data.obs["unlike"].isna().tolist() == [False, True]
    assert data.obs["counted"].tolist() == [True, False]
    assert data.obs["node"].tolist() == ["monocyte", ""]
    assert data.X.shape == (2, 3)
    assert json.loads(data.uns["dorl"]) == {"dorl": "1"}


def test_the_cells_of_a_count_are_in_anndata(counted: Path, fitted: Path) -> None:
    data, cells = anndata.read_h5ad(counted / "cells.h5ad"), pd.read_csv(counted / "cells.csv")
    assert data.n_obs == len(cells)
    assert data.n_vars == DoRL.load(fitted).autoencoder.config.feature_width
    middle = (cells[["xmin", "ymin"]].to_numpy() + cells[["xmax", "ymax"]].to_numpy()) / 2
    np.testing.assert_allclose(data.obsm["spatial"], middle)
    chances = data.obsm["probabilities"]
    assert list(chances.columns) == DoRL.load(fitted).classes_
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    sure = data.obs["class"] != ""
    assert (chances.idxmax(axis=1)[sure] == data.obs["class"].astype(str)[sure]).all()
    assert data.obs["path"].astype(str).tolist() == cells["path"].tolist()


def test_scanpy_and_squidpy_open_a_count_and_features(counted: Path, fitted: Path) -> None:
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
    features = scanpy.read_h5ad(fitted / "features.h5ad")
    scanpy.pp.neighbors(features, n_neighbors=4, use_rep="X")
    assert features.obsp["connectivities"].shape == (len(features), len(features))
    squidpy = pytest.importorskip("squidpy", reason="squidpy is not installed")
    data = scanpy.read_h5ad(counted / "cells.h5ad")
    squidpy.gr.spatial_neighbors(data, library_key="path", coord_type="generic", n_neighs=2)
    rows, columns = data.obsp["spatial_connectivities"].nonzero()
    paths = data.obs["path"].astype(str).to_numpy()
    assert len(rows) > 0
    assert (paths[rows] == paths[columns]).all()


def test_a_count_without_a_run_or_a_cell_is_written_too(smear: Path, tmp_path: Path) -> None:
    count([smear / "zz-empty.png"], out=tmp_path / "out")
    data = anndata.read_h5ad(tmp_path / "out" / "cells.h5ad")
    assert data.shape == (0, 0)
    made = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert made["run"] is None
    assert made["adaptation"] is None


def test_what_a_count_was_made_with_lies_beside_it(counted: Path, fitted: Path) -> None:
    made = json.loads((counted / "provenance.json").read_text())
    assert made["dorl"] == dorl.__version__
    assert made["run"]["digest"] == run_digest(fitted, made["run"]["classifier"])
    assert made["settings"]["reject"] is True
    assert made["adaptation"]["adapted"] is False
    for name in ("cells.csv", "counts.csv", "samples.csv", "review.csv", "fields.csv", "cells.h5ad"):
        assert made["files"][name] == digest_of(counted / name)
    inside = json.loads(anndata.read_h5ad(counted / "cells.h5ad").uns["dorl"])
    assert inside["run"] == made["run"]


def test_what_predictions_were_made_with_lies_beside_them(fitted: Path, rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    done = predict(fitted, rendered / "dune" / "images", out=out, expect="none")
    made = json.loads((tmp_path / "predictions.csv.json").read_text())
    assert made["files"] == {"predictions.csv": digest_of(out)}
    assert made["settings"] == {"adapt": True, "expect": "none", "sure": None, "reject": False}
    assert made["adaptation"]["adapted"] == done.adapted
    assert made["environment"]["torch"]


def test_the_digest_of_a_run_changes_with_its_classifier(run: Path) -> None:
    before = run_digest(run, "Views")
    assert before != run_digest(run, "LR")
    (run / "config.toml").write_text((run / "config.toml").read_text() + "\n")
    assert run_digest(run, "Views") != before
