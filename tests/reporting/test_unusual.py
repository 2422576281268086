"""The cells most unlike all that were learnt, listed and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.domains import read_domains
from dorl.reporting.contents import unlike
from dorl.reporting.mistakes import draw_mistakes
from dorl.reporting.unusual import KIND, MAX_UNLIKE, most_unlike
from dorl.run.features import Represented
from dorl.run.folder import UNLIKE
from dorl.run.model import DoRL
from dorl.run.unlikeness import load_unlike, save_unlike


@pytest.fixture
def made(run: Path, labs: list[str]) -> Represented:
    model, store = DoRL.load(run), CellStore.open(run / "cells")
    features = np.zeros((len(store), 4), np.float32)
    return Represented(read_domains(labs), model.config, store, store.table, features, model.autoencoder, {})


def test_the_most_unlike_cells_are_listed_and_shown(made: Represented, run: Path) -> None:
    learnt = load_unlike(run / UNLIKE)
    assert learnt is not None
    save_unlike(replace(learnt, threshold=1e-6), run / UNLIKE)  # so that every cell is unlike
    found = most_unlike(made, run)
    assert len(found) == MAX_UNLIKE
    distances = [one["distance"] for one in found]
    assert distances == sorted(distances, reverse=True)
    rows = np.arange(len(made.cells))
    expected = replace(learnt, threshold=1e-6).distance(made.described(rows))
    assert distances == pytest.approx(np.sort(expected)[::-1][:MAX_UNLIKE].tolist(), rel=1e-3)
    assert [made.cells["path"].iat[one["row"]] for one in found] == [one["path"] for one in found]
    draw_mistakes(made, found[:3], run / "figures", KIND)
    shown = unlike(run / "figures", {"unlike": found})
    assert shown is not None
    assert len(shown.pictures) == 3
    assert shown.pictures[0][1][0] == f"distance {distances[0]:.2f}"


def test_a_run_that_cannot_tell_lists_none(made: Represented, run: Path) -> None:
    (run / UNLIKE).unlink()
    assert most_unlike(made, run) == []
    assert unlike(run / "figures", {}) is None
