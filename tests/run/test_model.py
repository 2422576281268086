from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest

import dorl
from dorl.classification.mix import Expected
from dorl.classification.unlike import Unlike
from dorl.domains import Domain, read_domain
from dorl.errors import BadImageError, InputError
from dorl.run.model import DoRL


@pytest.fixture(scope="module")
def model(fitted: Path) -> DoRL:
    return DoRL.load(fitted)


@pytest.fixture(scope="module")
def lab(labs: list[str]) -> Domain:
    return read_domain(labs[0].split("=")[1])


def test_transform_gives_the_features_that_were_stored(model: DoRL, lab: Domain, fitted: Path) -> None:
    stored = anndata.read_h5ad(fitted / "features.h5ad").X[:5]
    again = model.transform([lab.load(i) for i in range(5)])
    assert again == pytest.approx(stored, abs=0.05 * float(stored.std()))
    from_paths = model.transform([lab.root / path for path in lab.table["path"][:5]])
    np.testing.assert_array_equal(from_paths, again)


@pytest.mark.parametrize("another_lab", [True, False])
def test_whether_cells_are_another_labs_is_decided_once_and_handed_on(
    model: DoRL, lab: Domain, monkeypatch: pytest.MonkeyPatch, another_lab: bool
) -> None:
    asked, told = [], []

    def of_another_lab(self: Unlike, X: np.ndarray) -> bool:
        asked.append(len(X))
        return another_lab

    estimate = Expected.estimate

    def told_to_estimate(self: Expected, probabilities: np.ndarray, *, another_lab: bool) -> np.ndarray:
        told.append(another_lab)
        return estimate(self, probabilities, another_lab=another_lab)

    monkeypatch.setattr(Unlike, "of_another_lab", of_another_lab)
    monkeypatch.setattr(Expected, "estimate", told_to_estimate)
    monkeypatch.setattr("dorl.classification.views.MIN_ADAPTED_CELLS", 20)
    inputs = model.inputs([lab.load(i) for i in range(30)])[0]
    suited = model.suited(inputs, expect="blood")
    assert asked == [30]
    assert suited.adapted == another_lab
    assert suited.another_lab == another_lab
    assert set(told) == {another_lab}
    assert suited.each_unlike != another_lab  # thirty cells are too few to learn what is usual there


def test_an_array_of_images_and_a_list_of_them_are_the_same(model: DoRL, lab: Domain) -> None:
    images = [lab.load(i) for i in range(3)]
    np.testing.assert_array_equal(model.transform(np.stack(images)), model.transform(images))


def test_more_images_than_a_batch_keep_their_order(model: DoRL, lab: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [lab.load(i) for i in range(5)]
    whole = model.transform(images)
    monkeypatch.setattr("dorl.run.model.BATCH", 2)
    assert model.transform(images) == pytest.approx(whole, abs=0.05 * float(whole.std()))


def test_predict_is_the_likeliest_class(model: DoRL, lab: Domain) -> None:
    images = [lab.load(i) for i in range(4)]
    probabilities = model.predict_proba(images)
    assert probabilities.shape == (4, 5)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert model.predict(images).tolist() == [model.classes_[i] for i in probabilities.argmax(axis=1)]
    assert model.classes_ == list(lab.classes)


def test_no_cell_has_no_class(model: DoRL, published: Path, lab: Domain) -> None:
    images = [lab.load(0), np.full((128, 128, 3), 255, np.uint8), np.zeros((64, 90, 3), np.uint8), lab.load(1)]
    for asked in (model, dorl.load(published)):
        probabilities = asked.predict_proba(images)
        assert np.isnan(probabilities[1:3]).all()
        assert probabilities[[0, 3]].sum(axis=1) == pytest.approx(1, abs=1e-5)
        alone = asked.predict([images[0], images[3]]).tolist()
        assert asked.predict(images).tolist() == [alone[0], None, None, alone[1]]
        confidence = asked.inputs(images)[1]
        assert (confidence[1:3] == 0).all()
        assert ((confidence[[0, 3]] > 0.5) & (confidence[[0, 3]] <= 1)).all()
    np.testing.assert_array_equal(model.predict(images[1:3]), [None, None])


def test_no_image_gives_no_row(model: DoRL) -> None:
    assert model.transform([]).shape == (0, model.autoencoder.config.feature_width)
    assert model.predict_proba([]).shape == (0, 5)
    assert model.predict([]).shape == (0,)


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20, 3), float), np.zeros((20, 20), np.uint8), np.zeros((0, 20, 3), np.uint8)]
)
def test_an_array_that_is_no_rgb_image_is_refused(model: DoRL, image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"uint8 of shape \(H, W, 3\)"):
        model.transform([image])


def test_a_path_alone_and_a_broken_file_are_refused(model: DoRL, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="give a list"):
        model.transform(str(tmp_path / "a.png"))
    with pytest.raises(BadImageError, match=r"a\.png"):
        model.transform([tmp_path / "a.png"])


def test_another_classifier_of_the_run_may_be_asked(model: DoRL, lab: Domain, fitted: Path) -> None:
    forest = dorl.load(fitted, classifier="RF")
    assert type(forest.classifier[-1].estimator_[-1]).__name__ == "SteadyForest"
    assert forest.classes_ == model.classes_
    assert (forest.predict_proba([lab.load(0)]) != model.predict_proba([lab.load(0)])).any()
