from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.cells import CellStore
from dorl.errors import InputError
from dorl.reporting.report import write_run_report


def test_the_report_shows_labs_tables_figures_and_settings(run: Path) -> None:
    (run / "report.html").unlink()
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | {"mistakes": []}))  # how many there are is chance
    text = write_run_report(run).read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Warnings",
        "Labs",
        "In short: from lab to lab",
        "Accuracy, by the tree of classes",
        "Accuracy, flat",
        "Balanced accuracy, by the tree of classes",
        "Macro-F1, by the tree of classes",
        "Macro-F1, flat",
        "What each pair compares",
        "Confusion matrices",
        "A class at a time",
        "Confusion at each node of the tree",
        "ROC and precision-recall curves",
        "Agreement beyond chance",
        "Reliability, before probabilities are corrected",
        "Latent space",
        "How far the labs are apart",
        "Grey levels",
        "Class counts",
        "Original, segmented, reconstructed",
        "How far probabilities can be taken at their word",
        "The autoencoder&#39;s training",
        "Notes",
        "Reporting checklist",
        "All settings",
    ]
    for shown in ("harbour – dune", "harbour → dune", "SVM (linear)", "autoencoder.depth"):
        assert shown in text
    assert text.count("data:image/png;base64,") == 7
    assert text.count("data:image/jpeg;base64,") == 1
    assert not re.search(r"(src|href)=\"https?:", text)
    assert str(run.parent) not in text


def test_it_is_made_from_what_lies_in_the_folder(run: Path) -> None:
    results = pd.read_csv(run / "results.csv")
    results["accuracy"] = 0.4321
    results.to_csv(run / "results.csv", index=False)
    (run / "figures" / "loss.png").unlink()
    text = write_run_report(run).read_text()
    assert "43.21 ± 0.00" in text
    assert text.count("data:image/png;base64,") == 6


def test_the_map_has_every_cell_with_its_picture_and_the_place_in_the_features_file(run: Path) -> None:
    text = (run / "report.html").read_text()
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
    data = json.loads(data)
    features = anndata.read_h5ad(run / "features.h5ad")
    assert data["names"] == features.obs["path"].tolist()
    lab, of_class = data["groupings"]
    assert [lab["groups"][i]["name"] for i in lab["of"]] == features.obs["domain"].tolist()
    assert [of_class["groups"][i]["name"] for i in of_class["of"]] == features.obs["label"].tolist()
    placed = features.obsm["X_umap"]
    np.testing.assert_allclose(np.corrcoef(np.array(data["places"])[:, 0], placed[:, 0])[0, 1], 1, atol=1e-3)
    (sheet,) = re.findall(r'class="sheet" hidden alt="" src="data:image/jpeg;base64,(.*?)"', text)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet))))
    crops = CellStore.open(run / "cells").batch([5], "crops")[0]
    shown = pixels[: data["side"], 5 * data["side"] : 6 * data["side"]].mean((0, 1))
    np.testing.assert_allclose(shown, crops[0].mean((0, 1)), atol=4)


@pytest.mark.parametrize("name", ["cells", "features.h5ad"])
def test_without_cells_or_features_the_drawn_latent_space_is_shown(run: Path, name: str) -> None:
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    text = write_run_report(run).read_text()
    assert "<script" not in text
    assert text.count("data:image/png;base64,") == 7


def test_a_run_of_an_earlier_dorl_has_a_report_too(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("mistakes", "distances", "expected"):
        del metrics[name]
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = write_run_report(run).read_text()
    assert "In short" in text
    assert "Most confidently wrong" not in text


def test_the_cells_most_confidently_wrong_are_shown_while_their_pictures_are_there(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    wrong = {"lab": "dune", "train": "harbour", "true": "monocyte", "predicted": "basophil<b>", "row": 40}
    metrics["mistakes"] = [{**wrong, "path": f"images/{i}.png", "probability": 0.9 - i / 10} for i in range(3)]
    (run / "metrics.json").write_text(json.dumps(metrics))
    shutil.rmtree(run / "figures" / "mistakes", ignore_errors=True)
    (run / "figures" / "mistakes").mkdir()
    for number in (1, 3):
        Image.new("RGB", (260, 128)).save(run / "figures" / "mistakes" / f"{number:02d}.jpg")
    text = write_run_report(run).read_text()
    assert "Most confidently wrong" in text
    assert re.findall(r"<p>(images/\d.png)</p>", text) == ["images/0.png", "images/2.png"]
    assert "<p>basophil&lt;b&gt;, 90 %</p><p>labelled monocyte</p><p>dune, learnt from harbour</p>" in text


def test_the_accuracy_expected_on_other_labs_is_shown(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["expected"] == []  # both labs are learnt
    row = {"source": ["harbour"], "lab": "new<i>", "cells": 9, "adapted": True}
    metrics["expected"] = [{**row, "accuracy": 0.625, "low": 0.5, "high": 0.75}]
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = write_run_report(run).read_text()
    assert "<td>new&lt;i&gt;</td>" in text
    assert "50 to 75" in text
    assert "by an estimate without labels, 62 % (50 to 75) of the answers" in text


def test_what_was_left_out_is_shown_and_text_from_outside_is_no_markup(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["labs"]["dune"]["left_out"] = {"unknown class '<b>x</b>'": 3}
    metrics["labs"]["dune"]["notes"] = ["class basophil has a single image (kept)"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = write_run_report(run).read_text()
    assert "dune: 3 left out: unknown class" in text
    assert "<b>x</b>" not in text
    assert "class basophil has a single image (kept)" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", None, "not finished"),
        ("metrics.json", "{", "damaged"),
        ("metrics.json", "[]", "damaged"),
        ("metrics.json", '{"labs": {}}', "damaged"),
        ("metrics.json", '{"labs": {}, "seconds": 1, "notes": []}', "nothing of lab 'harbour'"),
        ("results.csv", None, "missing"),
        ("results_flat.csv", "", "damaged"),
        ("results.csv", "train,test\na,b\n", "no column 'method'"),
        ("config.toml", None, "missing"),
    ],
)
def test_a_missing_or_damaged_file_is_named_and_the_report_stays(
    run: Path, name: str, content: str | None, message: str
) -> None:
    before = (run / "report.html").read_bytes()
    (run / name).unlink() if content is None else (run / name).write_text(content)
    with pytest.raises(InputError, match=name) as caught:
        write_run_report(run)
    assert message in str(caught.value)
    assert (run / "report.html").read_bytes() == before
