"""What stands above a SAM encoder, run without a prompt: neck, positions and the two-way mask decoder, in plain torch.

Kirillov et al. 2023, "Segment Anything", arXiv 2304.02643. Parts and parameters are named as in transformers'
`SamModel`, so that weights fit both; `decode_embedding` runs either. The tiny family is built of these parts, since
importing transformers takes longer than everything else that `dorl predict` does with one image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: of the decoder's attention, and blocks in it, as published
HEADS, BLOCKS = 8, 2
#: of the norms inside neck, blocks and decoder; the last norm of the two-way transformer has torch's
NORM_EPS = 1e-6
#: channels of a mask given as prompt, on its way into the prompt encoder
MASK_CHANNELS = (4, 16)
#: spread of freshly drawn weights
INITIAL_STD = 0.02


class UnpromptedSam(nn.Module):
    """SAM's parts around an encoder: `shared_image_embedding`, `vision_encoder`, `prompt_encoder`, `mask_decoder`.

    Parameters
    ----------
    encoder : nn.Module
        Kept as `vision_encoder`.
    neck, mlp : int
        Channels between encoder and decoder, and the hidden width of the decoder's MLPs.
    grid : int
        Tokens on a side.
    masks : int
        Mask tokens.
    """

    def __init__(self, encoder: nn.Module, *, neck: int, mlp: int, grid: int, masks: int) -> None:
        super().__init__()
        self.grid = grid
        self.shared_image_embedding = Positions(neck // 2)
        self.prompt_encoder = PromptEncoder(self.shared_image_embedding, neck)
        self.mask_decoder = MaskDecoder(neck, mlp, masks)
        for part in (self.prompt_encoder, self.mask_decoder):
            part.apply(draw)
        self.vision_encoder = encoder

    def get_image_wide_positional_embeddings(self) -> Tensor:
        """Positions of the tokens, (1, C, G, G)."""
        return self.shared_image_embedding(self.grid)


class Positions(nn.Module):
    """Random Fourier features of places in the unit square (Tancik et al. 2020, arXiv 2006.10739); not trained."""

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(2, frequencies), requires_grad=False)

    def forward(self, grid: int) -> Tensor:
        """Of the middles of `grid` × `grid` patches, (1, C, grid, grid)."""
        frequencies = self.positional_embedding
        along = (torch.arange(grid, device=frequencies.device, dtype=frequencies.dtype) + 0.5) / grid
        rows, columns = torch.meshgrid(along, along, indexing="ij")
        angles = 2 * math.pi * ((2 * torch.stack([columns, rows], dim=-1) - 1) @ frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """SAM's parameters for points, boxes and masks. Without a prompt `no_mask_embed` alone is read; files have all."""

    def __init__(self, positions: Positions, width: int) -> None:
        super().__init__()
        first, second = MASK_CHANNELS
        self.shared_embedding = positions
        self.mask_embed = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(1, first, 2, stride=2),
                "conv2": nn.Conv2d(first, second, 2, stride=2),
                "conv3": nn.Conv2d(second, width, 1),
                "layer_norm1": ChannelNorm(first),
                "layer_norm2": ChannelNorm(second),
            }
        )
        self.no_mask_embed = nn.Embedding(1, width)
        self.point_embed = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a grid."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, grid: Tensor) -> Tensor:
        """From (B, C, H, W) to the same shape."""
        return super().forward(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Neck(nn.Module):
    """From tokens to the mask decoder's channels."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, channels, 1, bias=False)
        self.layer_norm1 = ChannelNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.layer_norm2 = ChannelNorm(channels)
        self.apply(draw)

    def forward(self, tokens: Tensor) -> Tensor:
        """From (B, G, G, D) to (B, C, G, G)."""
        grid = self.layer_norm1(self.conv1(tokens.permute(0, 3, 1, 2)))
        return self.layer_norm2(self.conv2(grid))


class MaskDecoder(nn.Module):
    """SAM's mask decoder; `decode_embedding` runs its parts."""

    def __init__(self, width: int, mlp: int, masks: int) -> None:
        super().__init__()
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        self.transformer = TwoWayTransformer(width, mlp)
        self.upscale_conv1 = nn.ConvTranspose2d(width, width // 4, 2, stride=2)
        self.upscale_conv2 = nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2)
        self.upscale_layer_norm = ChannelNorm(width // 4)
        self.activation = nn.GELU()
        self.output_hypernetworks_mlps = nn.ModuleList(Head(width, width // 8) for _ in range(masks))
        self.iou_prediction_head = Head(width, masks)


class Head(nn.Module):
    """Three linear layers with ReLU between."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(width, width)
        self.layers = nn.ModuleList([nn.Linear(width, width)])
        self.proj_out = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C) to (B, outputs)."""
        x = F.relu(self.proj_in(x))
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.proj_out(x)


class TwoWayTransformer(nn.Module):
    """Queries and image attend to each other."""

    def __init__(self, width: int, mlp: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, mlp, first=number == 0) for number in range(BLOCKS))
        self.final_attn_token_to_image = Attention(width, width // 2)
        self.layer_norm_final_attn = nn.LayerNorm(width)

    def forward(
        self,
        point_embeddings: Tensor,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        attention_similarity: None = None,
    ) -> tuple[Tensor, Tensor]:
        """From queries (B, 1, N, C) and image (B, C, G, G) to queries (B, 1, N, C) and image (B, 1, G², C)."""
        begun = point_embeddings[:, 0]
        image = image_embeddings.flatten(2).transpose(1, 2)
        places = image_positional_embeddings.flatten(2).transpose(1, 2)
        queries = begun
        for layer in self.layers:
            queries, image = layer(queries, image, begun, places)
        queries = queries + self.final_attn_token_to_image(queries + begun, image + places, image)
        return self.layer_norm_final_attn(queries)[:, None], image[:, None]


class TwoWayBlock(nn.Module):
    """Queries attend to themselves and to the image, then the image to them."""

    def __init__(self, width: int, mlp: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, width)
        self.cross_attn_token_to_image = Attention(width, width // 2)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(width, mlp), "lin2": nn.Linear(mlp, width)})
        self.cross_attn_image_to_token = Attention(width, width // 2)
        self.layer_norm1, self.layer_norm2, self.layer_norm3, self.layer_norm4 = (
            nn.LayerNorm(width, eps=NORM_EPS) for _ in range(4)
        )

    def forward(self, queries: Tensor, image: Tensor, begun: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """From queries (B, N, C) and image (B, G², C) to the same; `begun` and `places` are added where they ask."""
        if self.first:
            queries = self.self_attn(queries, queries, queries)
        else:
            queries = queries + self.self_attn(queries + begun, queries + begun, queries)
        queries = self.layer_norm1(queries)
        queries = self.layer_norm2(queries + self.cross_attn_token_to_image(queries + begun, image + places, image))
        queries = self.layer_norm3(queries + self.mlp["lin2"](F.relu(self.mlp["lin1"](queries))))
        image = self.layer_norm4(image + self.cross_attn_image_to_token(image + places, queries + begun, queries))
        return queries, image


class Attention(nn.Module):
    """Attention whose queries, keys and values may be narrower than what goes in."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """From (B, N, C), (B, M, C) and (B, M, C) to (B, N, C)."""
        parts = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        heads = [project(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for project, x in parts]
        return self.out_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


def draw(part: nn.Module) -> None:
    """Fresh weights of one part, as transformers draws them."""
    if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
        nn.init.normal_(part.weight, std=INITIAL_STD)
        bias = getattr(part, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)


def decode_embedding(
    model: Any, embedding: Tensor, *, before: Sequence[Tensor] = (), finer: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Mask logits of both mask tokens, without any prompt; of `UnpromptedSam`, `SamModel` or `Sam2Model`.

    transformers' decoder returns either the first mask or the others; DoRL needs both from one pass, so the pass
    is written out here over the decoder's own modules.

    Parameters
    ----------
    embedding : Tensor of shape (B, C, G, G)
        As the neck gives it.
    before : sequence of Tensor of shape (1, C)
        Tokens that stand before the one of the IoU.
    finer : tuple of two Tensors, optional
        Grids of side 2·G and 4·G, which SAM 2's decoder reads through `conv_s1` and `conv_s0`.

    Returns
    -------
    Tensor of shape (B, 2, 4·G, 4·G)
        Background and cell.
    """
    decoder: Any = model.mask_decoder
    batch, channels, height, width = embedding.shape
    dense = model.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    positions = model.get_image_wide_positional_embeddings().to(embedding.dtype)
    first = [*before, decoder.iou_token.weight]
    queries = torch.cat([*first, decoder.mask_tokens.weight])
    queries, image = decoder.transformer(
        point_embeddings=queries.expand(batch, 1, -1, -1),
        image_embeddings=embedding + dense,
        image_positional_embeddings=positions.expand(batch, -1, -1, -1),
        attention_similarity=None,
    )[:2]
    image = decoder.upscale_conv1(image.transpose(2, 3).reshape(batch, channels, height, width))
    if finer is not None:
        image = image + decoder.conv_s1(finer[0])
    image = decoder.upscale_conv2(decoder.activation(decoder.upscale_layer_norm(image)))
    if finer is not None:
        image = image + decoder.conv_s0(finer[1])
    image = decoder.activation(image)
    heads = decoder.output_hypernetworks_mlps
    weights = torch.stack([head(queries[:, 0, len(first) + index]) for index, head in enumerate(heads)], dim=1)
    return torch.einsum("bkc,bchw->bkhw", weights, image)
