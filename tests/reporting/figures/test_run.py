from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.domains import read_domains
from dorl.reporting.figures import run as figures
from dorl.reporting.figures.run import CAPTIONS, PANEL_CELLS, draw_labs, draw_run
from dorl.run.features import Represented
from dorl.run.model import DoRL

Row = tuple[str, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def made(fitted: Path, labs: list[str]) -> Represented:
    """The fitted run as it was before its figures were drawn."""
    model, store = DoRL.load(fitted), CellStore.open(fitted / "cells")
    features = np.random.default_rng(0).normal(size=(len(store), 4)).astype(np.float32)
    return Represented(
        read_domains(labs), model.config, store, store.table, features, model.autoencoder, {}, model.segmenter
    )


def test_labs_are_drawn_from_their_images_alone(labs: list[str], tmp_path: Path) -> None:
    draw_labs(read_domains(labs), tmp_path / "new", limit=3)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"grey_levels.png", "class_counts.png"}


def test_the_panel_shows_a_few_cells_of_each_lab(
    made: Represented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Row] = []
    monkeypatch.setattr(figures, "reconstruction_panel", lambda rows, path: shown.extend(rows))
    monkeypatch.setattr(figures, "embed_2d", lambda X, seed: X[:, :2])
    draw_run(made, None, tmp_path)
    assert [row[0] for row in shown] == ["harbour"] * PANEL_CELLS + ["dune"] * PANEL_CELLS
    for _, original, crop, reconstructed in shown:
        assert original.shape == crop.shape == reconstructed.shape == (128, 128, 3)
        assert reconstructed.dtype == np.uint8
        # the crop is the original's own cell, however much it was enlarged
        inside = crop[(crop != 128).any(axis=2)]
        assert np.abs(np.median(inside, axis=0) - np.median(original.reshape(-1, 3), axis=0)).max() < 128
    assert len({row[1].tobytes() for row in shown}) == 2 * PANEL_CELLS


def test_what_is_missing_is_not_drawn(made: Represented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "embed_2d", lambda X, seed: X[:, :2])
    draw_run(made, None, tmp_path)
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == set(CAPTIONS) - {"loss", "confusion", "curves", "reliability"}
