from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.cells import CellStore
from dorl.classification import ProtocolResult
from dorl.classification.protocol import MISTAKES
from dorl.domains import read_domains
from dorl.reporting.mistakes import MAX_MISTAKES, OF_A_LAB, SIDE, confident_mistakes, draw_mistakes, picture_path
from dorl.run.features import Represented
from dorl.run.model import DoRL


@pytest.fixture
def made(fitted: Path, labs: list[str]) -> Represented:
    model, store = DoRL.load(fitted), CellStore.open(fitted / "cells")
    features = np.zeros((len(store), 4), np.float32)
    return Represented(read_domains(labs), model.config, store, store.table, features, model.autoencoder, {})


def result(*rows: tuple) -> ProtocolResult:
    """Of rows (train, test, fold, cell, predicted, probability), with the method last where it isn't DoRL."""
    names = ["train", "test", "fold", "cell", "predicted", "probability", "method"]
    frame = pd.DataFrame([(*row, "DoRL")[:7] for row in rows], columns=names)
    frame = frame.assign(classifier="Views", true="monocyte")
    return ProtocolResult(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), mistakes=frame[list(MISTAKES)])


def test_the_same_wrong_answer_in_every_fold_counts_once_the_surest_first(made: Represented) -> None:
    # two folds: a cell of the lab learnt from is asked about once, one of another lab in both
    wrong = result(
        ("harbour", "dune", 0, 3, "basophil", 0.5),
        ("harbour", "dune", 1, 3, "basophil", 0.7),
        ("harbour", "dune", 0, 4, "basophil", 0.99),
        ("harbour", "dune", 0, 5, "basophil", 0.99),
        ("harbour", "dune", 1, 5, "eosinophil", 0.99),
        ("dune", "dune", 1, 3, "eosinophil", 0.9),
        ("harbour", "harbour", 0, 2, "basophil", 0.8),
        ("harbour", "dune", 0, 6, "basophil", 1.0, "DoRL (unseen lab)"),
    )
    found = confident_mistakes(made, wrong)
    assert [(one["lab"], one["train"], one["predicted"], one["probability"]) for one in found] == [
        ("dune", "dune", "eosinophil", 0.9),
        ("harbour", "harbour", "basophil", 0.8),
    ]
    of_dune = made.cells[made.cells["domain"] == "dune"]
    assert found[0]["path"] == of_dune["path"].iat[3]
    assert made.cells["path"].iat[found[0]["row"]] == found[0]["path"]


def test_cells_without_a_label_are_passed_over_when_cells_are_counted(made: Represented) -> None:
    cells = made.cells.copy()
    cells.loc[cells.index[cells["domain"] == "dune"][:2], "label"] = None
    (one,) = confident_mistakes(replace(made, cells=cells), result(("dune", "dune", 0, 3, "basophil", 0.9)))
    assert one["path"] == cells[cells["domain"] == "dune"]["path"].iat[5]


def test_no_lab_crowds_out_the_others(made: Represented) -> None:
    rows = [("dune", "dune", 0, i, "basophil", 0.9) for i in range(25)]
    found = confident_mistakes(made, result(*rows, ("harbour", "harbour", 0, 1, "basophil", 0.1)))
    assert [one["lab"] for one in found] == ["dune"] * (MAX_MISTAKES // 2) + ["harbour"]
    assert MAX_MISTAKES // 2 >= OF_A_LAB


def test_without_mistakes_there_are_none(made: Represented) -> None:
    nothing = ProtocolResult(pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    assert confident_mistakes(made, nothing) == []
    # one fold of two only
    assert confident_mistakes(made, result(("harbour", "dune", 0, 3, "basophil", 0.5))) == []


def test_a_picture_shows_the_image_and_the_cell(made: Represented, tmp_path: Path) -> None:
    found = confident_mistakes(made, result(("dune", "dune", 0, 3, "basophil", 0.9)))
    draw_mistakes(made, found, tmp_path)
    assert [path.name for path in (tmp_path / "mistakes").iterdir()] == ["01.jpg"]
    with Image.open(picture_path(tmp_path, 0)) as picture:
        assert picture.size == (2 * SIDE + 4, SIDE)
        pixels = np.asarray(picture).astype(int)
    lab = next(lab for lab in made.labs if lab.name == "dune")
    original = lab.load(lab.table["path"].tolist().index(found[0]["path"])).astype(int)
    assert np.abs(pixels[:, :SIDE] - original).mean() < 6
    small = made.store.batch([found[0]["row"]], "crops")[0][0]
    crop = np.asarray(Image.fromarray(small).resize((128, 128))).astype(int)
    assert np.abs(pixels[:, SIDE + 4 :] - crop).mean() < 6
