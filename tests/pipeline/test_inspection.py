from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from dorl.errors import InputError
from dorl.pipeline import inspect


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
