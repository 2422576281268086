"""What lies in a folder: images are read, whatever their ending; the rest is listed; links are followed within."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains import Domain, formats, read_domain

PICTURE = Image.linear_gradient("L").resize((12, 10))


def put(path: Path, kind: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.convert("RGB").save(path, kind)


def reasons(lab: Domain) -> dict[str, str]:
    return dict(zip(lab.left_out["path"], lab.left_out["reason"], strict=True))


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("webp", "WEBP"), ("jfif", "JPEG"), ("gif", "GIF"), ("jpe", "JPEG"), ("jp2", "JPEG2000"), ("ppm", "PPM")],
)
def test_what_pillow_reads_is_read(tmp_path, ending, kind):
    put(tmp_path / f"a.{ending}", kind)
    put(tmp_path / f"b.{ending.upper()}", kind)
    lab = read_domain(tmp_path)
    assert len(lab) == 2
    assert np.abs(lab.load(0).astype(int) - np.asarray(PICTURE)[..., None]).max() < 40


@pytest.mark.parametrize(("ending", "kind", "package"), [("heic", "HEIF", "pillow_heif"), ("avif", "AVIF", None)])
def test_what_some_installations_read(tmp_path, ending, kind, package):
    if package:
        pytest.importorskip(package)
    if kind not in formats.FORMATS:
        pytest.skip(f"this Pillow reads no {ending}")
    put(tmp_path / f"a.{ending}", kind)
    assert read_domain(tmp_path).load(0).shape == (10, 12, 3)


def test_the_rest_is_listed_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "SUFFIXES", formats.SUFFIXES - {".heic"})
    put(tmp_path / "a.png")
    put(tmp_path / "f")
    put(tmp_path / "g.bak", "WEBP")
    for name in ("h.svs", "i.dcm", "j.XYZ", "k_seg.npy", "README", "notes.txt", "table.xlsx", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"hello")
    assert formats.why_not(tmp_path / "k.heic") == "heic is read with the package pillow-heif: pip install 'dorl[heic]'"
    lab = read_domain(tmp_path)
    assert lab.table["path"].tolist() == ["a.png"]
    assert reasons(lab) == {
        "f": "is a png image without the ending .png: rename it",
        "g.bak": "is a webp image without the ending .webp: rename it",
        "h.svs": ".svs is not read: save it as png or tiff, if it is an image",
        "i.dcm": ".dcm is not read: save it as png or tiff, if it is an image",
        "j.XYZ": ".xyz is not read: save it as png or tiff, if it is an image",
        "k_seg.npy": ".npy is not read: save it as png or tiff, if it is an image",
    }


@pytest.mark.posix
def test_links_within_are_followed_and_each_file_is_read_once(tmp_path):
    put(tmp_path / "store" / "a.png")
    put(tmp_path / "store" / "b.png")
    put(tmp_path / "store" / "deep" / "c.png")
    (tmp_path / "monocyte").mkdir()
    (tmp_path / "monocyte" / "a.png").symlink_to("../store/a.png")
    (tmp_path / "basophil").symlink_to("store/deep")
    (tmp_path / "store" / "again.png").symlink_to("b.png")
    lab = read_domain(tmp_path)
    assert dict(zip(lab.table["path"], lab.labels, strict=True)) == {
        "basophil/c.png": "basophil",
        "monocyte/a.png": "monocyte",
    }
    assert reasons(lab) == {
        "store/a.png": "is the same file as monocyte/a.png",
        "store/again.png": "is the same file as store/b.png",
        "store/b.png": "unknown class 'store'",
        "store/deep/c.png": "is the same file as basophil/c.png",
    }


@pytest.mark.posix
def test_links_that_lead_out_or_nowhere_are_listed(tmp_path):
    put(tmp_path / "secret.png")
    put(tmp_path / "lab" / "a.png")
    (tmp_path / "lab" / "out.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "lab" / "gone.png").symlink_to("none.png")
    (tmp_path / "lab" / "x").mkdir()
    (tmp_path / "lab" / "y").mkdir()
    (tmp_path / "lab" / "x" / "to-y").symlink_to("../y")
    (tmp_path / "lab" / "y" / "to-x").symlink_to("../x")
    (tmp_path / "lab" / "self.png").symlink_to("self.png")
    for root in (tmp_path / "lab", tmp_path / "short"):
        if not root.exists():
            root.symlink_to("lab")
        lab = read_domain(root)
        assert lab.table["path"].tolist() == ["a.png"]
        assert reasons(lab)["out.png"].startswith("is a link that leads out of the folder given")
        assert reasons(lab)["gone.png"] == "No such file or directory"
        assert reasons(lab)["self.png"].startswith("is a link that leads to itself")


@pytest.mark.posix
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    put(tmp_path / "a.png")
    for name in ("b.png", "c", "d.xyz", "e.csv"):
        os.mkfifo(tmp_path / name)
    assert reasons(read_domain(tmp_path)) == dict.fromkeys(("b.png", "c", "d.xyz"), "is no regular file")
