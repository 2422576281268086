from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from dorl.domains import read_domain
from dorl.errors import InputError
from dorl.pipeline import suggest


@pytest.fixture
def images(rendered: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "new" / "images"
    folder.mkdir(parents=True)
    for path in sorted((rendered / "dune" / "images").iterdir())[:12]:
        shutil.copy(path, folder)
    return folder


def test_what_is_suggested_is_a_manifest_once_it_is_labelled(fitted: Path, images: Path) -> None:
    out = images.parent / "to-label.csv"
    table = suggest(fitted, images, out=out, n=5)
    written = pd.read_csv(out, keep_default_na=False)
    assert list(written) == ["image", "label", "predicted", "probability"]
    assert written["image"].tolist() == table["image"].tolist()
    assert written["probability"].between(0, 1).all()
    assert read_domain(out).labels.tolist() == [None] * 5
    written.assign(label="monocyte").to_csv(out, index=False)
    lab = read_domain(out)
    assert lab.labels.tolist() == ["monocyte"] * 5
    assert lab.load(0).shape == (128, 128, 3)


def test_labels_that_were_filled_in_are_never_written_over(fitted: Path, images: Path) -> None:
    out = images / "to-label.csv"
    out.write_text("image,label\n")
    with pytest.raises(InputError, match="perhaps with labels"):
        suggest(fitted, images, out=out)
    assert out.read_text() == "image,label\n"


def test_a_place_from_which_the_images_can_not_be_named_is_refused(fitted: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in the images' folder or above it"):
        suggest(fitted, images, out=tmp_path / "elsewhere" / "to-label.csv")
    with pytest.raises(InputError, match=r"ends in \.csv"):
        suggest(fitted, images, out=images)
    with pytest.raises(InputError, match="n is 0"):
        suggest(fitted, images, out=images / "x.csv", n=0)
    assert not (tmp_path / "elsewhere").exists()
