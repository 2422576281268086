from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from dorl.segmentation.checkpoints import BUNDLED, read_base, save_adapter, save_base
from dorl.tensorfiles import load_tensors, save_tensors

from .small import SMALL, assert_agree, noise, render, small_segmenter, train_a_little

ON_CPU = {"device": "cpu", "precision": "float32"}
Edit = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.stack([cell.image for cell in render(2, size=100)])


@pytest.fixture(scope="module")
def adapted() -> Segmenter:
    """Tiny with an adapter that changes what it says."""
    segmenter = Segmenter.load("tiny", **ON_CPU)
    segmenter.mean, segmenter.std = (150.25, 140.0, 160.5), (40.0, 50.0, 30.0)
    segmenter.add_lora(2)
    train_a_little(segmenter)
    return segmenter


@pytest.fixture(scope="module")
def adapter(adapted: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapter") / "segmenter.safetensors"
    adapted.save(path)
    return path


def edited(source: Path, path: Path, edit: Edit) -> Path:
    """A copy of the file `source` whose tensors or header were changed by `edit`."""
    tensors, header = load_tensors(source)
    edit(tensors, header)
    save_tensors(path, tensors, header)
    return path


def refused(path: Path, match: str, load: Callable[[Path], object] | None = None) -> None:
    """The error is one line that begins with the path."""
    with pytest.raises(InputError, match=match) as caught:
        load(path) if load else Segmenter.load(path, **ON_CPU)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_base_comes_back_as_it_was_up_to_half_precision(tmp_path: Path) -> None:
    made = small_segmenter()
    made.base, made.mean, made.std = "small", (1.5, 2.0, 3.0), (4.0, 5.0, 6.0)
    save_base(made, tmp_path / "small.safetensors", card={"steps": 3})
    back = Segmenter.load(tmp_path / "small.safetensors", **ON_CPU)
    assert (back.spec, back.base, back.mean, back.std, back.rank) == (SMALL, "small", made.mean, made.std, 0)
    expected, out = made(noise(2)), back(noise(2))
    assert_agree(out.tokens, expected.tokens, 0.02)
    assert_agree(out.mask_logits, expected.mask_logits, 0.05)
    assert load_tensors(tmp_path / "small.safetensors")[1]["card"] == {"steps": 3}
    save_base(back, tmp_path / "again.safetensors", card={})
    again = Segmenter.load(tmp_path / "again.safetensors", **ON_CPU)
    assert again.digest() == back.digest()
    assert torch.equal(again(noise(2)).mask_logits, out.mask_logits)


def test_an_adapter_comes_back_and_says_the_same(adapted: Segmenter, adapter: Path, images: np.ndarray) -> None:
    back = Segmenter.load(adapter, **ON_CPU)
    assert (back.base, back.rank, back.mean, back.std) == ("tiny", 2, adapted.mean, adapted.std)
    assert back.digest() == adapted.digest()
    expected, out = adapted(images), back(images)
    assert torch.equal(out.tokens, expected.tokens)
    assert torch.equal(out.mask_logits, expected.mask_logits)
    assert torch.equal(out.masks, expected.masks)
    plain = Segmenter.load("tiny", **ON_CPU)(images)
    assert (plain.tokens - out.tokens).abs().max() > 0.01
    assert (plain.mask_logits - out.mask_logits).abs().max() > 0.01


def test_a_base_without_an_adapter_is_saved_and_loaded_too(tmp_path: Path, images: np.ndarray) -> None:
    plain = Segmenter.load("tiny", **ON_CPU)
    plain.save(tmp_path / "segmenter.safetensors")
    back = Segmenter.load(tmp_path / "segmenter.safetensors", **ON_CPU)
    assert back.rank == 0
    assert back.digest() == plain.digest()


def test_a_folder_stands_for_the_adapter_in_it(adapter: Path) -> None:
    assert Segmenter.load(adapter.parent, **ON_CPU).digest() == Segmenter.load(str(adapter), **ON_CPU).digest()


def test_an_adapter_over_a_tuned_segmenter_of_its_own_file_name(tmp_path: Path, images: np.ndarray) -> None:
    tuned, run = (tmp_path / name / "segmenter.safetensors" for name in ("tuned", "run"))
    made = small_segmenter()
    save_base(made, tuned, card={}, half=False)
    over = Segmenter.load(tuned, **ON_CPU)
    over.save(run)
    assert Segmenter.load(run, **ON_CPU).digest() == over.digest()
    tuned.unlink()
    refused(run, "its base .* is in none of")


def test_an_adapter_is_much_smaller_than_its_base_and_holds_none_of_it(adapter: Path) -> None:
    tensors, _ = load_tensors(adapter)
    assert not [name for name in tensors if "qkv.base" in name or (".mlp.lin" in name and "vision" in name)]
    assert not [name for name in tensors if ".neck." in name or "patch_embed" in name]
    whole = sum(tensor.numel() for tensor in load_tensors(BUNDLED["tiny"])[0].values())
    assert sum(tensor.numel() for tensor in tensors.values()) < 0.5 * whole


def test_saving_leaves_the_base_file_alone_and_nothing_half_written(adapted: Segmenter, tmp_path: Path) -> None:
    before = BUNDLED["tiny"].read_bytes()
    adapted.save(tmp_path / "new" / "a.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]
    assert BUNDLED["tiny"].read_bytes() == before


def test_loading_draws_nothing_from_the_global_generator(adapter: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Segmenter.load("tiny", device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_the_bundled_weights_stay_small() -> None:
    assert max(path.stat().st_size for path in BUNDLED["tiny"].parent.iterdir()) <= 12_000_000


@pytest.mark.parametrize("name", ["nowhere", "tyni", "no/such/adapter.safetensors"])
def test_a_name_that_is_nothing_is_answered_with_what_can_be_given(name: str) -> None:
    with pytest.raises(InputError, match=r"'tiny'.*adapter.*folder") as caught:
        Segmenter.load(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"segmenter\.safetensors is missing"):
        Segmenter.load(tmp_path)


def test_an_adapter_over_another_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    path = edited(adapter, tmp_path / "a.safetensors", lambda _, header: header.update(base="sam-of-mine"))
    refused(path, r"sam-of-mine.*put it in one of these places")
    path = edited(adapter, tmp_path / "b.safetensors", lambda _, header: header["spec"].update(depth=7))
    refused(path, "another version of 'tiny'.*dorl fit or finetune")


@pytest.mark.parametrize("kept", [0, 5, 0.3, 0.99])
def test_a_damaged_file_is_refused(adapter: Path, tmp_path: Path, kept: float) -> None:
    whole = adapter.read_bytes()
    path = tmp_path / "a.safetensors"
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    refused(path, "not a whole safetensors file")


@pytest.mark.parametrize("data", [b"PK\x03\x04" + bytes(200), b"<html></html>" * 20, b"\xff" * 300])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    refused(path, "not a whole safetensors file")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"dorl": "[1, 2]"}])
def test_safetensors_that_dorl_did_not_write_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata=metadata)
    refused(path, "not one that dorl wrote")


