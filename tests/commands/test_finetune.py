from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dorl.commands.finetune import _digest, _held_out, finetune
from dorl.commands.segment import segment
from dorl.domains import Domain, read_domain
from dorl.errors import InputError
from dorl.segmentation import Segmenter


@pytest.mark.slow
def test_finetune_writes_an_adapter_that_segments(rendered: Path, tmp_path: Path) -> None:
    lab = f"dune={rendered / 'dune' / 'manifest.csv'}"
    history = finetune([lab], out=tmp_path / "tuned", epochs=2, batch_size=8)
    assert history["epoch"].tolist() == [1, 2]
    assert history["dice"].max() > 0.9
    assert (tmp_path / "tuned" / "segmenter.safetensors").stat().st_size < 4e6
    segment(rendered / "harbour" / "images", out=tmp_path / "masks", segmenter=tmp_path / "tuned")
    assert len(list((tmp_path / "masks").glob("*.png"))) == 30
    with pytest.raises(InputError, match="finished segmenter"):
        finetune([lab], out=tmp_path / "tuned", epochs=2)
    with pytest.raises(InputError, match="has an adapter already"):
        finetune([lab], out=tmp_path / "more", segmenter=tmp_path / "tuned", epochs=1)


@pytest.mark.slow
def test_rank_0_tunes_all_weights(rendered: Path, tmp_path: Path) -> None:
    history = finetune([f"dune={rendered / 'dune' / 'manifest.csv'}"], out=tmp_path / "tuned", rank=0, epochs=1)
    assert history["dice"].max() > 0.85
    tuned, base = Segmenter.load(tmp_path / "tuned"), Segmenter.load("tiny")
    assert tuned.rank == 0
    before = base.base_state()
    assert all(
        not torch.equal(tensor, before[name]) for name, tensor in tuned.base_state().items() if "qkv.weight" in name
    )


def test_finetune_says_what_it_left_out_and_needs_images_to_hold_out(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(rendered / "dune" / "manifest.csv").iloc[:2]
    for name in (*table["image"], *table["mask"]):
        (tmp_path / "lab" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rendered / "dune" / name, tmp_path / "lab" / name)
    Image.new("L", (20, 20), 255).save(tmp_path / "lab" / table["mask"].iat[0])
    table.to_csv(tmp_path / "lab" / "labels.csv", index=False)
    with pytest.raises(InputError, match="0 images with masks to train on and 1 to hold out"):
        finetune([f"lab={tmp_path / 'lab' / 'labels.csv'}"], out=tmp_path / "tuned", epochs=1)
    said = capsys.readouterr().err
    assert f"left out: {table['image'].iat[0]}: {table['mask'].iat[0]}: the mask has 20×20 pixels" in said
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("written", ["Test", "VAL", "held-out"])
def test_what_is_held_out_is_said_in_any_letters(written: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"path": list("abcde"), "split": ["Train", written, None, "train", written]})
    lab = Domain("lab", tmp_path, "manifest", table)
    assert _held_out(lab, 0.2, np.random.default_rng(0)).tolist() == [False, True, False, False, True]


def test_corrected_masks_are_another_training(rendered: Path, tmp_path: Path) -> None:
    shutil.copytree(rendered / "dune", tmp_path / "dune")
    lab = read_domain(tmp_path / "dune" / "manifest.csv")
    train, held_out = [(lab, 0), (lab, 1)], [(lab, 2)]
    before = _digest(train, held_out)
    assert before == _digest(train, held_out) != _digest(train[:1], [*train[1:], *held_out])
    mask = tmp_path / "dune" / lab.table["mask"].iat[1]
    Image.new("L", Image.open(mask).size, 255).save(mask)
    assert _digest(train, held_out) != before


def test_finetune_refuses_a_lab_without_masks(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no masks"):
        finetune([f"bare={rendered / 'dune' / 'images'}"], out=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()
