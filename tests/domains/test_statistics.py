"""Grey levels and class counts of labs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.domains import Domain
from dorl.domains.sources import ArraySource
from dorl.domains.statistics import class_counts, grey_levels


def lab(name: str, images: list[np.ndarray], labels: list[str | None] | None = None) -> Domain:
    paths = [str(i) for i in range(len(images))]
    table = pd.DataFrame({"path": paths, "label": labels or [None] * len(images)})
    return Domain(name, Path(), "made-up", table, source=ArraySource(dict(zip(paths, images, strict=True))))


def plain(*colour: int, side: int = 10) -> np.ndarray:
    return np.full((side, side, 3), colour, dtype=np.uint8)


def test_each_image_counts_the_same_whatever_its_size():
    levels = grey_levels(lab("a", [plain(0, 0, 0), plain(255, 255, 255, side=40)]))
    assert levels.shape == (256,)
    assert levels[0] == levels[255] == pytest.approx(0.5)
    assert levels.sum() == pytest.approx(1)


def test_luma():
    levels = grey_levels(lab("a", [plain(255, 0, 0), plain(0, 255, 0), plain(0, 0, 255)]))
    assert np.flatnonzero(levels).tolist() == pytest.approx([29, 76, 150], abs=1)


def test_limit_draws_by_seed():
    many = lab("a", [plain(i, i, i) for i in range(100)])
    seven = grey_levels(many, limit=7, seed=1)
    assert np.count_nonzero(seven) == 7
    np.testing.assert_array_equal(seven, grey_levels(many, limit=7, seed=1))
    assert (seven != grey_levels(many, limit=7, seed=2)).any()
    np.testing.assert_array_equal(grey_levels(many, limit=1000), grey_levels(many))


def test_bad_images_are_passed_over_and_reported(tmp_path, capsys):
    Image.new("RGB", (20, 20), "white").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    levels = grey_levels(Domain("clinic", tmp_path, "flat", pd.DataFrame({"path": ["a.png", "b.png"]})))
    assert levels[255] == 1
    assert "b.png" in capsys.readouterr().err


def test_no_readable_image(tmp_path):
    assert not grey_levels(Domain("clinic", tmp_path, "flat", pd.DataFrame({"path": ["a.png"]}))).any()


def test_class_counts():
    a = lab("a", [plain(0, 0, 0)] * 4, ["monocyte", "monocyte", "neutrophil", None])
    b = lab("b", [plain(0, 0, 0)], ["basophil"])
    counts = class_counts([a, b])
    assert counts.columns.tolist() == ["a", "b"]
    assert counts.loc["monocyte"].tolist() == [2, 0]
    assert counts.loc["basophil"].tolist() == [0, 1]
    assert counts.to_numpy().sum() == 4
    assert all(kind.kind == "i" for kind in counts.dtypes)


def test_class_counts_without_labels():
    assert class_counts([lab("a", [plain(0, 0, 0)])]).empty
