"""One step of the autoencoder's training, and the extraction of features, against the plain way.

    python tools/measure/training.py [--width 768] [--batch 16] [--rounds 3] [--cells 64] [--compile]

The plain step: float32, all 196 tokens through the encoder with the hidden ones set to 0, attention as softmax(Q·Kᵀ)·V,
AdamW without a fused kernel. Ours: hidden tokens left out, fused attention, bfloat16 where the processor has it, fused
AdamW. Plain extraction: a cell at a time through the same plain attention; ours: `dorl.representation.encode_cells`
over a store. Each round runs one after the other; the medians over the rounds are compared. `--compile` also times the
step through `torch.compile`, and how long that takes to start. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells import CellStore
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder, encode_cells
from dorl.representation.autoencoder import Reconstruction
from dorl.representation.config import heads_for
from dorl.representation.training import loss_terms
from dorl.runtime.memory import keep_memory
from dorl.runtime.training import default_device, has_bf16


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention written out; each of shape (B, H, N, D)."""
    return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1) @ value


class ZeroMasked(nn.Module):
    """The autoencoder with hidden tokens set to 0 in place of left out."""

    def __init__(self, model: CrossDomainAutoencoder) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, tokens: Tensor, keep: Tensor) -> Reconstruction:
        encoder, decoder = self.model.encoder, self.model.decoder
        flat = tokens.flatten(2).transpose(1, 2)
        seen = torch.zeros(flat.shape[:2], dtype=torch.bool).scatter(1, keep, True)[..., None]
        x = torch.cat([encoder.cls_token.expand(len(flat), -1, -1), (flat + encoder.pos_embedding) * seen], 1)
        x = encoder.layer_norm(encoder.transformer(x))
        return decoder(torch.cat([x[:, :1], torch.where(seen, x[:, 1:], decoder.mask_token)], 1))


def timed(function: Callable[[], object]) -> float:
    began = time.monotonic()
    function()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=64, help="that features are extracted of")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    keep_memory()  # as the command line does
    torch.manual_seed(0)
    config = AutoencoderConfig(width=given.width, heads=heads_for(given.width))
    place = default_device("cpu")
    tokens = torch.randn(given.batch, given.width, config.grid, config.grid)
    crops, domain = torch.rand(given.batch, 3, config.image_size, config.image_size), torch.arange(given.batch) % 2
    models = [CrossDomainAutoencoder(config) for _ in range(2)]
    keep = models[0].draw_keep(given.batch)
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=fused)
        for model, fused in zip(models, (True, False), strict=True)
    ]

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, *, bf16: bool) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_terms(network, tokens, crops, domain, keep, bf16=bf16)[0]["total"].backward()
        optimizer.step()

    def plain_step() -> None:
        with mock.patch.object(F, "scaled_dot_product_attention", plain_attention):
            step(ZeroMasked(models[1]), optimizers[1], bf16=False)

    ways: dict[str, Callable[[], object]] = {
        "plain step": plain_step,
        "step": lambda: step(models[0], optimizers[0], bf16=has_bf16(place)),
    }
    found: dict[str, object] = {"width": given.width, "batch": given.batch, "bf16": has_bf16(place)}
    if given.compile:
        compiled = torch.compile(models[0])
        ways["compiled step"] = lambda: step(compiled, optimizers[0], bf16=has_bf16(place))
    with tempfile.TemporaryDirectory() as folder:
        store = CellStore.create(folder, width=given.width, grid=config.grid)
        some = np.random.default_rng(0).normal(size=(given.cells, given.width, config.grid, config.grid))
        masks, pictures = np.ones((given.cells, 224, 224), bool), np.zeros((given.cells, 128, 128, 3), np.uint8)
        store.append(some.astype(np.float16), masks, pictures, [{"key": str(i)} for i in range(given.cells)])

        def plain_extraction() -> None:
            with mock.patch.object(F, "scaled_dot_product_attention", plain_attention):
                for cell in range(given.cells):
                    models[0].encode(torch.from_numpy(store.batch([cell], "tokens")[0]))

        ways |= {"plain extraction": plain_extraction, "extraction": lambda: encode_cells(models[0], store)}
        warm_up = {name: timed(way) for name, way in ways.items()}
        if given.compile:
            found["compile_seconds"] = round(warm_up["compiled step"], 1)
        seconds = [{name: timed(way) for name, way in ways.items()} for _ in range(given.rounds)]
    median = {name: statistics.median(row[name] for row in seconds) for name in ways}
    rates = {"step": given.batch, "extraction": given.cells}
    rows = [
        {
            "": name,
            "seconds": round(value, 3),
            "cells_per_second": round(rates[name.split()[-1]] / value, 2),
            "times_as_fast": round(median[f"plain {name.split()[-1]}"] / value, 2),
        }
        for name, value in median.items()
    ]
    print(pd.DataFrame(rows).to_string(index=False))
    found |= {"rounds": given.rounds, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    print(json.dumps({**found, "torch": torch.__version__, "ways": rows}))


if __name__ == "__main__":
    main()
