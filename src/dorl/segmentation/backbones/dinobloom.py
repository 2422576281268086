"""DinoBloom: DINOv2 trained further on blood cells (Koch et al. 2024, arXiv 2404.05022), which embeds but segments not.

The published ``.pth`` files are read into transformers' `Dinov2Model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.tensorfiles import check_shapes, read_pth

#: input mean and standard deviation (RGB, 0-255): ImageNet's
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
#: width of an attention head in every DINOv2
HEAD_WIDTH = 64

# what transformers calls a block's parts → what the file calls them; query, key and value lie in one tensor there
_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "attention.o_proj": "attn.proj",
    "attention.output.dense": "attn.proj",
}
_QKV = ("q_proj", "k_proj", "v_proj"), ("attention.query", "attention.key", "attention.value")
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}


@dataclass(frozen=True)
class DinoSpec:
    """The shape of a DINOv2 ViT; the defaults are ViT-B at 224."""

    width: int = 768
    depth: int = 12
    patch: int = 14
    grid: int = 16

    @property
    def image_size(self) -> int:
        """Side of the input, in pixels."""
        return self.patch * self.grid

    def build(self) -> Any:
        """A `Dinov2Model` of this shape with freshly drawn weights."""
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(
            hidden_size=self.width,
            num_hidden_layers=self.depth,
            num_attention_heads=max(1, self.width // HEAD_WIDTH),
            image_size=self.image_size,
            patch_size=self.patch,
        )
        return Dinov2Model(config).eval()


def source(name: str, width: int) -> tuple[str, slice]:
    """Official name of a parameter that `Dinov2Model` calls `name`, and the rows of it."""
    everything = slice(None)
    if name in _OUTSIDE:
        return _OUTSIDE[name], everything
    found = re.match(r"encoder\.layer\.(\d+)\.(.+?)(\.weight|\.bias)?$", name)
    if found is None:
        raise ValueError(name)
    block, part, kind = found[1], found[2], found[3] or ""
    for number in range(3):
        if part.removeprefix("attention.") in (_QKV[0][number], _QKV[1][number]):
            return f"blocks.{block}.attn.qkv{kind}", slice(number * width, (number + 1) * width)
    return f"blocks.{block}.{_PARTS[part]}{kind}", everything


def read_dinobloom(path: str | Path) -> tuple[Any, DinoSpec]:
    """Read a DinoBloom (or any DINOv2 ViT-S, B or L without registers) checkpoint.

    Parameters
    ----------
    path : str or Path
        ``DinoBloom-{S,B,L}.pth``, with or without the training's ``teacher`` and ``backbone.`` around its names; the
        training's heads in it are passed over.

    Returns
    -------
    model : Dinov2Model
    spec : DinoSpec

    Raises
    ------
    InputError
        If the file is damaged, or has missing, extra or misshapen tensors.
    """
    held = read_pth(path, inner="teacher")
    tensors = {
        name.removeprefix("backbone."): tensor.float()
        for name, tensor in held.items()
        if "dino_head" not in name and "ibot_head" not in name
    }
    spec = _spec(tensors, path)
    with torch.device("meta"):
        model = spec.build()
    own = model.state_dict()
    sources = {name: source(name, spec.width) for name in own}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (official, rows) in sources.items():
        shape = tuple(own[name].shape)
        shapes[official] = shape if rows == slice(None) else (3 * shape[0], *shape[1:])
    check_shapes(path, tensors, shapes)
    model.load_state_dict({n: tensors[official][rows].clone() for n, (official, rows) in sources.items()}, assign=True)
    return model, spec


def _spec(tensors: Mapping[str, Tensor], path: str | Path) -> DinoSpec:
    try:
        width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
        count = tensors["pos_embed"].shape[1] - 1
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a DinoBloom checkpoint in the published layout ({error})") from error
    depth = len({found[1] for name in tensors if (found := re.match(r"blocks\.(\d+)\.", name))})
    return DinoSpec(width=width, depth=depth, patch=patch, grid=round(count**0.5))


def tokens(model: Any, pixels: Tensor) -> Tensor:
    """Tokens (B, D, G, G), behind the last norm, of normalised images (B, 3, S, S)."""
    out = model(pixels).last_hidden_state[:, 1:]
    side = round(out.shape[1] ** 0.5)
    return out.transpose(1, 2).unflatten(2, (side, side))
