"""What an upload of several zips may bring in all, and names that the database can't hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dorl.serving.intake import Place, Places, take_folder, take_uploaded
from dorl.serving.limits import Limits, Refused
from dorl.serving.multipart import Received

from .asking import png, zipped


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
