"""BloodMNIST archives: whole, damaged, hostile and missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.domains import read_domain
from dorl.errors import InputError


def refused(path: str | Path, match: str, **options: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_domain(path, **options)
    assert "\n" not in str(caught.value)


def bloodmnist(path: Path, labels: dict[str, list[int]], **replaced: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {f"{split}_images": rng.integers(0, 256, (len(of), 28, 28, 3), np.uint8) for split, of in labels.items()}
    arrays |= {f"{split}_labels": np.array(of, dtype=np.uint8).reshape(-1, 1) for split, of in labels.items()}
    np.savez_compressed(path, **(arrays | replaced))
    return path


SPLITS = {"train": list(range(8)), "val": [6], "test": [4, 9]}


def test_bloodmnist(tmp_path):
    path = bloodmnist(tmp_path / "bloodmnist.npz", SPLITS)
    lab = read_domain(path)
    assert (lab.layout, lab.name, len(lab)) == ("bloodmnist", "bloodmnist", 9)
    assert lab.labels.tolist()[:4] == ["basophil", "eosinophil", "erythroblast", "immature_granulocyte"]
    assert lab.table["split"].value_counts().to_dict() == {"train": 7, "val": 1, "test": 1}
    with np.load(path) as archive:
        np.testing.assert_array_equal(lab.load(7), archive["val_images"][0])
        np.testing.assert_array_equal(lab.load(8), archive["test_images"][0])
    assert lab.describe()["width"] == {"min": 28, "median": 28, "max": 28}
    assert sorted(lab.left_out["reason"]) == [
        "left out by the method: platelet, not a white blood cell",
        "unknown class '9'",
    ]


def test_bad_bloodmnist(tmp_path):
    refused(tmp_path / "bloodmnist_224.npz", "no such file; download")
    whole = bloodmnist(tmp_path / "bloodmnist.npz", SPLITS).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 30):
            broken[at] = rng.integers(0, 256)
        (tmp_path / "bloodmnist.npz").write_bytes(broken)
        refused(tmp_path / "bloodmnist.npz", "not a whole BloodMNIST archive")
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        (tmp_path / "bloodmnist.npz").write_bytes(content)
        refused(tmp_path / "bloodmnist.npz", "not a whole BloodMNIST archive")
    with (tmp_path / "bloodmnist.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    refused(tmp_path / "bloodmnist.npz", "not a whole BloodMNIST archive")
    grey = np.zeros((8, 28, 28), np.uint8)
    refused(bloodmnist(tmp_path / "bloodmnist.npz", SPLITS, train_images=grey), "not a whole")
    refused(bloodmnist(tmp_path / "bloodmnist.npz", {"train": [0], "val": [1]}), "not a whole")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_not_opened(tmp_path):
    objects = np.array([Trap(tmp_path / "sprung")], dtype=object)
    refused(bloodmnist(tmp_path / "bloodmnist.npz", SPLITS, train_labels=objects), "not a whole BloodMNIST archive")
    assert not (tmp_path / "sprung").exists()


def test_bloodmnist_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    refused("bloodmnist", "medmnist")
