"""The road on real images, where they are there."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.classification import CLASSIFIERS, VIEWS
from dorl.commands.finetune import finetune
from dorl.commands.fit import evaluate
from dorl.domains import Domain, read_domain
from dorl.segmentation import Segmenter
from dorl.segmentation.finetune import evaluate_masks

pytestmark = [pytest.mark.shared, pytest.mark.slow]

LABS = {
    "acevedo": "PBC_dataset_normal_DIB",
    "jtsc": "JTSC_zheng2018/labels.csv",
    "bccd": "BCCD_cropped",
}
#: three in each lab: the lymphocytes of one are typical, the others don't say
CLASSES = ("eosinophil", "lymphocyte", "lymphocyte_typical", "monocyte")


def some(lab: Domain, count: int) -> Domain:
    """A few images of each class that has them, alike on every machine."""
    kept = lab.take(lab.table["label"].isin(CLASSES).to_numpy())
    rank = kept.table.groupby("label").cumcount().to_numpy()
    return kept.take(np.sort(np.argsort(rank, kind="stable")[:count]))


def test_three_real_labs_give_the_whole_table_and_the_papers_figures(data: Path, tmp_path: Path) -> None:
    labs = [some(read_domain(data / path, name=name), 12) for name, path in LABS.items()]
    assert all(len(lab) == 12 and len(lab.classes) == 3 for lab in labs)
    evaluate(labs, out=tmp_path / "out", iterations=3, folds=2)
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    found = set(zip(results["train"], results["test"], results["classifier"], strict=True))
    assert found == set(product(LABS, LABS, [VIEWS, *CLASSIFIERS]))
    assert len(results) == 9 * 7 * 2
    assert results["accuracy"].between(0, 1).all()
    for name in ("grey_levels", "class_counts", "reconstructions", "latent_space"):
        assert (tmp_path / "out" / "figures" / f"{name}.png").stat().st_size > 5000
    assert "acevedo→jtsc" in (tmp_path / "out" / "table.md").read_text()


def test_the_bundled_network_finds_the_cells_of_a_real_lab(data: Path) -> None:
    lab = read_domain(data / LABS["jtsc"])
    assert dice(Segmenter.load("tiny"), lab, range(0, 300, 12)) > 0.9


def test_fine_tuning_teaches_what_the_network_did_not_know(data: Path, tmp_path: Path) -> None:
    jtsc = data / "JTSC_zheng2018"
    table = pd.read_csv(jtsc / "labels.csv").iloc[:240:6]
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for image, mask in zip(table["image"], table["mask"], strict=True):
        shutil.copy(jtsc / image, tmp_path / image)
        nucleus = np.asarray(Image.open(jtsc / mask)) == 255  # the cytoplasm is 128
        Image.fromarray(nucleus).save(tmp_path / mask)
    split = ["test" if number % 5 == 0 else "train" for number in range(40)]
    table.assign(split=split)[["image", "mask", "split"]].to_csv(tmp_path / "nuclei.csv", index=False)
    lab = read_domain(tmp_path / "nuclei.csv", name="nuclei")
    before = dice(Segmenter.load("tiny"), lab, range(0, 40, 5))
    history = finetune([lab], out=tmp_path / "tuned", epochs=3, batch_size=8, learning_rate=2e-3)
    assert history["dice"].max() > before + 0.05
    assert dice(Segmenter.load(tmp_path / "tuned"), lab, range(0, 40, 5)) == pytest.approx(history["dice"].max())


def dice(segmenter: Segmenter, lab: Domain, chosen: range) -> float:
    """Mean Dice on some images of a lab."""
    return evaluate_masks(segmenter, [(lab, i) for i in chosen])[0]
