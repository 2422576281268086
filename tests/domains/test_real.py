"""The real labs beside the repository, where they are there: what their README says is what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains import Domain, read_domain

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def real(path: str) -> Domain:
    if not (SHARED / path).exists():
        pytest.skip(f"the real images are not here: ../shared/data/{path}")
    return read_domain(SHARED / path)


@pytest.mark.shared
def test_acevedo_for_real():
    lab = real("PBC_dataset_normal_DIB")
    assert lab.layout == "acevedo"
    assert lab.describe()["classes"] == {
        "basophil": 400,
        "eosinophil": 600,
        "erythroblast": 450,
        "lymphocyte_typical": 450,
        "metamyelocyte": 250,
        "monocyte": 500,
        "myelocyte": 250,
        "neutrophil_banded": 450,
        "neutrophil_segmented": 500,
        "promyelocyte": 200,
    }
    assert sorted(lab.describe()["left_out"].values()) == [20, 40, 90]
    assert lab.load(0).shape == (363, 360, 3)


@pytest.mark.shared
def test_jtsc_for_real():
    lab = real("JTSC_zheng2018/labels.csv")
    assert (lab.name, len(lab)) == ("JTSC_zheng2018", 300)
    counts = {"basophil": 1, "eosinophil": 22, "lymphocyte": 53, "monocyte": 48, "neutrophil": 176}
    assert lab.describe()["classes"] == counts
    assert "class basophil has a single image (kept)" in lab.describe()["notes"]
    for i in range(len(lab)):
        mask = lab.load_mask(i)
        assert mask.shape == lab.load(i).shape[:2]
        assert 0.02 < mask.mean() < 0.98
        with Image.open(lab.root / lab.table["mask"][i]) as levels:  # 0, 128 and 255
            assert ((np.asarray(levels) != 0) == mask).all()


@pytest.mark.shared
def test_bccd_for_real():
    lab = real("BCCD_cropped")
    counts = {"basophil": 3, "eosinophil": 88, "lymphocyte": 33, "monocyte": 20, "neutrophil": 207}
    assert (lab.layout, lab.describe()["classes"]) == ("folders", counts)


@pytest.mark.shared
def test_raabin_for_real():
    lab = real("TXL_fields/raabin")
    assert (lab.layout, len(lab), lab.classes) == ("flat", 500, ())
    assert lab.load(0).shape == (575, 575, 3)
