from __future__ import annotations

from pathlib import Path

import numpy as np

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


def test_tokens_of_cells_that_are_not_kept_are_made_anew(fitted: Path, labs: list[str]) -> None:
    model, store = DoRL.load(fitted), CellStore.open(fitted / "cells")
    nothing = np.zeros((len(store), 2), np.float32)
    made = Represented(
        read_domains(labs), model.config, store, store.table, nothing, model.autoencoder, {}, model.segmenter
    )
    means = token_means(made, np.array([0, 31]))
    assert means.shape == (2, model.autoencoder.config.channels - 2)
    assert np.isfinite(means).all()
    assert np.abs(means[0] - means[1]).max() > 0.1
