"""The DoRL authors' autoencoder file, ``cae.mdl``: read, and written again with equal weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.representation.config import HEAD_WIDTH, AutoencoderConfig, heads_for
from dorl.tensorfiles import check_shapes, read_pth, without_prefix, write_pth

if TYPE_CHECKING:
    from dorl.representation.autoencoder import CrossDomainAutoencoder

#: the official code keeps its learned positions as (count, 1, D), here they are (1, count, D)
POSITIONS = ("encoder.pos_embedding", "decoder.pos_embedding")


def _official_name(name: str) -> str:
    return name.replace("decoder.to_z.", "decoder.Linear.")


def _config(tensors: Mapping[str, Tensor], path: str | Path) -> AutoencoderConfig:
    def depth(part: str) -> int:
        return len({found[1] for name in tensors if (found := re.match(rf"{part}\.transformer\.(\d+)\.", name))})

    try:
        width = tensors["encoder.cls_token"].shape[-1]
        count = tensors["encoder.pos_embedding"].shape[0]
        channels = [tensors[f"decoder.head.{number}.weight"].shape[1] for number in (0, 2, 4, 6)]
        return AutoencoderConfig(
            width=width,
            depth=depth("encoder"),
            heads=heads_for(width),  # the weights don't tell it
            decoder_depth=depth("decoder"),
            grid=round(count**0.5),
            z_width=tensors["decoder.Linear.weight"].shape[0],
            image_channels=tuple(channels),  # type: ignore[arg-type]
        )
    except (KeyError, IndexError) as error:
        what = f" ({error} is missing)" if isinstance(error, KeyError) else ""
        raise InputError(f"{path}: not an autoencoder in the official layout{what}") from error


def read_official(path: str | Path, make: type[CrossDomainAutoencoder]) -> CrossDomainAutoencoder:
    """Read an autoencoder in the official layout, with or without DataParallel's ``module.`` before the names.

    Raises
    ------
    InputError
        If the file is damaged, or has missing, extra or misshapen tensors.
    """
    tensors = without_prefix(read_pth(path))
    config = _config(tensors, path)
    with torch.device("meta"):
        model = make(config)
    own = model.state_dict()
    shapes = {
        _official_name(name): (tensor.shape[1], 1, tensor.shape[2]) if name in POSITIONS else tensor.shape
        for name, tensor in own.items()
    }
    check_shapes(path, tensors, shapes)
    state = {name: tensors[_official_name(name)].float() for name in own}
    state = {name: _turned(tensor) if name in POSITIONS else tensor for name, tensor in state.items()}
    # copies: the file may be memory-mapped, and may change
    model.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return model


def write_official(model: CrossDomainAutoencoder, path: str | Path) -> None:
    """Write an autoencoder as the official code saves it.

    That layout has no place for a `token_scale`: it is worked into the encoder's weights, whose features stay the same
    but for the norms' eps (1e-6 beside the variance of a token).
    """
    if model.config.heads != heads_for(model.config.width):
        raise InputError(
            f"the official layout has heads {HEAD_WIDTH} wide, this autoencoder others: it can't be written so"
        )
    state = {name: _scaled(name, tensor, model.config.token_scale) for name, tensor in model.state_dict().items()}
    write_pth(path, {_official_name(n): _turned(t) if n in POSITIONS else t for n, t in state.items()})


def _scaled(name: str, tensor: Tensor, scale: float) -> Tensor:
    """A weight of an encoder in which tokens, and all that is added to them, are so many times as large."""
    added = name in ("encoder.cls_token", "encoder.pos_embedding") or (
        name.startswith("encoder.") and any(part in name for part in (".attn.proj.", ".mlp.fc2."))
    )
    return tensor * scale if added else tensor


def _turned(positions: Tensor) -> Tensor:
    return positions.transpose(0, 1).contiguous()
