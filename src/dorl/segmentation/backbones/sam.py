"""SAM at any width and depth, run without a prompt and with two mask tokens: background and cell.

The network is transformers' `SamModel` (Kirillov et al. 2023, "Segment Anything", arXiv 2304.02643). DoRL runs it
at 224 pixels, so that one attention window is the whole 14×14 grid, and asks its mask decoder for two masks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from dorl.segmentation.backbones.decoder import decode_embedding
from dorl.segmentation.backbones.fused import fuse

if TYPE_CHECKING:
    from transformers import SamModel

#: parameters that are one and the same in the network
TIED = {"prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding"}


@dataclass(frozen=True)
class SamSpec:
    """The shape of a SAM network.

    Parameters
    ----------
    width, depth, heads : int
        Of the ViT encoder; SAM ViT-B is 768, 12, 12.
    image_size, patch : int
        In pixels; the token grid is ``image_size // patch`` on a side.
    window : int
        Side of an attention window, in tokens.
    global_blocks : tuple of int
        Blocks that attend to the whole grid instead of windows.
    neck, decoder_mlp : int
        Channels between encoder and mask decoder, and the hidden width of the decoder's MLPs.
    """

    family: ClassVar[str] = "sam"
    #: whether inference keeps grids with their channels last in memory, which convolutions like
    channels_last: ClassVar[bool] = False

    width: int = 768
    depth: int = 12
    heads: int = 12
    image_size: int = 224
    patch: int = 16
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    neck: int = 256
    decoder_mlp: int = 2048

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return self.image_size // self.patch

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written into a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SamSpec:
        """Inverse of `to_dict`."""
        return cls(**{**values, "global_blocks": tuple(values["global_blocks"])})

    def build(self, *, masks: int = 2) -> SamModel:
        """A network of this shape with freshly drawn weights: see `build_sam`."""
        return build_sam(self, masks=masks)

    def shallow(self) -> SamSpec:
        """The same prompt encoder and mask decoder above an encoder without blocks."""
        return replace(self, depth=0, global_blocks=())

    def encode(self, model: SamModel, pixels: Tensor) -> Tensor:
        """What `decode` and `tokens` read: see `encode` of this module."""
        return encode(model, pixels)

    def decode(self, model: SamModel, hidden: Tensor) -> Tensor:
        """Mask logits: see `decode` of this module."""
        return decode(model, hidden)

    def tokens(self, hidden: Tensor) -> Tensor:
        """Tokens (B, D, G, G) from what `encode` gave."""
        return hidden.permute(0, 3, 1, 2)

    def grids(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Every grid of features that `encode` gave: the tokens alone."""
        return (self.tokens(hidden),)

    def for_inference(self, model: SamModel) -> None:
        """Change a network that is not trained any more so that it computes the same faster."""
        fuse(model, self.grid)


def build_sam(spec: SamSpec, *, masks: int = 2) -> SamModel:
    """Build a SAM with freshly drawn weights (torch's global generator).

    Parameters
    ----------
    spec : SamSpec
    masks : int, default 2
        Mask tokens; SAM as published has four.
    """
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": spec.width,
            "num_hidden_layers": spec.depth,
            "num_attention_heads": spec.heads,
            "image_size": spec.image_size,
            "patch_size": spec.patch,
            "window_size": spec.window,
            "global_attn_indexes": list(spec.global_blocks),
            "output_channels": spec.neck,
            "num_pos_feats": spec.neck // 2,
            # transformers' default of 1e-10 suits loading weights, not drawing them
            "initializer_range": 0.02,
        },
        prompt_encoder_config={
            "hidden_size": spec.neck,
            "image_size": spec.image_size,
            "patch_size": spec.patch,
            "image_embedding_size": spec.grid,
        },
        # one "multimask" output makes two mask tokens
        mask_decoder_config={
            "hidden_size": spec.neck,
            "mlp_dim": spec.decoder_mlp,
            "num_multimask_outputs": masks - 1,
            "iou_head_hidden_dim": spec.neck,
        },
    )
    model = SamModel(config)
    # The official code draws the Fourier frequencies with scale 1; transformers multiplies them by half the
    # encoder's width, which only matters where they are drawn and not loaded.
    frequencies = model.shared_image_embedding.positional_embedding
    with torch.no_grad():
        frequencies.copy_(torch.randn_like(frequencies))
    tie(model)
    return model


def tie(model: SamModel) -> None:
    """Make prompt encoder and image share one set of Fourier frequencies, as SAM does; they aren't trained."""
    frequencies = model.shared_image_embedding.positional_embedding
    frequencies.requires_grad_(False)
    model.prompt_encoder.shared_embedding.positional_embedding = frequencies


def encode(model: SamModel, pixels: Tensor) -> Tensor:
    """Run the ViT up to, but not through, SAM's neck.

    Parameters
    ----------
    pixels : Tensor of shape (B, 3, S, S)
        Normalised image.

    Returns
    -------
    Tensor of shape (B, G, G, D)
        The tokens, channels last.
    """
    encoder = model.vision_encoder
    hidden = encoder.patch_embed(pixels)
    if encoder.pos_embed is not None:
        hidden = hidden + encoder.pos_embed
    for block in encoder.layers:
        hidden = block(hidden)
    return hidden


def decode(model: SamModel, hidden: Tensor) -> Tensor:
    """Mask logits of both mask tokens, without any prompt: `decode_embedding` of what the neck gives.

    Parameters
    ----------
    hidden : Tensor of shape (B, G, G, D)
        Tokens from `encode`.

    Returns
    -------
    Tensor of shape (B, 2, 4·G, 4·G)
        Background and cell logits.
    """
    return decode_embedding(model, model.vision_encoder.neck(hidden))
