"""Meta's SAM checkpoints and the DoRL authors' LoRA files: their names, their layout, and both directions between them
and the networks here.

Parameters of the official code and of transformers' `SamModel` are the same under other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dorl.errors import InputError
from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.lora import adapter_state, lora_modules
from dorl.segmentation.weights.convert import at_size, two_mask_network
from dorl.tensorfiles import check_shapes, read_pth, without_prefix

if TYPE_CHECKING:
    from transformers import SamModel

#: SAM's own input mean and standard deviation (RGB, 0-255), for weights that nobody fine-tuned yet
SAM_MEAN = (123.675, 116.28, 103.53)
SAM_STD = (58.395, 57.12, 57.375)

# from the names here to the official ones: the first pattern that fits a name is applied
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm([12])\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.", "image_encoder."),
    (
        r"^(?:shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^(mask_decoder\.transformer\.layers\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"^mask_decoder\.transformer\.layer_norm_final_attn\.", "mask_decoder.transformer.norm_final_attn."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.0\.", r"\1.layers.1."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_in\.", r"\1.layers.0."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.proj_out\.", r"\1.layers.2."),
)


def official_name(name: str) -> str:
    """The official name of a parameter that `SamModel` calls `name`."""
    for pattern, replacement in _RENAMES:
        if re.search(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def official_spec(tensors: Mapping[str, Tensor], path: str | Path) -> tuple[SamSpec, int]:
    """Shape of the SAM in an official file, and how many mask tokens it has.

    Raises
    ------
    InputError
        If the tensors that tell the shape are missing or odd.
    """
    blocks = {int(found[1]) for name in tensors if (found := re.match(r"image_encoder\.blocks\.(\d+)\.", name))}
    try:
        width, _, patch, _ = tensors["image_encoder.patch_embed.proj.weight"].shape
        side = tensors["image_encoder.pos_embed"].shape[1]
        tables = [tensors[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(len(blocks))]
        neck = tensors["image_encoder.neck.0.weight"].shape[0]
        decoder_mlp = tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]
        masks = tensors["mask_decoder.mask_tokens.weight"].shape[0]
        windowed = [rows for rows, _ in tables if rows != 2 * side - 1]
        return (
            SamSpec(
                width=width,
                depth=len(blocks),
                heads=width // tables[0][1],
                image_size=side * patch,
                patch=patch,
                window=(min(windowed) + 1) // 2 if windowed else side,
                global_blocks=tuple(i for i, (rows, _) in enumerate(tables) if rows == 2 * side - 1),
                neck=neck,
                decoder_mlp=decoder_mlp,
            ),
            masks,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        what = f" ({error} is missing)" if isinstance(error, KeyError) else ""
        raise InputError(f"{path}: not a SAM checkpoint in the official layout{what}") from error


def read_official_sam(path: str | Path, *, image_size: int = 224) -> tuple[SamModel, SamSpec]:
    """Read ``sam_vit_{b,l,h}*.pth`` as a two-mask SAM at `image_size`.

    Raises
    ------
    InputError
        If the file is damaged, or has missing, extra or misshapen tensors.
    """
    tensors = without_prefix(read_pth(path))
    whole, masks = official_spec(tensors, path)
    spec = at_size(whole, image_size)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in whole.build(masks=masks).state_dict().items()}
    check_shapes(path, tensors, {official_name(name): shape for name, shape in shapes.items()})
    return two_mask_network({name: tensors[official_name(name)] for name in shapes}, spec), spec


def read_official_adapter(path: str | Path) -> tuple[dict[str, Tensor], int]:
    """Read the DoRL authors' LoRA file: its tensors under their official names, and the rank."""
    tensors = without_prefix(read_pth(path))
    first = tensors.get("w_a_000")
    if first is None or first.ndim != 2:
        raise InputError(f"{path}: not a LoRA adapter in the official layout (w_a_000 is missing)")
    return tensors, first.shape[0]


def adapter_names(model: SamModel) -> dict[str, str]:
    """Names of an adapter's tensors here → their official names; query and value of each block in turn."""
    names = {}
    for name in adapter_state(model):
        found = re.match(r"vision_encoder\.layers\.(\d+)\.attn\.qkv\.([qv])_([ab])$", name)
        number = 2 * int(found[1]) + (found[2] == "v") if found else 0
        names[name] = f"w_{found[3]}_{number:03d}" if found else official_name(name)
    return names


def load_official_adapter(model: SamModel, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy an official adapter into a SAM that has LoRA of its rank; refuses what doesn't fit."""
    names = adapter_names(model)
    own = model.state_dict()
    check_shapes(path, tensors, {official: own[name].shape for name, official in names.items()})
    model.load_state_dict({name: tensors[official].float() for name, official in names.items()}, strict=False)


def official_adapter(model: SamModel) -> dict[str, Tensor]:
    """An adapter's tensors under their official names, as the DoRL authors' code saves and loads them."""
    if not lora_modules(model):
        raise InputError("this segmenter has no LoRA adapter to write: fine-tune it first")
    own = model.state_dict()
    return {official: own[name] for name, official in adapter_names(model).items()}
