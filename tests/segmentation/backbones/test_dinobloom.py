"""DinoBloom's published layout, and its tokens with the masks of another segmenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.dinobloom import DinoSpec, read_dinobloom, source, tokens

from ..small import noise

SMALL = DinoSpec(width=64, depth=2, grid=3)


def published(spec: DinoSpec = SMALL, *, seed: int = 0) -> dict[str, Any]:
    """A checkpoint as DinoBloom's: a teacher's backbone, and the heads of its training."""
    torch.manual_seed(seed)
    held: dict[str, Tensor] = {}
    for name, tensor in spec.build().state_dict().items():
        official, rows = source(name, spec.width)
        if rows == slice(None):
            held[official] = torch.randn_like(tensor)
        else:
            held.setdefault(official, torch.randn(3 * tensor.shape[0], *tensor.shape[1:]))
    teacher = {f"backbone.{name}": 0.2 * tensor for name, tensor in held.items()}
    return {"teacher": {**teacher, "dino_head.mlp.weight": torch.zeros(2), "ibot_head.mlp.weight": torch.zeros(2)}}


def reference(held: dict[str, Tensor], pixels: Tensor, heads: int) -> Tensor:
    """DINOv2's pass written out over the file's own tensors."""
    weights = {name.removeprefix("backbone."): tensor for name, tensor in held.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    patches = torch.nn.functional.conv2d(
        pixels, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=14
    )
    x = torch.cat([weights["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    x = x + weights["pos_embed"]
    for block in range(2):
        at = f"blocks.{block}"
        batch, count, width = x.shape
        qkv = linear(norm(x, f"{at}.norm1"), f"{at}.attn.qkv").view(batch, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(batch, count, width)
        x = x + weights[f"{at}.ls1.gamma"] * linear(mixed, f"{at}.attn.proj")
        hidden = torch.nn.functional.gelu(linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1"))
        x = x + weights[f"{at}.ls2.gamma"] * linear(hidden, f"{at}.mlp.fc2")
    out = norm(x, "norm")[:, 1:]
    return out.transpose(1, 2).unflatten(2, (3, 3))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(published(), tmp_path / "DinoBloom-small.pth")
    return tmp_path / "DinoBloom-small.pth"


def test_tokens_equal_dinov2_written_out(file: Path) -> None:
    model, spec = read_dinobloom(file)
    assert spec == SMALL
    pixels = torch.randn(2, 3, 42, 42)
    with torch.inference_mode():
        found = tokens(model, pixels)
    expected = reference(published()["teacher"], pixels, heads=1)
    assert found.shape == (2, 64, 3, 3)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("width", "depth", "parts"), [(384, 12, 174), (768, 12, 174), (1024, 24, 342)])
def test_the_published_sizes_have_the_published_tensors(width: int, depth: int, parts: int) -> None:
    """14 tensors a block and 6 outside, the learned mask token among them; ViT-S, B and L on the meta device."""
    with torch.device("meta"):
        state = DinoSpec(width=width, depth=depth).build().state_dict()
    names = {source(name, width)[0] for name in state}
    assert len(names) == parts + 1
    assert f"blocks.{depth - 1}.attn.qkv.weight" in names


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda held: held.pop("backbone.blocks.1.ls2.gamma"), r"missing blocks\.1\.ls2\.gamma"),
        (lambda held: held.update({"backbone.register_tokens": torch.zeros(1)}), "not known register_tokens"),
        (lambda held: held.update({"backbone.norm.weight": torch.zeros(2)}), r"of another shape norm\.weight"),
        (lambda held: held.pop("backbone.pos_embed"), "not a DinoBloom checkpoint"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, change: Any, match: str) -> None:
    held = published()
    change(held["teacher"])
    torch.save(held, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=match):
        read_dinobloom(tmp_path / "bad.pth")


def test_its_tokens_come_with_another_segmenter_s_masks(file: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    paired, alone = Segmenter.load("tiny", encoder=file, **options), Segmenter.load("tiny", **options)
    images = noise(2, 60, 90)
    out = paired(images)
    assert (paired.width, paired.grid) == (64, 3)
    assert out.tokens.shape == (2, 64, 3, 3)
    assert torch.equal(out.masks, alone(images).masks)
    assert paired.digest() != alone.digest()


def test_a_pair_is_saved_and_found_again(file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    paired = Segmenter.load("tiny", encoder=file, **options)
    paired.save(tmp_path / "segmenter.safetensors")
    again = Segmenter.load(tmp_path / "segmenter.safetensors", **options)
    assert again.digest() == paired.digest()
    np.testing.assert_array_equal(again(noise(1)).tokens, paired(noise(1)).tokens)
    torch.save(published(seed=3), file)
    with pytest.raises(InputError, match="not the weights of"):
        Segmenter.load(tmp_path / "segmenter.safetensors", **options)


def test_a_pair_is_the_same_in_any_precision(file: Path, tmp_path: Path) -> None:
    fast = Segmenter.load("tiny", encoder=file, device="cpu", precision="bfloat16")
    fast.save(tmp_path / "segmenter.safetensors")
    exact = Segmenter.load(tmp_path / "segmenter.safetensors", device="cpu", precision="float32")
    assert exact.digest() == fast.digest()
    assert not torch.equal(exact(noise(1)).tokens, fast(noise(1)).tokens)


def test_offline_one_line_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=rf"dinobloom-s: .*put DinoBloom-S\.pth into {tmp_path / 'weights'}"):
        Segmenter.load("tiny", encoder="dinobloom-s")
    with pytest.raises(InputError, match="no encoder 'dino': give dinobloom-s"):
        Segmenter.load("tiny", encoder="dino")
