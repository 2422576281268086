"""The compact family behind the Segmenter: EfficientNet-Lite0 without batch norms, SAM's decoder on finer grids."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.tiny import BN_EPS, STAGES, CompactSpec, Convolution, imagenet_state
from dorl.segmentation.checkpoints import save_base
from dorl.segmentation.lora import lora_modules
from dorl.segmentation.weights.convert import spec_from_dict

from ..small import noise, train_a_little

SMALL = CompactSpec(width=32, heads=2, depth=1, image_size=64, neck=16, decoder_mlp=32)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_spec(SMALL, device="cpu", precision="float32")


def published(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def layer(name: str, norm: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) / (shape[1] * shape[2] ** 2) ** 0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            values = torch.rand(shape[0], generator=generator)
            state[f"{norm}.{part}"] = values + 0.5 if part in ("weight", "running_var") else values - 0.5

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    number, inputs = 0, 32
    for kernel, _, expansion, outputs, count in STAGES:
        for _ in range(count):
            block, hidden = f"_blocks.{number}", inputs * expansion
            if expansion > 1:
                layer(f"{block}._expand_conv", f"{block}._bn0", hidden, inputs, 1, 1)
            layer(f"{block}._depthwise_conv", f"{block}._bn1", hidden, 1, kernel, kernel)
            layer(f"{block}._project_conv", f"{block}._bn2", outputs, hidden, 1, 1)
            number, inputs = number + 1, outputs
    return state


def test_tokens_and_masks_have_the_segmenter_s_shapes(segmenter: Segmenter) -> None:
    out = segmenter(noise(3, 50, 70))
    assert (segmenter.width, segmenter.grid) == (32, 4)
    assert out.tokens.shape == (3, 32, 4, 4)
    assert out.mask_logits.shape == (3, 2, 16, 16)
    assert out.masks.shape == (3, 50, 70)


def test_the_spec_survives_a_file_s_header() -> None:
    assert spec_from_dict(SMALL.to_dict()) == SMALL


def test_nothing_depends_on_the_batch(segmenter: Segmenter) -> None:
    images = noise(3, 64, 64)
    together, alone = segmenter(images), segmenter(images[1:2])
    torch.testing.assert_close(together.tokens[1:2], alone.tokens, rtol=1e-4, atol=1e-5)
    assert not [module for module in segmenter.sam.modules() if isinstance(module, nn.BatchNorm2d)]


def test_folded_weights_compute_what_the_batch_norms_did() -> None:
    """Stem and first blocks against the published layout: convolution, batch norm, ReLU6, padded as TensorFlow does."""
    weights = published()
    encoder = SMALL.build().vision_encoder.eval()
    unexpected = encoder.load_state_dict(imagenet_state(weights), strict=False).unexpected_keys
    assert not unexpected

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=BN_EPS)

    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    x = norm(F.conv2d(F.pad(pixels, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2), "_bn0").clamp(0, 6)
    x = norm(F.conv2d(x, weights["_blocks.0._depthwise_conv.weight"], padding=1, groups=32), "_blocks.0._bn1").clamp(
        0, 6
    )
    x = norm(F.conv2d(x, weights["_blocks.0._project_conv.weight"]), "_blocks.0._bn2")
    y = norm(F.conv2d(x, weights["_blocks.1._expand_conv.weight"]), "_blocks.1._bn0").clamp(0, 6)
    y = F.conv2d(F.pad(y, (0, 1, 0, 1)), weights["_blocks.1._depthwise_conv.weight"], stride=2, groups=96)
    y = norm(
        F.conv2d(norm(y, "_blocks.1._bn1").clamp(0, 6), weights["_blocks.1._project_conv.weight"]), "_blocks.1._bn2"
    )
    with torch.inference_mode():
        ours = encoder.stages[1][0](encoder.stages[0](F.relu6(encoder.stem(pixels))))
    torch.testing.assert_close(ours, y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "pads"), [(3, (0, 1, 0, 1)), (5, (1, 2, 1, 2))])
def test_strided_convolutions_pad_more_at_the_end(kernel: int, pads: tuple[int, ...]) -> None:
    layer = Convolution(4, 4, kernel, 2, groups=4)
    x = torch.randn(1, 4, 8, 8)
    expected = F.conv2d(F.pad(x, pads), layer.weight, layer.bias, stride=2, groups=4)
    torch.testing.assert_close(layer(x), expected)


def test_lora_attaches_to_the_transformer_blocks_and_is_saved(tmp_path: Path) -> None:
    base = Segmenter.from_spec(SMALL, device="cpu", precision="float32")
    save_base(base, tmp_path / "base.safetensors", card={}, half=False)
    tuned = Segmenter.load(tmp_path / "base.safetensors", device="cpu", precision="float32")
    tuned.add_lora(2)
    assert len(lora_modules(tuned.sam)) == SMALL.depth
    assert not any(
        p.requires_grad
        for n, p in tuned.sam.vision_encoder.named_parameters()
        if "_a" not in n[-3:] and "_b" not in n[-3:]
    )
    assert tuned.sam.mask_decoder.conv_s0.weight.requires_grad
    train_a_little(tuned)
    tuned.save(tmp_path / "tuned" / "segmenter.safetensors") if (tmp_path / "tuned").mkdir() is None else None
    again = Segmenter.load(tmp_path / "tuned", device="cpu", precision="float32")
    images = noise(2)
    torch.testing.assert_close(again(images).mask_logits, tuned(images).mask_logits)
    assert not torch.allclose(again(images).mask_logits, base(images).mask_logits)


def test_the_finer_grids_reach_the_masks(segmenter: Segmenter) -> None:
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        tokens, middle, fine = SMALL.encode(segmenter.sam, pixels)
        plain = SMALL.decode(segmenter.sam, (tokens, middle, fine))
        assert not torch.allclose(plain, SMALL.decode(segmenter.sam, (tokens, middle, 0 * fine)))
        assert not torch.allclose(plain, SMALL.decode(segmenter.sam, (tokens, 0 * middle, fine)))
