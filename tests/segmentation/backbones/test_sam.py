from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from transformers import SamModel

from dorl.segmentation.backbones.sam import SamSpec, build_sam, decode, encode

from ..small import SMALL, assert_agree

PATCH = "vision_encoder.patch_embed.projection.weight"
SPECS = {
    "windows smaller than the grid": SMALL,
    "a window that is the whole grid": replace(SMALL, window=8),
    "a window larger than the grid": replace(SMALL, window=14),
    "no global block": replace(SMALL, global_blocks=()),
    "only global blocks": replace(SMALL, global_blocks=(0, 1)),
    "another width, depth and grid": SamSpec(
        width=48, depth=3, heads=4, image_size=80, window=2, global_blocks=(1,), neck=32, decoder_mlp=24
    ),
}


@pytest.fixture(params=SPECS.values(), ids=SPECS.keys())
def spec(request: pytest.FixtureRequest) -> SamSpec:
    return request.param


def network(spec: SamSpec, seed: int = 0) -> SamModel:
    """Random weights, position tables too, which are drawn as zeros."""
    torch.manual_seed(seed)
    model = build_sam(spec).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "rel_pos" in name or name.endswith("pos_embed"):
                parameter.normal_(std=0.2)
    return model


def pixels(spec: SamSpec, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, spec.image_size, spec.image_size, generator=generator)


@torch.no_grad()
def test_two_mask_logits_at_four_times_the_grid(spec: SamSpec) -> None:
    model = network(spec)
    hidden = encode(model, pixels(spec))
    logits = decode(model, hidden)
    assert hidden.shape == (2, spec.grid, spec.grid, spec.width)
    assert logits.shape == (2, 2, 4 * spec.grid, 4 * spec.grid)
    assert logits.isfinite().all()
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 0.1 * logits.std()  # two masks, not one twice


@torch.no_grad()
def test_tokens_are_the_hidden_state_before_the_neck(spec: SamSpec) -> None:
    model = network(spec)
    states = model.vision_encoder(pixels(spec), output_hidden_states=True).hidden_states
    assert len(states) >= spec.depth
    torch.testing.assert_close(encode(model, pixels(spec)), states[-1])


@torch.no_grad()
@pytest.mark.parametrize("multimask", [False, True])
def test_each_mask_is_the_one_that_transformers_returns(spec: SamSpec, multimask: bool) -> None:
    model = network(spec)
    hidden = encode(model, pixels(spec))
    _, dense = model.prompt_encoder(None, None, None, None)
    masks = model.mask_decoder(
        image_embeddings=model.vision_encoder.neck(hidden),
        image_positional_embeddings=model.get_image_wide_positional_embeddings().expand(2, -1, -1, -1),
        sparse_prompt_embeddings=None,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )[0]
    assert masks.shape[2] == 1
    assert_agree(decode(model, hidden)[:, int(multimask)], masks[:, 0, 0], 1e-4)


@torch.no_grad()
def test_a_window_hides_the_rest_of_the_grid_and_a_global_block_does_not() -> None:
    seen = {}
    for blocks in ((), (1,)):
        model = network(replace(SMALL, window=4, global_blocks=blocks))
        picture = pixels(SMALL, 1)
        before = encode(model, picture)
        picture[..., :8, :8] += 1  # the first token alone
        seen[blocks] = (encode(model, picture) - before).abs().amax(-1)[0] > 1e-6
    assert seen[()][:4, :4].all()
    assert not seen[()][4:].any()
    assert not seen[()][:, 4:].any()
    assert seen[(1,)].all()


@torch.no_grad()
def test_fresh_weights_tell_pictures_and_places_apart() -> None:
    torch.manual_seed(0)
    model = build_sam(SMALL).eval()
    picture = pixels(SMALL)
    logits = decode(model, encode(model, picture))
    assert (logits[0] - logits[1]).std() > 1e-3 * logits.std()
    assert logits.std(dim=(2, 3)).min() > 0
    again = decode(model, encode(model, picture))
    assert torch.equal(logits, again)


def test_the_same_generator_draws_the_same_network() -> None:
    first, again, other = (network(SMALL, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[PATCH], other[PATCH])


def test_the_fourier_frequencies_are_shared_and_not_trained() -> None:
    model = build_sam(SMALL)
    shared = model.shared_image_embedding.positional_embedding
    assert model.prompt_encoder.shared_embedding.positional_embedding is shared
    assert not shared.requires_grad
    torch.manual_seed(0)
    wide = build_sam(replace(SMALL, neck=256)).shared_image_embedding.positional_embedding
    assert wide.std().item() == pytest.approx(1, abs=0.2)  # whatever the encoder's width


def test_a_spec_survives_its_checkpoint_header(spec: SamSpec) -> None:
    assert SamSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_the_default_is_vit_b_at_224() -> None:
    spec = SamSpec()
    assert (spec.width, spec.depth, spec.heads, spec.grid, spec.window) == (768, 12, 12, 14, 14)
