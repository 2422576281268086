"""SAM 2.1 behind the same interface: the Hiera encoder, two mask tokens, no prompt, at 224 pixels.

The network is transformers' `Sam2Model` (Ravi et al. 2024, "SAM 2: Segment Anything in Images and Videos",
arXiv 2408.00714), without the memory that it has for videos.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from dorl.segmentation.backbones.decoder import decode_embedding

#: pixels a token is wide: the third of Hiera's four stages, which the mask decoder reads
STRIDE = 16


@dataclass(frozen=True)
class Sam2Spec:
    """The shape of a SAM 2.1; the defaults are those of ``sam2.1-hiera-tiny``.

    Parameters
    ----------
    image_size : int
        In pixels, a multiple of 32.
    widths, blocks, heads, windows : tuples of 4 int
        Channels, blocks, attention heads and window side (in tokens) of Hiera's stages.
    global_blocks : tuple of int
        Blocks that attend to the whole grid.
    background : tuple of 2 int
        Grid of the learned positions.
    neck, decoder_mlp : int
        Channels that the mask decoder reads, and the hidden width of its MLPs.
    """

    family: ClassVar[str] = "sam2"
    channels_last: ClassVar[bool] = False

    image_size: int = 224
    widths: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (1, 2, 7, 2)
    heads: tuple[int, ...] = (1, 2, 4, 8)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    background: tuple[int, ...] = (7, 7)
    neck: int = 256
    decoder_mlp: int = 2048

    @property
    def width(self) -> int:
        """Channels of a token: those of the third stage."""
        return self.widths[2]

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return self.image_size // STRIDE

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written into a checkpoint's header."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Sam2Spec:
        """Inverse of `to_dict`."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "family"}
        return cls(**plain)

    @classmethod
    def from_config(cls, config: Any, image_size: int) -> Sam2Spec:
        """The shape that a `Sam2Config` describes, run at `image_size`."""
        hiera = config.vision_config.backbone_config
        return cls(
            image_size=image_size,
            widths=tuple(hiera.embed_dim_per_stage),
            blocks=tuple(hiera.blocks_per_stage),
            heads=tuple(hiera.num_attention_heads_per_stage),
            windows=tuple(hiera.window_size_per_stage),
            global_blocks=tuple(hiera.global_attention_blocks),
            background=tuple(hiera.window_positional_embedding_background_size),
            neck=config.vision_config.fpn_hidden_size,
            decoder_mlp=config.mask_decoder_config.mlp_dim,
        )

    def build(self, *, masks: int = 2) -> Any:
        """A `Sam2Model` of this shape with freshly drawn weights (torch's global generator)."""
        from transformers import Sam2Config, Sam2Model

        grids = [[4 * self.grid] * 2, [2 * self.grid] * 2, [self.grid] * 2]
        config = Sam2Config(
            vision_config={
                "backbone_config": {
                    "model_type": "sam2_hiera_det_model",
                    "hidden_size": self.widths[0],
                    "num_attention_heads": self.heads[0],
                    "image_size": [self.image_size] * 2,
                    "blocks_per_stage": list(self.blocks),
                    "embed_dim_per_stage": list(self.widths),
                    "num_attention_heads_per_stage": list(self.heads),
                    "window_size_per_stage": list(self.windows),
                    "global_attention_blocks": list(self.global_blocks),
                    "window_positional_embedding_background_size": list(self.background),
                },
                "backbone_channel_list": list(reversed(self.widths)),
                "backbone_feature_sizes": grids,
                "fpn_hidden_size": self.neck,
            },
            prompt_encoder_config={
                "hidden_size": self.neck,
                "image_size": self.image_size,
                "patch_size": STRIDE,
            },
            mask_decoder_config={
                "hidden_size": self.neck,
                "mlp_dim": self.decoder_mlp,
                "num_multimask_outputs": masks - 1,
                "iou_head_hidden_dim": self.neck,
            },
        )
        return Sam2Model(config)

    def shallow(self) -> Sam2Spec:
        """The same prompt encoder and mask decoder above an encoder of one block a stage."""
        return replace(self, blocks=(1, 1, 1, 1), global_blocks=())

    def encode(self, model: Any, pixels: Tensor) -> tuple[Tensor, ...]:
        """Run Hiera, but not the pyramid above it.

        Parameters
        ----------
        pixels : Tensor of shape (B, 3, S, S)

        Returns
        -------
        tuple of 4 Tensors of shape (B, h, w, C)
            The outputs of the stages, at 4, 8, 16 and 32 pixels.
        """
        return model.vision_encoder.backbone(pixels).intermediate_hidden_states

    def tokens(self, stages: tuple[Tensor, ...]) -> Tensor:
        """Tokens (B, D, G, G): the third stage, before the pyramid, as SAM's are taken before its neck."""
        return stages[2].permute(0, 3, 1, 2)

    def grids(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Grids of features: the tokens, then the finer stages, (B, C, H, W) each."""
        return tuple(stages[number].permute(0, 3, 1, 2) for number in (2, 1, 0))

    def for_inference(self, model: Any) -> None:
        """Hiera's attention has no relative positions: transformers' own is fused already."""

    def decode(self, model: Any, stages: tuple[Tensor, ...]) -> Tensor:
        """Mask logits (B, 2, 4·G, 4·G) of both mask tokens, without any prompt.

        As in `dorl.segmentation.backbones.decoder`, the pass is written out over the decoder's own modules.
        """
        coarse, middle, fine = model.vision_encoder.neck(stages)[0][-3:]
        embedding = coarse + model.no_memory_embedding.view(1, -1, 1, 1)
        before = [model.mask_decoder.obj_score_token.weight]
        return decode_embedding(model, embedding, before=before, finer=(middle, fine))
