"""What an upload of several zips may bring in all, masks among the images, and names that the database can't hold."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.serving.limits import Limits, Refused
from dorl.serving.uploads.intake import Place, Places, take_folder, take_uploaded
from dorl.serving.uploads.multipart import Received

from ..asking import png, zipped


def photograph(*, seed: int = 0) -> bytes:
    """A picture of many colours."""
    made = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(made, "PNG")
    return made.getvalue()


def cell() -> bytes:
    """A mask of the same size."""
    made = io.BytesIO()
    Image.fromarray(np.pad(np.full((20, 25), 255, np.uint8), ((10, 10), (10, 15)))).save(made, "PNG")
    return made.getvalue()


def received(folder: Path, *files: bytes) -> list[Received]:
    """Files as an upload brings them."""
    found = []
    for number, data in enumerate(files, start=1):
        path = folder / f"upload-{number:05d}"
        path.write_bytes(data)
        found.append(Received(f"{number}.zip", path, len(data)))
    return found


def test_zips_of_one_upload_share_its_bytes(tmp_path: Path) -> None:
    limits = Limits(unpacked=1_000_000, image=500_000)
    zips = [zipped({f"{number}.png": png(16, 16) + bytes(400_000)}) for number in range(3)]
    assert len(take_uploaded(received(tmp_path, *zips[:2]), tmp_path, limits).images) == 2
    with pytest.raises(Refused, match=r"3\.zip: unpacks to over") as refused:
        take_uploaded(received(tmp_path, *zips), tmp_path, limits)
    assert refused.value.status == 413


def test_zips_of_one_upload_share_its_number_of_images(tmp_path: Path) -> None:
    few = zipped({f"{number}.png": png(16, 16) for number in range(4)})
    files = (few, png(16, 16), few)
    assert len(take_uploaded(received(tmp_path, *files), tmp_path, Limits(images=9)).images) == 9
    with pytest.raises(Refused, match=r"3\.zip: 9 images in the upload, over 8"):
        take_uploaded(received(tmp_path, *files), tmp_path, Limits(images=8))


def upload(folder: Path, *files: tuple[str, bytes]) -> list[Received]:
    """Files by name, as an upload brings them."""
    found = received(folder, *(data for _, data in files))
    return [Received(name, one.path, one.bytes) for (name, _), one in zip(files, found, strict=True)]


def test_masks_that_are_sent_with_the_images_are_no_cells(tmp_path: Path) -> None:
    files = [("a.png", photograph()), ("a_mask.png", cell()), ("masks/b.png", cell()), ("b.png", photograph())]
    taken = take_uploaded(upload(tmp_path, *files), tmp_path, Limits())
    assert [name for name, _, _ in taken.images] == ["a.png", "b.png"]
    assert dict(taken.left_out).keys() == {"a_mask.png", "masks/b.png"}
    assert dict(taken.left_out)["a_mask.png"].startswith("is a mask of a.png, by its name and its few colours")
    assert len(list(tmp_path.iterdir())) == 2  # masks don't stay
    unpacked = take_uploaded(received(tmp_path, zipped(dict(files))), tmp_path, Limits())
    assert [name for name, _, _ in unpacked.images] == ["a.png", "b.png"]
    with pytest.raises(Refused, match=r"a_mask\.png: is a mask, by its name and its few colours, and has no image"):
        take_uploaded(upload(tmp_path, ("a_mask.png", cell())), tmp_path, Limits())


def test_what_a_zip_holds_besides_is_listed_with_the_reason(tmp_path: Path) -> None:
    files = {"a.png": photograph(), "scan.SVS": b"x", "x/y.dcm": b"x", "noending": b"x", "inner.zip": b"PK"}
    quiet = {"notes.txt": b"x", "cells.csv": b"x", "__MACOSX/._a.png": b"x", ".hidden.svs": b"x"}
    taken = take_uploaded(received(tmp_path, zipped(files | quiet)), tmp_path, Limits())
    assert [name for name, _, _ in taken.images] == ["a.png"]
    assert dict(taken.left_out) == {
        "scan.SVS": ".svs is not read: save it as png or tiff, if it is an image",
        "x/y.dcm": ".dcm is not read: save it as png or tiff, if it is an image",
        "inner.zip": ".zip is not read: save it as png or tiff, if it is an image",
        "noending": "has no ending: give it that of its kind, if it is an image",
    }


def test_an_image_that_is_named_like_a_mask_and_two_of_one_name_are_taken(tmp_path: Path) -> None:
    files = [("a.png", photograph()), ("a_mask.png", photograph(seed=1)), ("a.png", photograph(seed=2))]
    taken = take_uploaded(upload(tmp_path, *files), tmp_path, Limits())
    assert [name for name, _, _ in taken.images] == ["a.png", "a_mask.png", "a.png"]
    assert taken.left_out == []


def test_a_folder_of_the_server_is_read_as_the_commands_read_it(tmp_path: Path) -> None:
    for name, data in (("a.png", photograph()), ("a_mask.png", cell()), ("scan.svs", b"\0\1"), ("notes.txt", b"x")):
        (tmp_path / name).write_bytes(data)
    taken = take_folder(tmp_path, Limits())
    assert [name for name, _, _ in taken.images] == ["a.png"]
    assert {name: reason.split(",")[0] for name, reason in taken.left_out} == {
        "a_mask.png": "is a mask of a.png",
        "scan.svs": ".svs is not read: save it as png or tiff",
    }
    (tmp_path / "b.png").write_bytes(photograph())
    with pytest.raises(Refused, match="over 1 image: allow a smaller folder"):
        take_folder(tmp_path, Limits(images=1))


@pytest.mark.posix
def test_a_name_that_is_not_utf8_is_taken(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png(16, 16))
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4d.png")).write_bytes(png(16, 16))
    except OSError:
        pytest.skip("this disk takes no such names")
    taken = take_folder(tmp_path, Limits())
    assert [name for name, _, _ in taken.images] == ["b\\xe4d.png", "good.png"]  # text that the database can hold
    assert taken.left_out == []
    place = Place("", "lab")
    assert Places(tmp_path / "samples", {"lab": tmp_path}).cell(place, "b\\xe4d.png").read_bytes() == png(16, 16)
