from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.pipeline import finetune, segment
from dorl.pipeline.masks import mask_names


def test_masks_are_native_in_size_whole_and_right(rendered: Path, tmp_path: Path) -> None:
    done = segment(rendered / "dune" / "images", out=tmp_path / "masks")
    assert (done.written, done.kept, done.left_out) == (30, 0, 0)
    lab = read_domain(rendered / "dune" / "manifest.csv")
    dices = []
    for i, path in enumerate(lab.table["path"]):
        values = np.asarray(Image.open(tmp_path / "masks" / f"{Path(path).stem}.png"))
        assert values.shape == (128, 128)
        assert set(np.unique(values)) <= {0, 255}
        found, truth = values > 0, lab.load_mask(i)
        assert ndimage.label(found, np.ones((3, 3)))[1] <= 1
        dices.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert np.mean(dices) > 0.9


def test_a_second_start_keeps_what_is_there(rendered: Path, tmp_path: Path) -> None:
    image = sorted((rendered / "dune" / "images").iterdir())[0]
    segment(image, out=tmp_path / "masks")
    target = tmp_path / "masks" / f"{image.stem}.png"
    before = target.stat().st_mtime_ns
    done = segment(image, out=tmp_path / "masks")
    assert (done.written, done.kept) == (0, 1)
    assert target.stat().st_mtime_ns == before


def test_mask_names_never_collide() -> None:
    names = mask_names(["a/x.png", "b/x.png", "a/y.png", "c/z.png", "c/z.jpg"])
    assert names == ["a_x.png", "b_x.png", "y.png", "c_z_png.png", "c_z_jpg.png"]
    alike = mask_names(["a/x.png", "a_x.png", "b/x.png", "a_x_png.png", "a_x_png_2.png"])
    assert len(set(alike)) == 5


@pytest.mark.slow
def test_finetune_writes_an_adapter_that_segments(rendered: Path, tmp_path: Path) -> None:
    lab = f"dune={rendered / 'dune' / 'manifest.csv'}"
    history = finetune([lab], out=tmp_path / "tuned", epochs=2, batch_size=8)
    assert history["epoch"].tolist() == [1, 2]
    assert history["dice"].max() > 0.9
    assert (tmp_path / "tuned" / "segmenter.safetensors").stat().st_size < 4e6
    segment(rendered / "harbour" / "images", out=tmp_path / "masks", segmenter=tmp_path / "tuned")
    assert len(list((tmp_path / "masks").iterdir())) == 30
    with pytest.raises(InputError, match="finished segmenter"):
        finetune([lab], out=tmp_path / "tuned", epochs=2)
    with pytest.raises(InputError, match="has an adapter already"):
        finetune([lab], out=tmp_path / "more", segmenter=tmp_path / "tuned", epochs=1)


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


def test_finetune_refuses_a_lab_without_masks(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no masks"):
        finetune([f"bare={rendered / 'dune' / 'images'}"], out=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()
