"""Published weights by name: the weights folder, the hub's cache and layout, digests, and being offline."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from dorl.segmentation.lora import lora_modules
from dorl.segmentation.weights import hub

from ..small import noise
from ..stand_ins import hub_folder, official_sam, write

OPTIONS: dict[str, Any] = {"device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM in hub layout; don't change it."""
    return hub_folder(tmp_path_factory.mktemp("hub") / "sam-small")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty weights folder and an empty cache, and a hub that can't be reached."""
    monkeypatch.setenv("DORL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "weights").mkdir()


def into_cache(folder: Path, repository: str, cache: Path) -> None:
    """Lay a folder into the hub's cache as its client does."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))


def test_a_folder_in_hub_layout_gives_two_masks_at_224(folder: Path) -> None:
    segmenter = Segmenter.load(folder, **OPTIONS)
    out = segmenter(noise(2, 60, 80))
    assert (segmenter.base, segmenter.rank, segmenter.image_size) == ("sam-small", 0, 224)
    assert out.tokens.shape == (2, 32, 28, 28)
    assert out.mask_logits.shape == (2, 2, 112, 112)
    kept = load_file(folder / "model.safetensors")["vision_encoder.layers.0.mlp.lin1.weight"]
    assert torch.equal(segmenter.sam.state_dict()["vision_encoder.layers.0.mlp.lin1.weight"], kept)


@pytest.mark.posix
def test_a_folder_whose_name_is_no_utf8_is_read(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(folder, place)
    found, same = (Segmenter.load(one, **OPTIONS).sam.state_dict() for one in (place, folder))
    name = "vision_encoder.layers.0.mlp.lin1.weight"
    assert torch.equal(found[name], same[name])


@pytest.mark.parametrize("name", ["facebook/sam-vit-base", "sam-vit-b", "someone/sam-of-cells"])
def test_the_hub_s_cache_is_enough(folder: Path, tmp_path: Path, name: str) -> None:
    into_cache(folder, hub.SAM[name].repository if name in hub.SAM else name, tmp_path / "cache")
    segmenter = Segmenter.load(name, **OPTIONS)
    assert segmenter.base == name
    assert segmenter.digest() == Segmenter.load(folder, **OPTIONS).digest()


def test_an_adapter_finds_its_base_by_the_hub_s_name(folder: Path, tmp_path: Path) -> None:
    into_cache(folder, "facebook/sam-vit-base", tmp_path / "cache")
    tuned = Segmenter.load("sam-vit-b", **OPTIONS)
    tuned.add_lora(2)
    with torch.no_grad():
        lora_modules(tuned.sam)[0].q_b.fill_(1.0)
    tuned.save(tmp_path / "tuned.safetensors")
    assert (tmp_path / "tuned.safetensors").stat().st_size < (folder / "model.safetensors").stat().st_size
    assert Segmenter.load(tmp_path / "tuned.safetensors", **OPTIONS).digest() == tuned.digest()


@pytest.mark.parametrize(
    ("name", "file"), [("sam-vit-b", "sam_vit_b_01ec64.pth"), ("sam-vit-h", "sam_vit_h_4b8939.pth")]
)
def test_offline_one_line_says_which_file_to_put_where(tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(InputError) as caught:
        Segmenter.load(name)
    text = str(caught.value)
    assert f"put {file} into {tmp_path / 'weights'}" in text
    assert "'tiny' needs no file" in text
    assert "\n" not in text


def test_a_hub_id_that_is_not_cached_is_refused_with_the_files_it_needs() -> None:
    with pytest.raises(InputError, match=r"someone/else: .*config\.json and model\.safetensors"):
        Segmenter.load("someone/else")


@pytest.mark.parametrize("name", ["huge", "nowhere/segmenter.safetensors", "nowhere/sam.pth"])
def test_what_is_no_name_lists_what_can_be_given(name: str) -> None:
    with pytest.raises(InputError, match=r"give 'tiny', 'sam-vit-b', .* or a folder that dorl finetune made"):
        Segmenter.load(name)


def test_an_official_file_in_the_weights_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "weights" / "sam_vit_b_01ec64.pth", official_sam())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(hub.SAM, "sam-vit-b", hub.Published("facebook/sam-vit-base", path.name, digest))
    assert Segmenter.load("sam-vit-b", **OPTIONS).base == "sam-vit-b"


def test_a_file_of_the_published_name_must_be_the_published_one(tmp_path: Path) -> None:
    path = write(tmp_path / "weights" / "sam_vit_b_01ec64.pth", official_sam())
    for load in (lambda: Segmenter.load("sam-vit-b"), lambda: Segmenter.from_official(path)):
        with pytest.raises(InputError, match=r"SHA-256 begins .*, the published file's ec2df627: download it again"):
            load()


def damaged(folder: Path, target: Path, change: Any) -> Path:
    """A copy whose tensors `change` has changed."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


WEIGHT = "vision_encoder.layers.0.mlp.lin1.weight"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda held: held.pop(WEIGHT), f"missing {WEIGHT}"),
        (lambda held: held.update(extra=torch.zeros(1)), "not known extra"),
        (lambda held: held.update({WEIGHT: torch.zeros(3)}), f"of another shape {WEIGHT}"),
    ],
)
def test_a_folder_whose_tensors_do_not_fit_is_refused(folder: Path, tmp_path: Path, change: Any, match: str) -> None:
    bad = damaged(folder, tmp_path / "bad", change)
    with pytest.raises(InputError, match=match) as caught:
        Segmenter.load(bad, **OPTIONS)
    assert "\n" not in str(caught.value)


def test_folders_that_hold_something_else(folder: Path, tmp_path: Path) -> None:
    for name, content in (("damaged", "{"), ("other", json.dumps({"model_type": "bert"}))):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / "config.json").write_text(content)
    (tmp_path / "empty").mkdir()
    shutil.copytree(folder, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"short")
    for name, match in (
        ("damaged", "damaged; download it again"),
        ("other", "holds a 'bert' model; give SAM's"),
        ("empty", "holds no segmenter"),
        ("cut", "can't be read as a model in hub layout"),
    ):
        with pytest.raises(InputError, match=match) as caught:
            Segmenter.load(tmp_path / name, **OPTIONS)
        assert "\n" not in str(caught.value)


def test_a_base_that_moved_is_asked_for_and_found_beside_the_adapter(tmp_path: Path) -> None:
    sam = write(tmp_path / "mine.pth", official_sam())
    tuned = Segmenter.from_official(sam, image_size=32, **OPTIONS)
    tuned.add_lora(2)
    (tmp_path / "tuned").mkdir()
    tuned.save(tmp_path / "tuned" / "segmenter.safetensors")
    moved = sam.rename(tmp_path / "elsewhere.pth")
    with pytest.raises(InputError, match=r"its base 'mine' is in none of .*mine\.pth"):
        Segmenter.load(tmp_path / "tuned", **OPTIONS)
    shutil.copy(moved, tmp_path / "tuned" / "mine.pth")
    assert Segmenter.load(tmp_path / "tuned", **OPTIONS).digest() == tuned.digest()
    write(tmp_path / "tuned" / "mine.pth", official_sam(seed=9))
    with pytest.raises(InputError, match="made over another version of 'mine'"):
        Segmenter.load(tmp_path / "tuned", **OPTIONS)