def test_an_adapter_over_other_weights_of_the_same_shape_is_refused(adapter: Path, tmp_path: Path) -> None:
    path = edited(adapter, tmp_path / "a.safetensors", lambda _, header: header.update(base_digest="0" * 64))
    refused(path, "another version of 'tiny'")


def test_a_base_of_an_earlier_version_is_taken_from_beside_the_adapter(tmp_path: Path) -> None:
    earlier = Segmenter.load("tiny", device="cpu")
    with torch.no_grad():
        earlier.sam.vision_encoder.positions += 1
    save_base(earlier, tmp_path / "earlier.safetensors", card={}, half=False)
    save_adapter(earlier, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", r"another version of 'tiny'.*beside it as base\.safetensors")
    (tmp_path / "earlier.safetensors").rename(tmp_path / "base.safetensors")
    assert torch.equal(
        Segmenter.load(tmp_path / "a.safetensors")(noise(1, 9, 9)).tokens, earlier(noise(1, 9, 9)).tokens
    )


def test_dorl_files_of_another_kind_are_refused(tmp_path: Path, adapter: Path) -> None:
    refused(adapter, "holds 'adapter', not a segmenter's base", read_base)
    path = edited(adapter, tmp_path / "a.safetensors", lambda _, header: header.update(kind="autoencoder"))
    refused(path, "holds 'autoencoder'")


def test_another_version_of_the_layout_is_refused(adapter: Path, tmp_path: Path) -> None:
    path = edited(adapter, tmp_path / "a.safetensors", lambda _, header: header.update(format=99))
    refused(path, "layout 99.*reads 1")


@pytest.mark.parametrize("field", ["spec", "mean", "std", "base", "base_file", "base_digest", "rank"])
def test_a_header_that_lacks_a_field_is_refused(adapter: Path, tmp_path: Path, field: str) -> None:
    path = edited(adapter, tmp_path / "a.safetensors", lambda _, header: header.pop(field))
    refused(path, f"lacks {field}")


LORA = "vision_encoder.blocks.1.qkv.q_a"
EDITS: dict[str, Edit] = {
    "missing": lambda tensors, _: tensors.pop(LORA),
    "extra": lambda tensors, _: tensors.update({LORA.replace("q_a", "k_a"): torch.zeros(2)}),
    "misshapen": lambda tensors, _: tensors.update({LORA: torch.zeros(5, 5)}),
    "another rank": lambda _, header: header.update(rank=3),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_tensors_that_do_not_fit_are_named(adapter: Path, tmp_path: Path, edit: Edit) -> None:
    path = edited(adapter, tmp_path / "a.safetensors", edit)
    refused(path, r"don't fit the network: .*blocks.*qkv")


@pytest.mark.parametrize("edit", ["missing", "misshapen"])
def test_a_base_that_does_not_fit_is_refused(tmp_path: Path, edit: str) -> None:
    name = "vision_encoder.pos_embed"

    def change(tensors: dict[str, torch.Tensor], _: dict[str, Any]) -> None:
        tensors.pop(name) if edit == "missing" else tensors.update({name: torch.zeros(1, 2, 2, 32)})

    save_base(small_segmenter(), tmp_path / "small.safetensors", card={})
    path = edited(tmp_path / "small.safetensors", tmp_path / "b.safetensors", change)
    refused(path, f"don't fit the network: .*{name}", read_base)


def test_the_header_is_json_that_others_can_read(adapter: Path) -> None:
    length = int.from_bytes(adapter.read_bytes()[:8], "little")
    header = json.loads(adapter.read_bytes()[8 : 8 + length])["__metadata__"]["dorl"]
    assert json.loads(header)["base"] == "tiny"
