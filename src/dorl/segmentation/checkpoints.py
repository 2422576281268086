"""Segmenter files: the bundled base, and adapters that are saved without their base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dorl.errors import InputError
from dorl.segmentation.lora import adapter_state
from dorl.segmentation.sam import SamSpec, build_sam
from dorl.segmentation.segmenter import Segmenter
from dorl.training import load_into, load_tensors, save_tensors

#: version of the adapter file's layout
ADAPTER_FORMAT = 1
#: backbones that ship inside the package
BUNDLED = {"tiny": Path(__file__).parent.parent / "weights" / "tiny.safetensors"}
#: the prompt encoder's copy of SAM's Fourier frequencies, which the file holds once
_TIED = "prompt_encoder.shared_embedding.positional_embedding"


def save_base(segmenter: Segmenter, path: str | Path, *, card: dict[str, Any]) -> None:
    """Write a whole backbone in half precision, as the bundled ones are; `card` says how it was made."""
    state = {name: tensor.half() for name, tensor in segmenter.sam.state_dict().items() if name != _TIED}
    header = {
        "kind": "base",
        "format": ADAPTER_FORMAT,
        "name": segmenter.base,
        "spec": segmenter.spec.to_dict(),
        "mean": segmenter.mean,
        "std": segmenter.std,
        "card": card,
    }
    save_tensors(path, state, header)


def load_base(path: Path, **options: Any) -> Segmenter:
    """Read what `save_base` wrote."""
    tensors, header = load_tensors(path)
    _check(header, "base", path)
    spec = SamSpec.from_dict(header["spec"])
    sam = build_sam(spec)
    load_into(sam, tensors, path=path, names=set(sam.state_dict()) - {_TIED})
    return Segmenter(sam, spec, base=header["name"], mean=header["mean"], std=header["std"], **options)


def save_adapter(segmenter: Segmenter, path: str | Path) -> None:
    """Write LoRA matrices, prompt encoder and mask decoder, and the name of the base they belong to."""
    header = {
        "kind": "adapter",
        "format": ADAPTER_FORMAT,
        "base": segmenter.base,
        "rank": segmenter.rank,
        "spec": segmenter.spec.to_dict(),
        "mean": segmenter.mean,
        "std": segmenter.std,
    }
    save_tensors(path, adapter_state(segmenter.sam), header)


def load_adapter(path: Path, **options: Any) -> Segmenter:
    """Read what `save_adapter` wrote, over the bundled base that it names."""
    tensors, header = load_tensors(path)
    _check(header, "adapter", path)
    if header["base"] not in BUNDLED:
        raise InputError(
            f"{path}: its base {header['base']!r} is not bundled here; known: {', '.join(BUNDLED)}"
        )
    segmenter = load_base(BUNDLED[header["base"]], **options)
    if SamSpec.from_dict(header["spec"]) != segmenter.spec:
        raise InputError(f"{path}: made over another version of {header['base']!r}: run dorl finetune again")
    segmenter.mean, segmenter.std = tuple(header["mean"]), tuple(header["std"])
    if header["rank"]:
        segmenter.add_lora(int(header["rank"]))
    load_into(segmenter.sam, tensors, path=path, names=adapter_state(segmenter.sam))
    segmenter.changed()
    return segmenter


def load_segmenter(name: str | Path, *, device: str | None = None, precision: str = "auto") -> Segmenter:
    """Load a segmenter by name.

    Parameters
    ----------
    name : str or Path
        ``"tiny"``; an adapter file; or a run or fine-tuning folder with a ``segmenter.safetensors``.

    Raises
    ------
    InputError
        If there is no such thing, or the file is damaged or of another version.
    """
    options = {"device": device, "precision": precision}
    if str(name) in BUNDLED:
        with torch.random.fork_rng(devices=[]):
            return load_base(BUNDLED[str(name)], **options)
    path = Path(name)
    if path.is_dir():
        path = path / "segmenter.safetensors"
    if not path.is_file():
        known = ", ".join(repr(key) for key in BUNDLED)
        raise InputError(
            f"no segmenter {str(name)!r}: give {known}, an adapter file, or a folder that dorl finetune made"
        )
    with torch.random.fork_rng(devices=[]):
        return load_adapter(path, **options)


def _check(header: dict[str, Any], kind: str, path: Path) -> None:
    """Refuse a file of another kind or version, or one whose header lacks a field."""
    if header.get("kind") != kind:
        raise InputError(f"{path}: holds {header.get('kind', 'something else')!r}, not a segmenter's {kind}")
    if header.get("format") != ADAPTER_FORMAT:
        raise InputError(
            f"{path}: layout {header.get('format')}, this dorl reads {ADAPTER_FORMAT}: train it again"
        )
    missing = sorted({"spec", "mean", "std"} - set(header))
    if missing:
        raise InputError(f"{path}: its header lacks {', '.join(missing)}")
