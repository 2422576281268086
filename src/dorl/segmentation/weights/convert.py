"""From published SAM weights, of any image size and number of masks, to the two-mask network that is run here.

Tables of positions are resampled from 1024 pixels to the size run at, as the official DoRL code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.segmentation.backbones import Backbone
from dorl.segmentation.backbones.sam import TIED, SamSpec, tie
from dorl.segmentation.backbones.sam2 import Sam2Spec
from dorl.segmentation.backbones.tiny import CompactSpec

#: the families that name themselves in a file's header; SAM's shape is the one without a name
FAMILIES: dict[str, type[Backbone]] = {Sam2Spec.family: Sam2Spec, CompactSpec.family: CompactSpec}

#: parts of the mask decoder that there are as many of as masks
PER_MASK = ("mask_decoder.mask_tokens", "mask_decoder.output_hypernetworks_mlps", "mask_decoder.iou_prediction_head")


def spec_from_dict(values: dict[str, Any]) -> Backbone:
    """Inverse of any family's `to_dict`."""
    return FAMILIES.get(values.get("family", ""), SamSpec).from_dict(values)


def at_size(spec: SamSpec, image_size: int) -> SamSpec:
    """The same SAM run at another image size, in pixels."""
    if image_size < spec.patch or image_size % spec.patch:
        raise InputError(f"image size {image_size} is no multiple of the patch of {spec.patch} pixels")
    return replace(spec, image_size=image_size)


def resample_positions(table: Tensor, grid: int) -> Tensor:
    """Absolute positions (1, S, S, D) on another grid, bilinear, corners not aligned: (1, grid, grid, D)."""
    if table.shape[1] == grid:
        return table
    moved = F.interpolate(table.permute(0, 3, 1, 2), (grid, grid), mode="bilinear", align_corners=False)
    return moved.permute(0, 2, 3, 1).contiguous()


def resample_relative(table: Tensor, rows: int) -> Tensor:
    """Relative positions (R, d) with another number of rows, linear: (rows, d)."""
    if len(table) == rows:
        return table
    return F.interpolate(table.T[None], rows, mode="linear", align_corners=False)[0].T.contiguous()


def two_mask_network(state: Mapping[str, Tensor], spec: Backbone, *, seed: int = 0) -> Any:
    """A network for `spec` from published weights.

    Parameters
    ----------
    state : mapping of str to Tensor
        Under the names of transformers' `SamModel` or `Sam2Model`. All are taken, the tables of positions resampled;
        but where the weights have another number of masks than two, `PER_MASK` is drawn by `seed`, as the official
        DoRL code draws it.
    spec : SamSpec or Sam2Spec
    seed : int

    Returns
    -------
    SamModel or Sam2Model
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # without the encoder, which is loaded: drawing ViT-H would take half a minute
        fresh = spec.shallow().build().state_dict()
    with torch.device("meta"):
        model: Any = spec.build()
    two = state["mask_decoder.mask_tokens.weight"].shape[0] == 2
    copied: dict[str, Tensor] = {}
    for name, empty in model.state_dict().items():
        tensor = fresh[name] if name.startswith(PER_MASK) and not two else state[name if name in state else TIED[name]]
        tensor = tensor.detach().float()
        if isinstance(spec, SamSpec):
            if name == "vision_encoder.pos_embed":
                tensor = resample_positions(tensor, spec.grid)
            elif name.endswith((".rel_pos_h", ".rel_pos_w")):
                tensor = resample_relative(tensor, empty.shape[0])
        copied[name] = tensor.clone()  # a copy: the file may be memory-mapped, and may change
    model.load_state_dict(copied, strict=True, assign=True)
    if isinstance(spec, SamSpec):
        tie(model)
    return model
