from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dorl.segmentation.lora import LoRAQueryValue, adapter_state, lora_modules
from dorl.segmentation.losses import segmentation_loss

from .small import SMALL, noise, small_segmenter, train_a_little

WIDTH = 12


def trained(rank: int = 3) -> LoRAQueryValue:
    torch.manual_seed(0)
    module = LoRAQueryValue(nn.Linear(WIDTH, 3 * WIDTH), rank)
    with torch.no_grad():
        module.q_b.normal_()
        module.v_b.normal_()
    return module


def test_fresh_lora_changes_nothing() -> None:
    plain, adapted = small_segmenter(), small_segmenter(rank=4)
    images = torch.from_numpy(noise(2))
    for before, after in zip(plain.forward(images), adapted.forward(images), strict=True):
        assert torch.equal(before, after)


def test_query_and_value_change_by_b_a_and_the_key_never() -> None:
    module, x = trained(), torch.randn(2, 5, WIDTH)
    query, key, value = (module(x) - module.base(x)).split(WIDTH, dim=-1)
    torch.testing.assert_close(query, x @ (module.q_b @ module.q_a).T)
    torch.testing.assert_close(value, x @ (module.v_b @ module.v_a).T)
    assert query.abs().min() > 0
    assert (key == 0).all()
    module.merge()
    assert torch.equal(module(x)[..., WIDTH : 2 * WIDTH], module.base(x)[..., WIDTH : 2 * WIDTH])


def test_merging_leaves_the_key_weight_and_the_bias_alone() -> None:
    module = trained()
    before = copy.deepcopy(module.base)
    module.merge()
    changed = (module.base.weight != before.weight).any(1)
    assert changed[:WIDTH].all()
    assert not changed[WIDTH : 2 * WIDTH].any()
    assert changed[2 * WIDTH :].all()
    assert torch.equal(module.base.bias, before.bias)


def test_merged_is_unmerged() -> None:
    module, x = trained(), torch.randn(2, 5, WIDTH)
    expected = module(x)
    module.merge()
    assert module.merged
    torch.testing.assert_close(module(x), expected)


def test_merging_twice_is_merging_once() -> None:
    module = trained()
    module.merge()
    once = module.base.weight.clone()
    module.merge()
    assert torch.equal(module.base.weight, once)


def test_unmerging_restores_every_bit() -> None:
    module = trained()
    before = module.base.weight.clone()
    for _ in range(3):
        module.merge()
        assert not torch.equal(module.base.weight, before)
        module.unmerge()
        assert not module.merged
        assert torch.equal(module.base.weight, before)
    module.unmerge()  # nothing to undo
    assert torch.equal(module.base.weight, before)


def test_every_block_gets_an_adapter_of_the_rank() -> None:
    modules = lora_modules(small_segmenter(rank=2).sam)
    assert len(modules) == SMALL.depth
    assert {tuple(module.q_a.shape) for module in modules} == {(2, SMALL.width)}
    assert {tuple(module.v_b.shape) for module in modules} == {(SMALL.width, 2)}


def test_only_lora_prompt_encoder_and_mask_decoder_learn() -> None:
    segmenter = small_segmenter(rank=4)
    train_a_little(segmenter)
    _, logits = segmenter.forward(torch.from_numpy(noise(2)))
    segmentation_loss(logits, torch.randint(0, 2, (2, 32, 32))).backward()
    learning = {name for name, p in segmenter.sam.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    lora = {name for name in learning if name.endswith((".q_a", ".q_b", ".v_a", ".v_b"))}
    assert len(lora) == 4 * SMALL.depth
    assert any(name.startswith("prompt_encoder.") for name in learning)
    assert any(name.startswith("mask_decoder.") for name in learning)
    assert not [name for name in learning - lora if not name.startswith(("prompt_encoder.", "mask_decoder."))]
    frozen = {name for name, p in segmenter.sam.named_parameters() if not p.requires_grad}
    assert {name for name in frozen if ".neck." in name}
    assert {name for name in frozen if name.endswith("qkv.base.weight")}


def test_an_adapter_holds_no_base_weight() -> None:
    segmenter = small_segmenter(rank=4)
    state = adapter_state(segmenter.sam)
    encoder = [name for name in state if name.startswith("vision_encoder.")]
    assert len(encoder) == 4 * SMALL.depth
    assert all(name.rsplit(".", 1)[1] in {"q_a", "q_b", "v_a", "v_b"} for name in encoder)
    before = {name: tensor.clone() for name, tensor in state.items()}
    with torch.no_grad():
        for name, parameter in segmenter.sam.vision_encoder.named_parameters():
            if not name.endswith((".q_a", ".q_b", ".v_a", ".v_b")):
                parameter.add_(1)
    after = adapter_state(segmenter.sam)
    assert all(torch.equal(before[name], after[name]) for name in after)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_the_rank_bounds_the_update(rank: int) -> None:
    module = trained(rank)
    before = module.base.weight.clone()
    module.merge()
    update = (module.base.weight - before)[:WIDTH]
    assert torch.linalg.matrix_rank(update, rtol=1e-4) == min(rank, WIDTH)
