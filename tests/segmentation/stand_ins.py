"""Stand-ins for published files: small networks under the official names and in the hub's layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dorl.segmentation import SamSpec
from dorl.segmentation.weights.official import official_name

#: a SAM of 4×4 tokens in windows of 2, run at 32 pixels; published at 64, its tables have twice the rows
OFFICIAL = SamSpec(
    width=32, depth=2, heads=2, image_size=64, patch=8, window=2, global_blocks=(1,), neck=16, decoder_mlp=32
)


def official_sam(spec: SamSpec = OFFICIAL, *, seed: int = 0, masks: int = 4) -> dict[str, Tensor]:
    """Weights of a SAM as Meta's file holds them, every table of positions filled."""
    torch.manual_seed(seed)
    state = spec.build(masks=masks).state_dict()
    return {official_name(name): 0.1 * torch.randn_like(tensor) for name, tensor in state.items()}


def official_adapter(spec: SamSpec = OFFICIAL, *, rank: int = 2, seed: int = 1) -> dict[str, Tensor]:
    """LoRA, prompt encoder and two-mask decoder as the DoRL authors' file holds them."""
    held = official_sam(spec, seed=seed, masks=2)
    tensors = {name: tensor for name, tensor in held.items() if not name.startswith("image_encoder.")}
    for number in range(2 * spec.depth):
        tensors[f"w_a_{number:03d}"] = torch.randn(rank, spec.width)
        tensors[f"w_b_{number:03d}"] = torch.randn(spec.width, rank)
    return tensors


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write a PyTorch file as others write theirs."""
    torch.save(tensors, path)
    return path


def hub_folder(folder: Path, spec: SamSpec = OFFICIAL, *, seed: int = 0) -> Path:
    """A SAM with three masks more, in hub layout."""
    torch.manual_seed(seed)
    model = replace(spec).build(masks=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder
