"""Position tables resampled, and what is taken from published weights."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from dorl.segmentation import SamSpec
from dorl.segmentation.backbones.sam2 import Sam2Spec
from dorl.segmentation.weights.convert import resample_positions, resample_relative, spec_from_dict, two_mask_network

from ..stand_ins import OFFICIAL


def test_positions_keep_their_grid_where_it_fits() -> None:
    table = torch.randn(1, 4, 4, 3)
    assert resample_positions(table, 4) is table


def test_a_linear_ramp_stays_one_between_the_borders() -> None:
    ramp = torch.arange(64.0).view(1, 64, 1, 1).expand(1, 64, 64, 2)
    small = resample_positions(ramp, 16)
    assert small.shape == (1, 16, 16, 2)
    assert torch.allclose(small[0, :, 0, 0].diff(), torch.full((15,), 4.0))


def test_relative_positions_keep_their_centre_and_symmetry() -> None:
    table = torch.arange(-63.0, 64).abs()[:, None].expand(127, 5)
    small = resample_relative(table, 27)
    assert small.shape == (27, 5)
    assert small[13].abs().max() == small.abs().min()
    assert torch.allclose(small, small.flip(0))


def test_relative_positions_equal_the_bilinear_ones_of_the_official_code() -> None:
    table = torch.randn(127, 8)
    official = F.interpolate(table[None, None], (27, 8), mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(resample_relative(table, 27), official, atol=1e-6)


def test_a_network_with_two_masks_is_taken_whole() -> None:
    torch.manual_seed(3)
    state = {name: torch.randn_like(tensor) for name, tensor in OFFICIAL.build().state_dict().items()}
    state["prompt_encoder.shared_embedding.positional_embedding"] = state["shared_image_embedding.positional_embedding"]
    taken = two_mask_network(state, OFFICIAL).state_dict()
    assert all(torch.equal(taken[name], state[name]) for name in state)


def test_drawing_leaves_torch_s_generator_alone() -> None:
    state = OFFICIAL.build(masks=4).state_dict()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    two_mask_network(state, OFFICIAL)
    assert torch.equal(torch.rand(3), expected)


def test_specs_of_both_families_survive_a_header() -> None:
    for spec in (SamSpec(width=64, global_blocks=(1, 3)), Sam2Spec(blocks=(1, 1, 3, 1), global_blocks=(3,))):
        assert spec_from_dict(spec.to_dict()) == spec
