"""A lab as a data set of torch or of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dorl.domains import Domain, read_domain
from dorl.errors import InputError


@pytest.fixture(scope="module")
def lab(rendered: Path) -> Domain:
    """Six rendered cells, one of them without a class and a mask."""
    found = read_domain(rendered / "dune" / "manifest.csv").take(range(6))
    found.table.loc[2, ["label", "mask"]] = None
    return found


def test_torch_has_images_classes_and_masks(lab: Domain) -> None:
    cells = lab.to_dataset()
    assert len(cells) == 6
    for i, item in enumerate(cells):
        np.testing.assert_array_equal(item["image"].permute(1, 2, 0), lab.load(i))
        assert item["path"] == lab.table["path"].iat[i]
        if i == 2:
            assert item["label"] == -1
            assert not item["mask"].any()
        else:
            assert cells.classes[item["label"]] == lab.table["label"].iat[i]
            np.testing.assert_array_equal(item["mask"], lab.load_mask(i))
    assert cells[-1]["path"] == cells[5]["path"]


def test_torch_makes_batches_in_other_processes(lab: Domain) -> None:
    batches = list(DataLoader(lab.to_dataset(), batch_size=4, num_workers=1))
    assert [tuple(one["image"].shape) for one in batches] == [(4, 3, 128, 128), (2, 3, 128, 128)]
    assert batches[0]["image"].dtype == torch.uint8
    assert batches[0]["mask"].dtype == torch.bool


def test_hugging_face_has_the_same(lab: Domain) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    table: Any = lab.to_dataset("huggingface")
    assert len(table) == 6
    assert tuple(table.features["label"].names) == lab.classes
    for i, row in enumerate(table):
        np.testing.assert_array_equal(np.asarray(row["image"]), lab.load(i))
        label = row["label"]
        assert (None if label is None else table.features["label"].int2str(label)) == lab.table["label"].iat[i]
        if i == 2:
            assert row["mask"] is None
        else:
            np.testing.assert_array_equal(np.asarray(row["mask"]) > 0, lab.load_mask(i))


def test_another_kind_is_told(lab: Domain) -> None:
    with pytest.raises(InputError, match="give one of torch, huggingface"):
        lab.to_dataset("tensorflow")
