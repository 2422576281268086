"""The same layers with fewer passes over memory, for the copy of a network that inference runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: channels of query and key are filled up to a multiple of this, as matrix units like it
STEP = 16


class FusedAttention(nn.Module):
    """SAM's attention with relative positions, through a fused kernel that needs no table of biases.

    SAM adds ``q · R_rows[i, k] + q · R_columns[j, l]`` to the product of the query q at (i, j) and the key at (k, l).
    Both are products of query and key, too: the query is made longer by its products with the vectors of every row and
    column, the key by ones at its own row and column. So nothing of the size of all pairs is ever written.

    Parameters
    ----------
    attention : SamVisionAttention
        Its projections are taken over.
    side : int
        Tokens on a side of what is attended to.
    """

    rows: Tensor
    columns: Tensor
    place: Tensor

    def __init__(self, attention: Any, side: int) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.scale = attention.num_attention_heads, attention.scale
        self.side = side
        with torch.no_grad():
            # the kernel multiplies the whole product by the scale, SAM only its first part
            tables = [
                attention.get_rel_pos(side, side, table).transpose(1, 2) / self.scale
                for table in (attention.rel_pos_h, attention.rel_pos_w)
            ]
        head = tables[0].shape[1]
        self.filling = -(head + 2 * side) % STEP
        number = torch.arange(side**2)
        place = torch.zeros(side**2, 2 * side + self.filling, device=tables[0].device)
        place[number, number // side] = 1
        place[number, side + number % side] = 1
        self.register_buffer("rows", tables[0].contiguous())
        self.register_buffer("columns", tables[1].contiguous())
        self.register_buffer("place", place)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, None]:
        """From (B, side, side, D) to the same shape; the second value stands for the attention weights."""
        batch, side, _, width = hidden_states.shape
        query, key, value = (
            self.qkv(hidden_states)
            .reshape(batch, side, side, 3, self.heads, width // self.heads)
            .permute(3, 0, 4, 1, 2, 5)
        )
        on_rows = torch.einsum("bnijc,ick->bnijk", query, self.rows)
        on_columns = torch.einsum("bnijc,jck->bnijk", query, self.columns)
        query = torch.cat([query, on_rows, on_columns], -1).flatten(2, 3)
        place = self.place.expand(batch, self.heads, -1, -1)
        key = torch.cat([key.flatten(2, 3), place], -1)
        value = F.pad(value.flatten(2, 3), (0, place.shape[-1]))
        mixed = F.scaled_dot_product_attention(F.pad(query, (0, self.filling)), key, value, scale=self.scale)
        mixed = mixed[..., : width // self.heads].transpose(1, 2).reshape(batch, side, side, width)
        return self.proj(mixed), None


def fuse(model: Any, grid: int) -> None:
    """Replace SAM's attention by `FusedAttention`, and take out windows as large as the grid; other networks stay.

    Parameters
    ----------
    model : nn.Module
        With LoRA merged. It is changed, and can't be trained after.
    grid : int
        Tokens on a side.
    """
    from transformers.models.sam.modeling_sam import SamVisionAttention, SamVisionLayer

    for layer in list(model.modules()):
        if isinstance(layer, SamVisionLayer) and isinstance(layer.attn, SamVisionAttention):
            if layer.window_size == grid:
                layer.window_size = 0  # one window: cutting it out and putting it back only copies
            attention: Any = FusedAttention(layer.attn, layer.window_size or grid)
            layer.attn = attention


def fused_relu6(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...], groups: int
) -> Tensor:
    """Convolution and ReLU6 in one pass, where oneDNN is there and no gradient is wanted; else one after the other.

    Elementwise work in bfloat16 costs a processor more than the convolution before it.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    weight, bias, stride, padding, groups
        As for ``torch.nn.functional.conv2d``.
    """
    if _one_pass(x):
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, list(padding), list(stride), [1, 1], groups, "hardtanh", [0, 6], ""
        )
    return F.relu6(F.conv2d(x, weight, bias, stride, padding, groups=groups), inplace=True)


def _one_pass(x: Tensor) -> bool:
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]
    if torch.is_grad_enabled() or x.device.type != "cpu" or traced:
        return False
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
