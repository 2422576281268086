"""Run folders of dorl 0.1, whose classifier "Views" took averaged grids in place of s, still open."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import dorl
from dorl.classification import make_classifier, save_classifier
from dorl.commands.predict import predict
from dorl.domains import Domain, read_domain
from dorl.representation.grids import described_views
from dorl.run.folder import AUTOENCODER, METRICS, SEGMENTER, UNLIKE, tomllib
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells

#: what config.toml of 0.1 doesn't say
LATER = ("channels", "seen", "feature")


@pytest.fixture(scope="module")
def lab(labs: list[str]) -> Domain:
    return read_domain(labs[0].split("=")[1])


@pytest.fixture(scope="module")
def earlier(published: Path, lab: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as dorl 0.1 wrote it."""
    run = Path(shutil.copytree(published, tmp_path_factory.mktemp("earlier") / "run"))
    (run / UNLIKE).unlink()
    network = Segmenter.load(run / "segmenter.safetensors", device="cpu")
    images = [lab.load(i) for i in range(len(lab))]
    masks = [cell.mask for cell in find_central_cells(network, images)]
    views = described_views(network, images, masks, 2)
    classifier = make_classifier("Views").fit(views, lab.labels.astype(str))
    for later in ("shared", "space_"):
        del classifier[-1].__dict__[later]
    save_classifier(classifier, run / "classifiers" / "views.skops")
    config = tomllib.loads((run / "config.toml").read_text())
    del config["method"]
    config["autoencoder"] = {name: value for name, value in config["autoencoder"].items() if name not in LATER}
    config["views"] = {"plain": 2, "restained": 4}
    config["classifiers"]["names"].insert(0, "Views")
    config["classifiers"]["default"] = "Views"
    (run / "config.toml").write_text(tomli_w.dumps(config))
    return run


def test_its_default_classifier_answers_as_it_did(earlier: Path, lab: Domain) -> None:
    model = dorl.load(earlier, device="cpu")
    assert model.classifier_name == "Views"
    inputs, found = model.inputs([lab.load(i) for i in range(8)])
    assert inputs.shape == (8, 2, 4 * (192 + 40 + 24))
    assert found.all()
    assert (model.predict([lab.load(i) for i in range(8)]) == lab.labels[:8]).mean() > 0.8


def test_its_other_classifiers_take_the_feature_of_the_whole_image(earlier: Path, published: Path, lab: Domain) -> None:
    images = [lab.load(i) for i in range(3)]
    first, second = (dorl.load(run, classifier="LR", device="cpu") for run in (earlier, published))
    np.testing.assert_array_equal(first.predict_proba(images), second.predict_proba(images))
    assert first.transform(images).shape == (3, 192)


def test_it_predicts_a_folder(earlier: Path, lab: Domain, tmp_path: Path) -> None:
    result = predict(earlier, lab.take(range(5)), out=tmp_path / "predictions.csv", device="cpu")
    assert result.images == 5


@pytest.mark.parametrize("name", ["LR", "ANN", "XGBoost", "SVM (linear)"])
def test_a_run_that_was_written_before_the_rooms_were_divided_answers(
    name: str, fitted: Path, lab: Domain, tmp_path: Path
) -> None:
    """Its config and classifiers lie in ``version_0_1``; its networks are as large as today's, and left out.

    s is that of the networks of `fitted`, which differs a little from processor to processor. Smooth classifiers bear
    that; boosted trees, which cut s at steps, only have to answer.
    """
    run = Path(shutil.copytree(Path(__file__).parent / "version_0_1", tmp_path / "run"))
    for network in (SEGMENTER, AUTOENCODER):
        shutil.copy(fitted / network, run)
    (run / METRICS).write_text("{}")
    model = dorl.load(run, classifier=name, device="cpu")
    assert model.classes_ == ["lymphocyte_typical", "monocyte", "neutrophil_segmented"]
    known = [i for i in range(len(lab)) if lab.labels[i] in model.classes_][:9]
    images = [lab.load(i) for i in known]
    chances = model.predict_proba(images)
    np.testing.assert_allclose(chances.sum(axis=1), np.ones(len(known)), atol=1e-6)
    assert len(np.unique(chances.round(6), axis=0)) > 1
    if name != "XGBoost":
        assert (model.predict(images) == lab.labels[known]).mean() > 0.6
