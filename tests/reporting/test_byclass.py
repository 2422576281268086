from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classification.made_up import fine_and_coarse
from dorl.classification import cross_lab
from dorl.classification.answers import Answers
from dorl.classification.byclass import class_table
from dorl.reporting.byclass import class_section, kappas, node_sections
from dorl.reporting.figures import class_curves, reliability_diagrams
from dorl.run.folder import RunConfig


@pytest.fixture
def config() -> RunConfig:
    settings = {"names": ["LR", "RF"], "default": "LR", "source": ["fine"], "folds": 2}
    return RunConfig.model_construct(classifiers=type("Settings", (), settings)())


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, str, str, str], Answers]:
    return cross_lab(fine_and_coarse(), classifiers=["LR", "RF"], folds=2, explain=["LR"]).answers


def test_the_default_classifiers_classes_stand_a_line_each(
    config: RunConfig, answers: dict[tuple[str, str, str, str], Answers]
) -> None:
    section = class_section(class_table(answers), config)
    rows = [dict(zip(section.columns, [cell.text for cell in row], strict=True)) for row in section.rows]
    there = [row for row in rows if row["labs"].startswith("fine → coarse")]
    assert [row["class"] for row in there] == ["monocyte", "neutrophil"]
    assert [row["cells"] for row in there] == ["15", "25"]
    assert all(0 <= float(row["PPV in blood"]) <= 100 for row in there)
    one = class_table(answers).iloc[0]
    assert rows[0]["sensitivity"] == f"{100 * one['sensitivity']:.1f}"


def test_nodes_and_kappas_are_those_of_the_confusion_matrices(config: RunConfig) -> None:
    names = ["neutrophil_banded", "neutrophil_segmented", "monocyte"]
    matrix = {"train": "a", "test": "b", "classes": names, "counts": [[5, 2, 0, 0], [1, 6, 0, 0], [1, 0, 9, 0]]}
    metrics = {"confusion": [{**matrix, "classifier": "LR"}, {**matrix, "classifier": "RF"}]}
    (section,) = node_sections(config, metrics)
    assert list(section.matrices) == ["a → b: leukocyte", "a → b: neutrophil"]
    assert section.matrices["a → b: neutrophil"][1].tolist() == [[5, 2, 0], [1, 6, 0]]
    table = kappas(config, metrics)
    assert table is not None
    # of 24 cells 20 are right; by chance (7·7 + 7·8 + 10·9) / 24²
    assert table.rows[0][1].text == f"{(20 / 24 - 195 / 576) / (1 - 195 / 576):.3f}"
    assert kappas(config, {"confusion": []}) is None
    assert node_sections(config, {"confusion": []}) == []


def test_curves_and_reliability_are_drawn_where_probabilities_are_known(
    answers: dict[tuple[str, str, str, str], Answers], tmp_path: Path
) -> None:
    told = {f"{train} → {test}": of for (train, test, _, name), of in answers.items() if name == "LR"}
    for draw in (class_curves, reliability_diagrams):
        path = tmp_path / f"{draw.__name__}.png"
        assert draw(told, path)
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5
        without = {title: Answers(of.classes, of.true, of.predicted, of.units) for title, of in told.items()}
        assert not draw(without, tmp_path / "nothing.png")
        assert not (tmp_path / "nothing.png").exists()
