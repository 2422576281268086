"""The network for inference computes what the network that is trained computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dorl.segmentation import SamSpec, Segmenter
from dorl.segmentation.backbones.fused import FusedAttention, fused_relu6
from dorl.segmentation.backbones.tiny import CompactSpec, Convolution
from segmentation.small import SMALL, noise, render, train_a_little

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(segmenter: Segmenter, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and logits of the network as it is trained, an image at a time."""
    with torch.no_grad():
        found = [segmenter.forward(torch.from_numpy(image[None])) for image in images]
    return torch.cat([segmenter.spec.tokens(hidden) for hidden, _ in found]), torch.cat([said for _, said in found])


def with_positions(spec: SamSpec) -> Segmenter:
    """LoRA and relative positions that aren't nought."""
    segmenter = Segmenter.from_spec(spec, rank=2, device="cpu", precision="float32")
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weights in segmenter.sam.named_parameters():
            if "rel_pos" in name:
                weights.copy_(0.5 * torch.randn(weights.shape, generator=generator))
    train_a_little(segmenter)
    return segmenter


@pytest.mark.parametrize("window", [3, 8], ids=["windows", "one window"])
def test_sam_in_float32(window: int) -> None:
    segmenter, images = with_positions(replace(SMALL, window=window)), noise(5)
    tokens, logits = plain(segmenter, images)
    out = segmenter(images)
    assert sum(isinstance(part, FusedAttention) for part in segmenter._for_inference().modules()) == SMALL.depth
    assert (out.tokens - tokens).abs().max() < 1e-4 * tokens.abs().max()
    assert (out.mask_logits - logits).abs().max() < 1e-4 * logits.abs().max()


def test_positions_matter_to_the_comparison() -> None:
    segmenter, images = with_positions(SMALL), noise(2)
    before = segmenter(images).tokens
    with torch.no_grad():
        for name, weights in segmenter.sam.named_parameters():
            if "rel_pos_w" in name:
                weights.zero_()
    segmenter.changed()
    assert (segmenter(images).tokens - before).abs().max() > 1e-2 * before.abs().max()


def test_tiny_in_float32() -> None:
    segmenter = Segmenter.load("tiny", device="cpu", precision="float32")
    images = np.stack([cell.image for cell in render(9, size=224)])
    tokens, logits = plain(segmenter, images)
    out = segmenter(images)
    assert (out.tokens - tokens).abs().max() < 1e-4 * tokens.abs().max()
    assert (out.mask_logits - logits).abs().max() < 1e-4 * logits.abs().max()


def test_bfloat16_is_near() -> None:
    images = np.stack([cell.image for cell in render(4, size=224)])
    exact = Segmenter.load("tiny", device="cpu", precision="float32")(images).tokens
    near = Segmenter.load("tiny", device="cpu", precision="bfloat16")(images).tokens
    assert torch.cosine_similarity(near, exact, dim=1).min() > 0.995


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 8])
def test_convolution_and_relu6_at_once(kernel: int, stride: int, groups: int) -> None:
    if kernel == 1 and stride == 2:
        pytest.skip("no network here has one")
    torch.manual_seed(0)
    layer = Convolution(8, 8, kernel, stride, groups=groups)
    x = 10 * torch.randn(2, 8, 12, 12).contiguous(memory_format=torch.channels_last)
    step_by_step = F.relu6(layer(x))
    with torch.no_grad():
        assert torch.allclose(layer.relu6(x), step_by_step, atol=1e-5)
        layer.settle()
        assert torch.allclose(layer.relu6(x), step_by_step, atol=1e-5)
    assert 0 < (step_by_step == 6).float().mean() < 1


def test_gradients_flow_where_they_are_wanted() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 3, 3))
    fused_relu6(torch.randn(1, 3, 8, 8), weight, None, (1, 1), (1, 1), 1).sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0


def test_the_trained_network_stays_as_it_is() -> None:
    segmenter = Segmenter.from_spec(CompactSpec(), device="cpu", precision="float32")
    before = {name: tensor.clone() for name, tensor in segmenter.base_state().items()}
    segmenter(noise(1, 224, 224))
    after = segmenter.base_state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
