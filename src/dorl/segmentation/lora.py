"""LoRA on the query and value projections of SAM's encoder (Hu et al. 2021, arXiv 2106.09685; Zhang & Liu 2023,
"Customized Segment Anything Model", arXiv 2304.13785).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.tensorfiles import weights_digest

#: endings of the matrices' names
LORA = (".q_a", ".q_b", ".v_a", ".v_b")


class LoRAQueryValue(nn.Module):
    """A fused query-key-value projection with low-rank updates of query and value.

    The update is ``B @ A`` without a scale factor, as in the published code. `merge` folds it into the base weight;
    `unmerge` puts the very same base weight back.

    Parameters
    ----------
    base : nn.Linear
        From D to 3·E, laid out query, key, value; SAM has E = D, where Hiera changes its width E = 2·D. It is frozen.
    rank : int
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        width, out = base.in_features, base.out_features // 3
        self.base = base
        self.q_a = nn.Parameter(torch.empty(rank, width))
        self.q_b = nn.Parameter(torch.zeros(out, rank))
        self.v_a = nn.Parameter(torch.empty(rank, width))
        self.v_b = nn.Parameter(torch.zeros(out, rank))
        for matrix in (self.q_a, self.v_a):
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))
        self._unmerged: Tensor | None = None
        base.requires_grad_(False)

    @property
    def merged(self) -> bool:
        """Whether the update is folded into the base weight."""
        return self._unmerged is not None

    def forward(self, x: Tensor) -> Tensor:
        """From (…, D) to (…, 3·E)."""
        out = self.base(x)
        if self.merged:
            return out
        query = F.linear(F.linear(x, self.q_a), self.q_b)
        value = F.linear(F.linear(x, self.v_a), self.v_b)
        return out + torch.cat([query, torch.zeros_like(query), value], dim=-1)

    @torch.no_grad()
    def merge(self) -> None:
        """Fold the update into the base weight; a second call does nothing."""
        if self.merged:
            return
        weight = self.base.weight
        self._unmerged = weight.detach().clone()
        width = len(weight) // 3
        weight[:width] += self.q_b @ self.q_a
        weight[2 * width :] += self.v_b @ self.v_a

    @torch.no_grad()
    def unmerge(self) -> None:
        """Undo `merge` exactly."""
        if self._unmerged is not None:
            self.base.weight.copy_(self._unmerged)
            self._unmerged = None


def add_lora(model: Any, rank: int) -> list[LoRAQueryValue]:
    """Freeze the encoder and give each of its blocks a `LoRAQueryValue`; prompt encoder and decoder stay free.

    The neck belongs to the encoder and is frozen too, as in the published code.

    Parameters
    ----------
    model : SamModel or Sam2Model
    rank : int
    """
    model.requires_grad_(False)
    for part in (model.prompt_encoder, model.mask_decoder):
        part.requires_grad_(True)
    # the frequencies that image and prompts share are no weights
    model.shared_image_embedding.requires_grad_(False)
    attentions = [part for part in model.vision_encoder.modules() if isinstance(getattr(part, "qkv", None), nn.Linear)]
    for attention in attentions:
        attention.qkv = LoRAQueryValue(attention.qkv, rank)
    return [attention.qkv for attention in attentions]


def lora_modules(model: nn.Module) -> list[LoRAQueryValue]:
    """The LoRA projections in `model`, in the order of the blocks."""
    return [module for module in model.modules() if isinstance(module, LoRAQueryValue)]


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """What a fine-tuned adapter consists of: LoRA matrices, prompt encoder and mask decoder.

    Keys are those of ``model.state_dict()``. The frozen base is not among them.
    """
    return {name: tensor for name, tensor in model.state_dict().items() if _of_adapter(name)}


def base_digest(model: nn.Module) -> str:
    """SHA-256 of the weights under an adapter; the same whether or not one was added."""
    state = {name.replace(".qkv.base.", ".qkv."): tensor for name, tensor in model.state_dict().items()}
    # the frequencies are tied to the prompt encoder's, which belong to the adapter
    return weights_digest(
        {n: t for n, t in state.items() if not _of_adapter(n) and not n.startswith("shared_image_embedding.")}
    )


def _of_adapter(name: str) -> bool:
    return name.startswith(("prompt_encoder.", "mask_decoder.")) or name.endswith(LORA)
