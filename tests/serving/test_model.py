from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.domains.images import read_image
from dorl.errors import InputError
from dorl.run.model import DoRL
from dorl.serving.model import RunRecogniser
from dorl.serving.recogniser import PICTURES


@pytest.fixture(scope="module")
def cells(rendered: Path) -> list[np.ndarray]:
    """Ten of the cells that the run was fitted to."""
    return [read_image(path) for path in sorted((rendered / "harbour" / "images").iterdir())[:10]]


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """No cell at all."""
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("classifier", ["Views", "LR"])
def test_each_classifier_looks_as_it_predicts(
    fitted: Path, cells: list[np.ndarray], noise: np.ndarray, classifier: str
) -> None:
    recogniser = RunRecogniser(fitted, classifier=classifier, device="cpu")
    seen = recogniser.look([*cells, noise])
    model = DoRL.load(fitted, classifier=classifier, device="cpu")
    *expected, empty = model.predict_proba([*cells, noise])
    expected = np.array(expected)
    assert np.array([told.probabilities for told in seen[:-1]]) == pytest.approx(expected, abs=2e-3)
    assert (seen[-1].found, seen[-1].confidence, seen[-1].probabilities) == (False, 0, None)
    assert np.isnan(empty).all()
    assert seen[-1].pictures.keys() == set(PICTURES)
    assert all(told.found and told.pictures.keys() == set(PICTURES) for told in seen[:-1])
    # each cell is its own nearest training cell
    rows = [told.neighbours[0].row for told in seen[:-1]]
    assert rows == list(range(10))
    assert all(told.neighbours[0].lab == "harbour" for told in seen[:-1])
    assert max(told.distance for told in seen[:-1]) < 1 < seen[-1].distance
    together = recogniser.together([told.inputs for told in seen if told.found])
    assert not together.adapted
    assert together.probabilities == pytest.approx(expected, abs=2e-3)


def test_what_all_cells_say_together_is_what_predict_says(
    fitted: Path, cells: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.classification.views.MIN_ADAPTED_CELLS", 5)
    monkeypatch.setattr("dorl.classification.unlike.Unlike.of_another_lab", lambda self, X: True)
    recogniser = RunRecogniser(fitted, device="cpu")
    inputs = [told.inputs for told in recogniser.look(cells)]
    together = recogniser.together(inputs)
    assert together.adapted
    model = DoRL.load(fitted, device="cpu")
    rows = model.inputs(cells)[0]
    adapted = model.suited(rows)
    assert together.probabilities == pytest.approx(adapted.probabilities(rows), abs=5e-3)
    assert together.accuracy is not None
    assert not RunRecogniser(fitted, adapt=False, device="cpu").together(inputs).adapted


def test_the_version_changes_with_what_decides(run: Path) -> None:
    first = RunRecogniser(run, device="cpu").version
    assert RunRecogniser(run, device="cpu").version == first
    assert RunRecogniser(run, adapt=False, device="cpu").version != first
    assert RunRecogniser(run, classifier="LR", device="cpu").version != first
    for file in (run / "classifiers").glob("views.json"):
        file.unlink()
    assert RunRecogniser(run, device="cpu").version != first


def test_a_run_whose_parts_do_not_belong_together_is_refused(run: Path) -> None:
    recogniser = RunRecogniser(run, device="cpu")
    for row in (-1, 60):
        with pytest.raises(InputError, match="no training cell"):
            recogniser.training_picture(row)
    index = run / "cells" / "index.jsonl"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="belong together"):
        RunRecogniser(run, classifier="LR", device="cpu")
    (run / "features.h5ad").write_bytes(b"x")
    with pytest.raises(InputError, match="missing or damaged"):
        RunRecogniser(run, classifier="LR", device="cpu")
