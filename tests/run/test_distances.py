from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.cells.pooling import masked_mean
from dorl.classification.distances import lab_distances
from dorl.domains import read_domains
from dorl.run.distances import distances, token_means
from dorl.run.features import Represented
from dorl.run.model import DoRL


def test_the_labs_are_compared_before_and_after_the_autoencoder(published: Path, labs: list[str]) -> None:
    model, store = DoRL.load(published), CellStore.open(published / "cells")
    features = np.random.default_rng(0).normal(size=(len(store), 4)).astype(np.float32)
    made = Represented(
        read_domains(labs), model.config, store, store.table, features, model.autoencoder, {}, model.segmenter
    )
    before, after = distances(made)
    assert (before["stage"], after["stage"]) == ("before", "after")
    for row in (before, after):
        assert (row["first"], row["second"], row["cells"]) == ("harbour", "dune", 30)
    # the rendered labs differ in light and stain; random features don't
    assert before["told_apart"] > 0.9
    assert 0.2 < after["told_apart"] < 0.75
    tokens = masked_mean(*store.batch(np.arange(len(store)), "tokens", "masks"))
    names = store.table["domain"].to_numpy()
    whole = lab_distances({lab.name: tokens[names == lab.name] for lab in made.labs}, seed=model.config.seed)
    assert abs(whole["mmd"][0] - before["mmd"]) < 1e-3


def test_means_are_taken_from_the_description_and_made_anew_where_there_is_none(
    fitted: Path, labs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, store = DoRL.load(fitted), CellStore.open(fitted / "cells")
    features = np.random.default_rng(0).normal(size=(len(store), 2)).astype(np.float32)
    made = Represented(
        read_domains(labs), model.config, store, store.table, features, model.autoencoder, {}, model.segmenter
    )
    rows = np.array([0, 5, 12, 31, 40, 52])
    means, width = token_means(made, rows), model.autoencoder.config.described_width // 4
    assert means.shape == (len(rows), model.autoencoder.config.channels - 2)
    tokens = slice(0, made.network.width)  # the finer grids' deviations stand between the rest
    alike = [np.corrcoef(*pair)[0, 1] for pair in zip(means.T[tokens], made.described(rows).T[tokens], strict=True)]
    assert np.median(alike) > 0.95  # of the first plain view, and of both

    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        "dorl.run.distances.lab_distances",
        lambda by_lab, seed: (seen.append(by_lab["dune"].shape), lab_distances(by_lab, seed=seed))[1],
    )
    before, _ = distances(made)
    assert seen[0] == (30, width)
    assert before["told_apart"] > 0.75
