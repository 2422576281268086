from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder, encode_cells
from dorl.run.autoencoders import HISTORY, load_autoencoder, trained
from dorl.run.folder import read_config
from dorl.segmentation import Segmenter


def test_another_seed_starts_another_autoencoder(published: Path, tmp_path: Path) -> None:
    config, cells = read_config(published), CellStore.open(published / "cells")
    short = config.model_copy(update={"autoencoder": config.autoencoder.model_copy(update={"max_iterations": 1})})
    domain = np.repeat([0, 1], 30)
    features = [
        encode_cells(
            trained(cells, domain, short.model_copy(update={"seed": seed}), tmp_path / f"{n}.safetensors"),
            cells,
            members=np.arange(4),
        )
        for n, seed in enumerate((3, 3, 4))
    ]
    np.testing.assert_array_equal(features[0], features[1])
    assert (features[0] != features[2]).any()


def test_what_is_trained_already_is_loaded(published: Path, tmp_path: Path) -> None:
    config, cells = read_config(published), CellStore.open(published / "cells")
    short = config.model_copy(update={"autoencoder": config.autoencoder.model_copy(update={"max_iterations": 1})})
    domain = np.repeat([0, 1], 30)
    first = trained(cells, domain, short, tmp_path / "one.safetensors")
    (tmp_path / HISTORY).unlink()
    again = trained(cells, domain, short, tmp_path / "one.safetensors")
    assert again.digest() == first.digest()
    assert not (tmp_path / HISTORY).exists()  # nothing was trained


def test_an_autoencoder_of_a_run_is_taken_where_it_fits(published: Path, tmp_path: Path) -> None:
    tiny = Segmenter.load("tiny", device="cpu")
    by_folder, by_file = (load_autoencoder(place, tiny) for place in (published, published / "autoencoder.safetensors"))
    assert by_folder.digest() == by_file.digest()
    other = CrossDomainAutoencoder(AutoencoderConfig(width=8, depth=1, heads=1, decoder_depth=1, grid=2))
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="give the segmenter that it was trained with"):
        load_autoencoder(tmp_path / "other.safetensors", tiny)
