"""What of a run others may have: a folder that opens as the run, and says nothing of images, patients and paths."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest

from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.run.folder import METRICS, read_config
from dorl.run.model import DoRL
from dorl.run.provenance import differences
from dorl.run.sharing import cleaned_config, share, shared_names
from dorl.tensorfiles import load_tensors, save_tensors


def everything(folder: Path) -> bytes:
    """The bytes of all files, one after the other."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_what_others_get_classifies_as_the_run_does(fitted: Path, rendered: Path, tmp_path: Path) -> None:
    own = DoRL.load(fitted)
    own.save_pretrained(tmp_path / "shared")
    images = [read_domain(rendered / "dune" / "manifest.csv").load(i) for i in range(3)]
    other = DoRL.from_pretrained(tmp_path / "shared")
    assert np.array_equal(own.predict_proba(images), other.predict_proba(images))
    assert np.array_equal(own.transform(images), other.transform(images))


@pytest.mark.parametrize("cells", [False, True])
def test_others_learn_no_path_no_patient_and_no_name_of_an_image(
    fitted: Path, rendered: Path, tmp_path: Path, cells: bool
) -> None:
    written = share(fitted, tmp_path / "shared", cells=cells)
    found = everything(tmp_path / "shared")
    known = everything(fitted)
    for secret in (str(rendered).encode(), b"patient00", b"images/000.png"):
        assert secret in known
        assert secret not in found
    names = {path.relative_to(tmp_path / "shared").as_posix() for path in written}
    assert ("cells/crops.bin" in names) == cells
    assert not names & {"report.html", "duplicates.csv"}
    assert not [name for name in names if name.startswith("figures")]
    assert {path for path in (tmp_path / "shared").rglob("*") if path.is_file()} == set(written)


def test_features_and_cells_keep_belonging_together(fitted: Path, tmp_path: Path) -> None:
    share(fitted, tmp_path / "shared", cells=True)
    before, after = (anndata.read_h5ad(run / "features.h5ad") for run in (fitted, tmp_path / "shared"))
    lines = (tmp_path / "shared" / "cells" / "index.jsonl").read_text().splitlines()
    assert after.obs_names.tolist() == [json.loads(line)["key"] for line in lines]
    assert after.obs_names[0] == "harbour/000000"
    assert np.array_equal(before.X, after.X)
    assert before.obs["label"].tolist() == after.obs["label"].tolist()
    assert after.obs["patient"].isna().all()


def test_its_record_is_of_the_files_that_others_get(fitted: Path, tmp_path: Path) -> None:
    share(fitted, tmp_path / "shared")
    assert differences(tmp_path / "shared", "1", "1") == differences(fitted, "1", "1") == []


def test_the_card_begins_with_what_the_hub_reads(fitted: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    share(fitted, tmp_path / "shared", licence="cc-by-4.0", repository="someone/cells")
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "dorl")
    results = json.loads((fitted / METRICS).read_text())["results"]
    row = next(row for row in results if row["classifier"] == "Views" and row["test"] == "dune")
    told = [one.metric_value for one in card.data.eval_results if row["train"] in one.dataset_name]
    assert row["accuracy"] in told
    for text in ("hub:someone/cells IMAGES", "## Licence\nThe weights: cc-by-4.0.", "## Limits", "| harbour | dune |"):
        assert text in card.text
    share(fitted, tmp_path / "without", repository="someone/cells")
    assert "Its makers named none for the weights." in (tmp_path / "without" / "README.md").read_text()


def test_settings_lose_the_folders_of_weights_and_mixes(fitted: Path) -> None:
    config = read_config(fitted)
    made = config.model_copy(
        update={
            "segmenter": config.segmenter.model_copy(update={"name": "/home/me/tuned", "encoder": "/home/me/dino.pth"}),
            "classifiers": config.classifiers.model_copy(update={"expect": "/home/me/mix.csv", "shares": {"a": 1.0}}),
        }
    )
    cleaned = cleaned_config(made)
    assert "/home/me" not in cleaned.to_toml()
    assert (cleaned.segmenter.name, cleaned.segmenter.encoder) == ("tuned", "dino.pth")
    assert cleaned.classifiers.shares == {"a": 1.0}
    hub = config.model_copy(
        update={"segmenter": config.segmenter.model_copy(update={"name": "facebook/sam", "base": "facebook/sam"})}
    )
    assert cleaned_config(hub).segmenter.name == "facebook/sam"


def test_an_adapter_names_its_base_without_its_folder(run: Path, tmp_path: Path) -> None:
    tensors, header = load_tensors(run / "segmenter.safetensors")
    save_tensors(run / "segmenter.safetensors", tensors, {**header, "base_file": "/home/me/sam.pth"})
    share(run, tmp_path / "shared", repository="someone/cells")
    assert load_tensors(tmp_path / "shared" / "segmenter.safetensors")[1]["base_file"] == "sam.pth"
    assert "Its base, the file `sam.pth`, is not here" in (tmp_path / "shared" / "README.md").read_text()


def test_a_folder_that_holds_anything_is_refused(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder; give another one"):
        share(fitted, tmp_path)
    assert shared_names(tmp_path) == []
