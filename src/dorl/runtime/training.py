"""What every training loop here shares: schedule, seeds, worker threads and checkpoints that are not pickles."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dorl.errors import InputError
from dorl.runtime.processes import connect, several
from dorl.tensorfiles import load_tensors, save_tensors

T = TypeVar("T")
R = TypeVar("R")


def warmup_cosine(step: int, *, warmup: int, total: int) -> float:
    """Factor on the learning rate: linear from 0 to 1 over `warmup` steps, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def seeded(*words: int) -> np.random.Generator:
    """A generator that depends on `words` alone, for example on seed and epoch, so that a resumed run draws alike."""
    return np.random.default_rng(np.random.SeedSequence(words))


def best_device() -> str:
    """``"cuda"`` where there is such a GPU, ``"mps"`` on a Mac with Apple's, else ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def default_device(name: str | None = None) -> torch.device:
    """The named device, else `best_device`; of several processes each has its own GPU."""
    name = None if name == "auto" else name
    if several() and name in (None, "cpu", "cuda"):
        return connect(name)
    name = best_device() if name is None else name
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} can't be used here: give 'cpu', or leave it out") from error
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether `device` computes bfloat16 faster than float32.

    Graphics cards that have it do, and processors with matrix units (AMX), unless oneDNN is held to less
    (``ONEDNN_MAX_CPU_ISA``). Those that have its dot products alone (AVX-512) need half as long again as for float32;
    where oneDNN knows none of it, it takes ten times as long.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
        return bool(probe and probe() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def drawing_threads(device: torch.device) -> int:
    """Threads that draw pictures for a network in training: one beside a CPU's own, eight for a GPU."""
    return 1 if device.type == "cpu" else min(8, os.cpu_count() or 1)


def prefetch(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = 2,
    ahead: int = 8,
    initializer: Callable[[], None] | None = None,
) -> Iterator[R]:
    """Map `function` over `items` in threads, in order, at most `ahead` results waiting."""
    with ThreadPoolExecutor(workers, initializer=initializer) as pool:
        waiting: list[Any] = []
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def save_progress(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, header: Mapping[str, Any]) -> None:
    """Checkpoint of an unfinished training: trainable parameters, AdamW's moments, buffers, and `header`."""
    tensors: dict[str, Tensor] = {f"buffer/{name}": buffer for name, buffer in module.named_buffers()}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        tensors[f"value/{name}"] = parameter
        state = optimizer.state.get(parameter, {})
        tensors.update({f"{key}/{name}": torch.as_tensor(state[key]) for key in state})
    save_tensors(path, tensors, header)


def load_progress(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore what `save_progress` wrote; returns its header."""
    tensors, header = load_tensors(path)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(tensors.get(f"buffer/{name}", buffer))
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            try:
                parameter.copy_(tensors[f"value/{name}"])
            except (KeyError, RuntimeError) as error:
                raise InputError(f"{path}: checkpoint of another network: remove it to start again") from error
            # AdamW has none for a parameter that no gradient ever reached
            moments = {k: tensors[f"{k}/{name}"] for k in ("step", "exp_avg", "exp_avg_sq") if f"{k}/{name}" in tensors}
            fused = bool(optimizer.defaults.get("fused"))  # only then the count of steps lies where the parameter does
            if moments:
                optimizer.state[parameter] = {
                    k: v.to(parameter.device) if fused or k != "step" else v for k, v in moments.items()
                }
    return header
