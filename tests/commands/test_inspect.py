from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.cli import main
from dorl.commands.inspect import inspect
from dorl.errors import InputError


def test_inspect_counts_draws_and_lists_what_was_left_out(rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    for name in ("Monocyte", "Mystery"):
        (folder / name).mkdir(parents=True)
    images = sorted((rendered / "harbour" / "images").iterdir())
    (folder / "Monocyte" / "good.png").write_bytes(images[0].read_bytes())
    (folder / "Monocyte" / "cut.png").write_bytes(images[1].read_bytes()[:3000])
    (folder / "Mystery" / "x.png").write_bytes(images[2].read_bytes())
    (lab,) = inspect([f"mine={folder}"], out=tmp_path / "out")
    assert lab.table["path"].tolist() == ["Monocyte/good.png"]
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert sorted(left_out["path"]) == ["Monocyte/cut.png", "Mystery/x.png"]
    facts = json.loads((tmp_path / "out" / "labs.json").read_text())[0]
    assert facts["classes"] == {"monocyte": 1}
    assert "single image" in facts["notes"][0]
    for name in ("grey_levels.png", "class_counts.png"):
        assert (tmp_path / "out" / name).stat().st_size > 2000


def test_pictures_do_not_go_among_the_images(rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    shutil.copytree(rendered / "harbour" / "images", folder)
    for place in (folder, folder / "inspection"):
        with pytest.raises(InputError, match="lies among the images of mine, and what is written there would be taken"):
            inspect([f"mine={folder}"], out=place)
    assert not (folder / "inspection").exists()
    table = shutil.copy(rendered / "harbour" / "manifest.csv", tmp_path / "manifest.csv")
    shutil.copytree(rendered / "harbour" / "images", tmp_path / "images")
    shutil.copytree(rendered / "harbour" / "masks", tmp_path / "masks")
    inspect([f"mine={table}"], out=tmp_path / "beside")  # a manifest names its images


def test_without_a_folder_nothing_is_written(labs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [len(lab) for lab in inspect(labs)] == [30, 30]
    assert list(tmp_path.iterdir()) == []


def test_an_image_goes_with_its_mask_and_the_reason_names_the_mask(rendered: Path, tmp_path: Path) -> None:
    for name in ("images", "masks"):
        shutil.copytree(rendered / "dune" / name, tmp_path / name)
    table = pd.read_csv(rendered / "dune" / "manifest.csv")
    table.to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / table["mask"].iat[4]).write_bytes(b"nothing")
    (lab,) = inspect([f"dune={tmp_path / 'manifest.csv'}"])
    assert len(lab) == 29
    ((path, reason),) = lab.left_out.itertuples(index=False, name=None)
    assert path == table["image"].iat[4]
    assert reason == f"{table['mask'].iat[4]}: not a readable jpg, png, bmp, tiff, webp or gif image"


def test_the_user_says_which_value_is_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.zeros((20, 24), np.uint8)
    levels[3:17, 3:20], levels[8:12, 8:12] = 1, 2
    for number in range(3):
        Image.linear_gradient("L").resize((24, 20)).save(tmp_path / f"{number}.png")
        Image.fromarray(levels).save(tmp_path / f"{number}_mask.png")
    (lab,) = inspect([f"mine={tmp_path}"], mask_value=(2,))
    assert "masks: 2 is the cell, as --mask-value says" in lab.describe()["notes"]
    mask = lab.load_mask(1)
    assert mask is not None
    assert mask.sum() == 16
    (usual,) = inspect([f"mine={tmp_path}"])
    assert usual.load_mask(1).sum() == 14 * 17  # type: ignore[union-attr]
    assert usual.source.digest("1.png", "1_mask.png") != lab.source.digest("1.png", "1_mask.png")
    monkeypatch.setattr(sys, "argv", ["dorl", "inspect", str(tmp_path), "--mask-value", "white", "--out", "x"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
