"""SAM 2.1 behind the Segmenter: tokens of Hiera's third stage, two masks, LoRA on its queries and values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.sam2 import Sam2Spec
from dorl.segmentation.lora import lora_modules

from ..small import noise

SMALL = Sam2Spec(
    image_size=64,
    widths=(16, 32, 64, 128),
    blocks=(1, 1, 2, 1),
    heads=(1, 2, 2, 4),
    windows=(8, 4, 4, 2),
    global_blocks=(3,),
    background=(2, 2),
    neck=32,
    decoder_mlp=32,
)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_spec(SMALL, rank=2, device="cpu", precision="float32")


def test_tokens_and_masks_have_the_segmenter_s_shapes(segmenter: Segmenter) -> None:
    out = segmenter(noise(3, 50, 70))
    assert (segmenter.width, segmenter.grid) == (64, 4)
    assert out.tokens.shape == (3, 64, 4, 4)
    assert out.mask_logits.shape == (3, 2, 16, 16)
    assert out.masks.shape == (3, 50, 70)


@pytest.mark.slow
def test_the_published_tiny_shape_at_224() -> None:
    out = Segmenter.from_spec(Sam2Spec(), device="cpu", precision="float32")(noise(1, 224, 224))
    assert out.tokens.shape == (1, 384, 14, 14)
    assert out.mask_logits.shape == (1, 2, 56, 56)


def test_both_masks_equal_those_of_transformers_decoder(segmenter: Segmenter) -> None:
    """Its decoder returns the first mask or the rest; here both come from one pass."""
    spec, model = SMALL, SMALL.build().eval()
    model.mask_decoder.dynamic_multimask_via_stability = False
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = spec.decode(model, spec.encode(model, pixels))
        features = model.vision_encoder(pixels, return_dict=True).fpn_hidden_states
        fine, middle, coarse = features
        size = coarse.shape[-1]
        dense = model.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(2, -1, size, size)
        for multimask, index in ((False, 0), (True, 1)):
            masks = model.mask_decoder(
                image_embeddings=coarse + model.no_memory_embedding.view(1, -1, 1, 1),
                image_positional_embeddings=model.get_image_wide_positional_embeddings().expand(2, -1, -1, -1),
                sparse_prompt_embeddings=torch.empty(2, 1, 0, spec.neck),
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                high_resolution_features=[model.mask_decoder.conv_s0(fine), model.mask_decoder.conv_s1(middle)],
            )[0]
            assert torch.allclose(logits[:, index], masks[:, 0, 0], atol=1e-5)


def test_low_rank_updates_reach_the_blocks_that_change_the_width(segmenter: Segmenter) -> None:
    modules = lora_modules(segmenter.sam)
    assert len(modules) == sum(SMALL.blocks)
    assert {(module.q_a.shape[1], module.q_b.shape[0]) for module in modules} > {(16, 32), (32, 64), (64, 128)}


def test_merged_equals_unmerged(segmenter: Segmenter) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in lora_modules(segmenter.sam):
            module.q_b.copy_(torch.randn(module.q_b.shape, generator=generator))
            module.v_b.copy_(torch.randn(module.v_b.shape, generator=generator))
    segmenter.changed()
    images = noise(1, 64, 64)
    stages, logits = segmenter.forward(torch.from_numpy(images))
    out = segmenter(images)
    assert torch.allclose(out.tokens, SMALL.tokens(stages), atol=1e-4)
    assert torch.allclose(out.mask_logits, logits, atol=1e-4)


def test_only_adapter_prompt_encoder_and_decoder_train(segmenter: Segmenter) -> None:
    trained = {name for name, parameter in segmenter.sam.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"vision_encoder", "prompt_encoder", "mask_decoder"}
    assert all(name[-4:] in (".q_a", ".q_b", ".v_a", ".v_b") for name in trained if name.startswith("vision"))


def test_a_folder_in_hub_layout_and_an_adapter_over_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    SMALL.build(masks=4).save_pretrained(tmp_path / "hub")
    base = Segmenter.load(tmp_path / "hub", device="cpu", precision="float32")
    assert base.spec.image_size == 224
    base.add_lora(2)
    with torch.no_grad():
        lora_modules(base.sam)[0].q_b.fill_(1.0)
    base.save(tmp_path / "tuned.safetensors")
    again = Segmenter.load(tmp_path / "tuned.safetensors", device="cpu", precision="float32")
    images = noise(1, 100, 90)
    assert torch.equal(again(images).mask_logits, base(images).mask_logits)
    assert torch.equal(again(images).tokens, base(images).tokens)


def test_the_official_adapter_layout_is_sam_s_alone(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of another family"):
        segmenter.save_official(tmp_path / "lora.pth")
