from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from dorl.cells import CellStore
from dorl.classification import CLASSIFIERS, Calibration, load_calibration
from dorl.commands.fit import fit
from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.run.folder import read_config, slug
from dorl.run.model import DoRL

NOT_OURS = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}


def test_a_run_folder_holds_what_the_design_says(fitted: Path) -> None:
    names = {path.name for path in fitted.iterdir()}
    assert names >= {
        *("config.toml", "segmenter.safetensors", "autoencoder.safetensors", "cells", "features.h5ad"),
        *("classifiers", "metrics.json", "report.html", "README.md", "results.csv", "table.md"),
    }
    assert len(list((fitted / "classifiers").glob("*.skops"))) == 7
    left = [path for path in fitted.rglob("*") if ".part" in path.name or path.suffix in NOT_OURS]
    assert left == []
    for name in ("grey_levels", "class_counts", "reconstructions", "latent_space", "loss", "confusion"):
        assert (fitted / "figures" / f"{name}.png").stat().st_size > 2000


def test_features_open_as_anndata_and_match_the_labs(fitted: Path, labs: list[str]) -> None:
    features = anndata.read_h5ad(fitted / "features.h5ad")
    assert features.X.shape == (60, 16)
    assert features.X.dtype == np.float32
    assert features.obs["domain"].tolist() == ["harbour"] * 30 + ["dune"] * 30
    lab = read_domain(labs[1].split("=")[1])
    assert features.obs["label"].tolist()[30:] == lab.labels.tolist()
    assert features.obs["path"].tolist()[30:] == lab.table["path"].tolist()


def test_results_cover_every_pair_classifier_and_fold(fitted: Path) -> None:
    results = pd.read_csv(fitted / "results.csv")
    assert len(results) == 2 * 2 * 7 * 2
    assert list(results.columns) == [
        *("train", "test", "method", "classifier", "fold", "accuracy", "balanced_accuracy", "macro_f1")
    ]
    assert results["accuracy"].between(0, 1).all()
    own = results[(results.train == results.test) & (results.classifier == "LR")]
    assert own["accuracy"].mean() > 0.3  # five equal classes: 0.2 is chance


def test_every_classifier_is_calibrated_on_cells_it_had_not_learnt(fitted: Path) -> None:
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert len(metrics["calibration"]) == 7
    for name, said in metrics["calibration"].items():
        assert said["cells"] == 60
        assert load_calibration(fitted / "classifiers" / f"{slug(name)}.json") == Calibration(**said)
    assert "taken at their word" in (fitted / "report.html").read_text()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table(fitted: Path, labs: list[str], tmp_path: Path) -> None:
    again = fit(labs, out=tmp_path / "again", iterations=4, folds=2, seed=3)
    assert again.classes_ == DoRL.load(fitted).classes_
    for name in ("results.csv", "results_flat.csv", "table.md"):
        assert (tmp_path / "again" / name).read_bytes() == (fitted / name).read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_the_same(
    fitted: Path, labs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dorl.cells import CellStore

    append, calls = CellStore.append, []

    def interrupted(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(CellStore, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(labs, out=tmp_path / "run", iterations=4, folds=2, seed=3)
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit(labs, out=tmp_path / "run", iterations=4, folds=2, seed=3)
    assert len(calls) == 2 + 7 + 8  # 60 cells are eight batches, in the pool and in the run: the first was kept
    assert (tmp_path / "run" / "results.csv").read_bytes() == (fitted / "results.csv").read_bytes()


@pytest.mark.slow
def test_labs_without_labels_give_features_and_no_classifier(rendered: Path, tmp_path: Path) -> None:
    model = fit([f"bare={rendered / 'dune' / 'images'}"], out=tmp_path / "run", iterations=2)
    assert model.transform([np.full((50, 60, 3), 200, np.uint8)]).shape == (1, model.autoencoder.config.feature_width)
    with pytest.raises(InputError, match="no classifiers"):
        model.predict([np.full((50, 60, 3), 200, np.uint8)])


@pytest.mark.slow
def test_unreadable_images_are_left_out_counted_and_shown(rendered: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    (lab / "images").mkdir(parents=True)
    lines = (rendered / "harbour" / "manifest.csv").read_text().splitlines()
    for number, line in enumerate(lines[1:]):
        name = line.split(",")[0]
        content = (rendered / "harbour" / name).read_bytes()
        (lab / name).write_bytes(content[:3000] if number == 0 else b"" if number == 1 else content)
    rows = [",".join(line.split(",")[i] for i in (0, 2)) for line in lines]
    (lab / "labels.csv").write_text("\n".join(rows) + "\n")
    fit([f"bad={lab / 'labels.csv'}"], out=tmp_path / "run", iterations=2, folds=2)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["labs"]["bad"]["cells"] == 28
    assert sum(metrics["labs"]["bad"]["left_out"].values()) == 2
    assert "the file is empty" in (tmp_path / "run" / "report.html").read_text()


def test_the_published_method_has_the_papers_classifiers_alone(published: Path) -> None:
    model, config = DoRL.load(published), read_config(published)
    assert config.method == "published"
    assert config.classifiers.names == list(CLASSIFIERS)
    assert (config.views.plain, config.views.restained) == (0, 0)
    assert model.classifier_name == config.classifiers.default == "SVM (linear)"
    assert model.autoencoder.config.channels == 0
    assert model.transform([np.full((50, 60, 3), 200, np.uint8)]).shape == (1, 192)


def test_a_run_of_some_classes_without_restained_views_takes_the_bundled_autoencoder_as_it_is(
    labs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.reporting.figures.latent.MIN_UMAP_CELLS", 31)  # compiled for `fitted`, in one process
    settings = {"views": False, "classes": ["granulocyte", "monocyte"], "iterations": 0, "folds": 2}
    model = fit(labs[:1], out=tmp_path / "run", **settings)
    config = read_config(tmp_path / "run")
    assert model.classes_ == config.classifiers.classes == ["granulocyte", "monocyte"]
    assert (config.views.plain, config.views.restained) == (2, 0)
    assert model.autoencoder.digest() == CrossDomainAutoencoder.load("tiny", device="cpu").digest()
    assert not (tmp_path / "run" / "history.csv").exists()
    assert not (tmp_path / "run" / "tuning").exists()


def test_the_default_classifier_learns_from_views(fitted: Path, labs: list[str]) -> None:
    config = read_config(fitted)
    assert (config.classifiers.default, config.classifiers.names[0]) == ("Views", "Views")
    store = CellStore.open(fitted / "cells")
    (views,) = store.batch(range(len(store)), "views")
    assert views.shape[1] == config.views.plain + config.views.restained
    assert np.isfinite(views).all()  # both labs' labels are learnt
    lab = read_domain(labs[0].split("=")[1])
    model = DoRL.load(fitted)
    (again, found) = model.inputs([lab.load(i) for i in range(3)])
    assert found.all()
    described = again[..., -1 - views.shape[2] : -1].astype(float)  # the last number is the cell's size
    assert np.abs(described - views[:3, : config.views.plain]).max() < 0.05 * views[:3].astype(float).std()
    assert model.autoencoder.digest() != CrossDomainAutoencoder.load("tiny", device="cpu").digest()  # it was tuned
    own = pd.read_csv(fitted / "results.csv").query("train == test").groupby("classifier")["accuracy"].mean()
    assert own["Views"] > 0.8
