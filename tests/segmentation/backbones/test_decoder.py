"""SAM's parts in plain torch against transformers' own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from dorl.segmentation.backbones.decoder import MASK_CHANNELS, Neck, UnpromptedSam, decode_embedding
from dorl.segmentation.backbones.sam import SamSpec, build_sam

SHAPE = SamSpec(width=24, depth=0, heads=1, image_size=64, global_blocks=(), neck=32, decoder_mlp=48)


@pytest.fixture
def both() -> tuple[UnpromptedSam, nn.Module]:
    """A network of these parts, and transformers' with the same weights."""
    torch.manual_seed(0)
    theirs = build_sam(SHAPE).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    encoder = nn.Module()
    encoder.neck = Neck(SHAPE.width, SHAPE.neck)
    ours = UnpromptedSam(encoder, neck=SHAPE.neck, mlp=SHAPE.decoder_mlp, grid=SHAPE.grid, masks=2).eval()
    state = theirs.state_dict()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return ours, theirs


def test_parameters_have_the_names_that_transformers_gives_them(both: tuple[UnpromptedSam, nn.Module]) -> None:
    ours, theirs = (set(model.state_dict()) for model in both)
    assert ours == {name for name in theirs if not name.startswith(("vision_encoder.patch", "vision_encoder.pos"))}


def test_masks_are_those_of_transformers_decoder(both: tuple[UnpromptedSam, nn.Module]) -> None:
    ours, theirs = both
    tokens = torch.randn(3, SHAPE.grid, SHAPE.grid, SHAPE.width)
    embedding = ours.vision_encoder.neck(tokens)
    torch.testing.assert_close(embedding, theirs.vision_encoder.neck(tokens))
    _, dense = theirs.prompt_encoder(None, None, None, None)
    given = {
        "image_embeddings": embedding,
        "image_positional_embeddings": theirs.get_image_wide_positional_embeddings().expand(3, -1, -1, -1),
        "sparse_prompt_embeddings": None,
        "dense_prompt_embeddings": dense,
    }
    single, _ = theirs.mask_decoder(**given, multimask_output=False)
    rest, _ = theirs.mask_decoder(**given, multimask_output=True)
    expected = torch.cat([single, rest], dim=2)[:, 0]
    torch.testing.assert_close(decode_embedding(ours, embedding), expected, rtol=1e-4, atol=1e-4)


def test_the_mask_prompt_s_parameters_are_as_wide_as_sam_s(both: tuple[UnpromptedSam, nn.Module]) -> None:
    assert both[1].prompt_encoder.mask_embed.conv2.weight.shape[:2] == MASK_CHANNELS[::-1]


def test_fresh_weights_are_drawn_as_transformers_draws_them() -> None:
    encoder = nn.Module()
    encoder.neck = Neck(64, 128)
    ours = UnpromptedSam(encoder, neck=128, mlp=256, grid=4, masks=2).state_dict()
    shape = SamSpec(width=64, depth=0, heads=1, image_size=64, global_blocks=(), neck=128, decoder_mlp=256)
    theirs = build_sam(shape).state_dict()
    for name, drawn in ours.items():
        if drawn.numel() > 500:
            assert float(drawn.std()) == pytest.approx(float(theirs[name].std()), rel=0.2), name
        elif name.endswith("bias") or "norm" in name:
            assert torch.equal(drawn, theirs[name]), name


def test_the_tiny_backbone_works_without_transformers() -> None:
    code = "import sys, dorl; dorl.Segmenter.load('tiny'); sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
