"""Reading a lab from every layout, and from every kind of wrong input."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import Domain, parse_lab, read_domain, read_domains
from dorl.errors import BadImageError, InputError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (200, 150, 180)).save(root / name)


def reasons(lab: Domain) -> dict[str, str]:
    return dict(zip(lab.left_out["path"], lab.left_out["reason"], strict=True))


def by_path(lab: Domain, column: str = "label") -> dict[str, str | None]:
    return dict(zip(lab.table["path"], lab.table[column], strict=True))


def refused(path: str | Path, match: str, **options: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_domain(path, **options)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- layouts


def test_acevedo_by_its_names(tmp_path):
    put(tmp_path, "x/BA_1.jpg", "x/SNE_22.jpg", "y/ERB_3.jpg", "y/LY_4.jpg", "z/PLATELET_5.jpg", "z/IG_6.jpg")
    lab = read_domain(tmp_path)
    assert lab.layout == "acevedo"
    assert by_path(lab) == {
        "x/BA_1.jpg": "basophil",
        "x/SNE_22.jpg": "neutrophil_segmented",
        "y/ERB_3.jpg": "erythroblast",
        "y/LY_4.jpg": "lymphocyte_typical",
    }
    assert by_path(lab, "raw_label")["y/LY_4.jpg"] == "LY"
    assert reasons(lab)["z/PLATELET_5.jpg"].startswith("left out by the method: PLATELET")
    assert reasons(lab)["z/IG_6.jpg"].startswith("left out by the method: IG")


def test_acevedo_by_the_folder_name(tmp_path):
    root = tmp_path / "PBC_dataset_normal_DIB"
    put(root, "a/MO_1.jpg", "a/other.jpg", "a/XYZ_2.jpg", "a/more.jpg")
    lab = read_domain(root)
    assert (lab.layout, lab.name) == ("acevedo", "PBC_dataset_normal_DIB")
    assert by_path(lab) == {"a/MO_1.jpg": "monocyte"}
    assert reasons(lab)["a/XYZ_2.jpg"] == "unknown class 'XYZ'"
    assert len(lab.left_out) == 3


def test_matek(tmp_path):
    put(
        tmp_path, "deep/NGB/NGB_0001.tiff", "deep/MOB/MOB_0001.tiff", "deep/PMB/PMB_0001.tiff", "deep/QQQ/QQQ_0001.tiff"
    )
    lab = read_domain(tmp_path)
    assert lab.layout == "matek"
    assert sorted(lab.labels) == ["monocyte", "neutrophil_banded"]
    assert reasons(lab)["deep/PMB/PMB_0001.tiff"].startswith("left out by the method: PMB")
    assert reasons(lab)["deep/QQQ/QQQ_0001.tiff"] == "unknown class 'QQQ'"


def test_a_folder_per_class(tmp_path):
    put(tmp_path, "Segmented Neutrophils/1.png", "lymph/2.JPG", "Aliens/3.png", "4.png")
    lab = read_domain(tmp_path)
    assert lab.layout == "folders"
    assert by_path(lab) == {"Segmented Neutrophils/1.png": "neutrophil_segmented", "lymph/2.JPG": "lymphocyte"}
    assert by_path(lab, "raw_label")["Segmented Neutrophils/1.png"] == "Segmented Neutrophils"
    assert reasons(lab)["Aliens/3.png"] == "unknown class 'Aliens'"
    assert "4.png" in reasons(lab)


def test_folders_below_and_above_the_class(tmp_path):
    put(tmp_path, "train/Monocyte/1.png", "Basophil/patient 3/2.png")
    assert by_path(read_domain(tmp_path)) == {
        "Basophil/patient 3/2.png": "basophil",
        "train/Monocyte/1.png": "monocyte",
    }


def test_flat(tmp_path):
    put(tmp_path, "b.png", "deep/er/a.tif", "a.bmp")
    lab = read_domain(tmp_path)
    assert lab.layout == "flat"
    assert list(lab.table["path"]) == ["a.bmp", "b.png", "deep/er/a.tif"]
    assert lab.classes == ()
    assert lab.load(2).shape == (10, 12, 3)


def test_the_layout_asked_for_wins(tmp_path):
    put(tmp_path, "monocyte/BA_1.png")
    assert read_domain(tmp_path).labels.tolist() == ["monocyte"]
    assert read_domain(tmp_path, layout="acevedo").labels.tolist() == ["basophil"]
    assert read_domain(tmp_path, layout="folders").labels.tolist() == ["monocyte"]
    assert read_domain(tmp_path, layout="flat").labels.tolist() == [None]
    refused(tmp_path, "unknown class 'monocyte'", layout="matek")


def test_hidden_and_other_files_are_passed_over(tmp_path):
    put(tmp_path, "a.png", ".hidden.png", ".cache/b.png", "__MACOSX/._a.png")
    for name in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / name).write_text("x")
    lab = read_domain(tmp_path)
    assert list(lab.table["path"]) == ["a.png"]
    assert lab.left_out.empty


def test_bad_images_are_left_out_with_the_reason(tmp_path):
    put(tmp_path, "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (5, 5)).save(tmp_path / "tiny.png")
    lab = read_domain(tmp_path)
    assert list(lab.table["path"]) == ["good.png"]
    assert reasons(lab) == {
        "empty.png": "the file is empty",
        "text.jpg": "not a readable jpg, png, bmp, tiff, webp or gif image",
        "tiny.png": "5×5 pixels, below 8 a side",
    }


def test_a_truncated_image_is_found_when_loaded(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    lab = read_domain(tmp_path)
    with pytest.raises(BadImageError, match="truncated"):
        lab.load(0)


@pytest.mark.posix
def test_a_name_that_is_no_utf8_is_read(tmp_path):
    put(tmp_path, "a.png")
    try:
        os.link(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    lab = read_domain(tmp_path)
    assert list(lab.table["path"]) == ["a.png", "\\xff.png"]  # text that can be written to any file
    assert (lab.load(0) == lab.load(1)).all()
    assert lab.left_out.empty


# ---------------------------------------------------------------- wrong input


def test_missing_and_empty(tmp_path):
    refused(tmp_path / "none", "no such file or folder")
    refused(tmp_path, "holds no jpg, png, bmp, tiff, webp or gif")
    refused("x" * 5000, "no such file or folder")
    refused("", "no path|no such")


def test_nothing_is_left(tmp_path):
    (tmp_path / "a.png").touch()
    refused(tmp_path, "none of 1 image can be used, most since: the file is empty")


def test_other_files(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("x")
    refused(tmp_path / "a.txt", "is a file; give a folder")
    refused(tmp_path / "a.png", "is a file; give a folder")


def test_unknown_layout_and_name(tmp_path):
    put(tmp_path, "a.png")
    refused(tmp_path, "layout 'zebra' is unknown: give one of auto, acevedo", layout="zebra")
    refused(tmp_path, "can't name a lab", name="a/b")


def test_default_name(tmp_path):
    put(tmp_path / "Lab 3 (2020)", "a.png")
    assert read_domain(tmp_path / "Lab 3 (2020)").name == "Lab-3-2020"
    assert read_domain(tmp_path / "Lab 3 (2020)", name="x").name == "x"


# ---------------------------------------------------------------- name=path, several labs


def test_parse_lab(tmp_path):
    assert parse_lab("clinic=/data/x") == ("clinic", "/data/x")
    assert parse_lab("/data/x") == (None, "/data/x")
    assert parse_lab("clinic=/data/a=b") == ("clinic", "/data/a=b")
    assert parse_lab("/data/a=b/c") == (None, "/data/a=b/c")
    assert parse_lab("clinic=~/x") == ("clinic", str(Path.home() / "x"))
    assert parse_lab("ba\u0308r=x") == ("b\xe4r", "x")
    (tmp_path / "a=b").mkdir()
    assert parse_lab(f"{tmp_path}/a=b") == (None, f"{tmp_path}/a=b")


@pytest.mark.parametrize("text", ["", "clinic=", "=", "=/data/x"])
def test_half_a_lab_never_reads_the_working_folder(text, tmp_path, monkeypatch):
    put(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        read_domains([text])


def test_read_domains(tmp_path):
    put(tmp_path, "one/a.png", "two/a.png")
    one = read_domain(tmp_path / "one")
    labs = read_domains([one, f"other={tmp_path / 'two'}", str(tmp_path / "two")])
    assert [lab.name for lab in labs] == ["one", "other", "two"]
    assert labs[0] is one
    with pytest.raises(InputError, match="2 labs are named 'one'"):
        read_domains([one, f"one={tmp_path / 'two'}"])
    with pytest.raises(InputError, match="no lab given"):
        read_domains([])


# ---------------------------------------------------------------- properties

word = st.sampled_from(["BA", "NGS", "neutrophil", "Lymphocytes", "xyz", "IG", "images", "", "PMB", "smears"])
stem = st.sampled_from(["BA_1", "SNE_20", "NGS_0001", "a", "PLATELET_3", "_", "IMG_7", "XX_1"])
suffix = st.sampled_from([".png", ".jpg", ".tiff", ".PNG"])
PNG = b""


def png() -> bytes:
    global PNG
    if not PNG:
        with tempfile.TemporaryDirectory() as folder:
            put(Path(folder), "a.png")
            PNG = (Path(folder) / "a.png").read_bytes()
    return PNG


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(word, word, stem, suffix), min_size=1, max_size=8), st.data())
def test_every_image_is_in_the_table_or_left_out(files, data):
    with tempfile.TemporaryDirectory() as folder:
        names = {"/".join(filter(None, parts[:2])) + f"/{parts[2]}{parts[3]}" for parts in files}
        names = {name.removeprefix("/") for name in names}
        for name in names:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.draw(st.sampled_from([png(), png(), b"", b"junk"])))
        try:
            lab = read_domain(folder)
        except InputError:
            return
        kept, left = list(lab.table["path"]), list(lab.left_out["path"])
        assert sorted(kept + left) == sorted(names)
        assert kept == sorted(kept)
        assert all(lab.load(i).shape == (10, 12, 3) for i in range(len(lab)))
        assert lab.describe()["images"] + sum(lab.describe()["left_out"].values()) == len(names)


# ---------------------------------------------------------------- folders that aren't looked into


@pytest.mark.posix
def test_links_that_lead_out_or_round_are_said_and_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "b.png")
    put(tmp_path / "lab", "Monocyte/a.png")
    (tmp_path / "lab" / "Basophil").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "lab" / "Monocyte" / "round").symlink_to(tmp_path / "lab")
    lab = read_domain(tmp_path / "lab")
    assert by_path(lab) == {"Monocyte/a.png": "monocyte"}
    out = "is a link that leads out of the folder given: put the file or folder itself there"
    assert reasons(lab) == {"Basophil": out, "Monocyte/round": "is a link to a folder that is read already"}
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "Basophil").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "links", rf"gif image \(Basophil: {out}\)")


def test_folders_that_may_not_be_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "Monocyte/a.png", "Basophil/b.png")
    scandir = os.scandir

    def guarded(place: str) -> object:  # an administrator may read everything, and may run this test
        if Path(place).name == "Basophil":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", guarded)
    lab = read_domain(tmp_path)
    assert by_path(lab) == {"Monocyte/a.png": "monocyte"}
    assert reasons(lab) == {"Basophil": "can't be looked into (Permission denied)"}
