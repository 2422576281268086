"""Segmenter files: bases, whose weights stay as they are, and adapters, which are saved without their base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dorl.errors import InputError
from dorl.runtime.hub import is_on_hub, located
from dorl.segmentation.backbones import Backbone
from dorl.segmentation.backbones.sam import TIED
from dorl.segmentation.lora import adapter_state, add_lora, base_digest
from dorl.segmentation.pixels import PUBLISHED_MEAN, PUBLISHED_STD
from dorl.segmentation.weights import hub
from dorl.segmentation.weights.convert import spec_from_dict
from dorl.segmentation.weights.official import (
    SAM_MEAN,
    SAM_STD,
    load_official_adapter,
    official_adapter,
    read_official_adapter,
    read_official_sam,
)
from dorl.tensorfiles import load_into, load_tensors, save_tensors, write_pth

if TYPE_CHECKING:
    from dorl.segmentation.segmenter import Segmenter

#: version of the adapter file's layout
ADAPTER_FORMAT = 1
#: backbones that ship inside the package
BUNDLED = {"tiny": Path(__file__).parent.parent / "weights" / "tiny.safetensors"}
#: file of a run or fine-tuning folder that holds the adapter, and, beside an imported one, that of its base
ADAPTER, BASE = "segmenter.safetensors", "base.safetensors"
#: endings of the official files
OFFICIAL = (".pth", ".pt", ".bin")


@dataclass
class SegmenterWeights:
    """What a segmenter's files hold.

    Attributes
    ----------
    network : SamModel or Sam2Model
        With LoRA where the file is an adapter of rank above 0.
    spec : Backbone
    base, base_file : str
        As for `Segmenter`.
    mean, std : sequence of 3 floats
        Of the input, RGB on the 0-255 scale.
    encoder : dict, optional
        `Embedder.reference` of the encoder that makes the tokens in place of the network.
    adapter : Path, optional
        The adapter file, where it is one.
    """

    network: Any
    spec: Backbone
    base: str
    base_file: str
    mean: Sequence[float]
    std: Sequence[float]
    encoder: dict[str, str] | None = None
    adapter: Path | None = None


def save_base(segmenter: Segmenter, path: str | Path, *, card: dict[str, Any], half: bool = True) -> None:
    """Write a whole backbone, without LoRA, as the bundled ones are; `card` says how it was made.

    Parameters
    ----------
    half : bool, default True
        In half precision; in the network's own otherwise.
    """
    tied = {} if segmenter.spec.family == "sam2" else TIED
    state = {
        name: tensor.half() if half else tensor for name, tensor in segmenter.base_state().items() if name not in tied
    }
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


def read_base(path: Path) -> SegmenterWeights:
    """Read what `save_base` wrote."""
    tensors, header = load_tensors(path)
    _check(header, "base", path)
    spec = spec_from_dict(header["spec"])
    network: Any = spec.build()
    tied = {} if spec.family == "sam2" else TIED
    load_into(network, tensors, path=path, names=set(network.state_dict()) - set(tied))
    origin = "" if path in BUNDLED.values() else str(path.resolve())
    return SegmenterWeights(network, spec, header["name"], origin, header["mean"], header["std"])


def save_adapter(segmenter: Segmenter, path: str | Path) -> None:
    """Write LoRA matrices, prompt encoder and mask decoder, and which base they belong to."""
    header = {
        "kind": "adapter",
        "format": ADAPTER_FORMAT,
        "base": segmenter.base,
        "base_file": segmenter.base_file,
        "base_digest": base_digest(segmenter.sam),
        "rank": segmenter.rank,
        "spec": segmenter.spec.to_dict(),
        "mean": segmenter.mean,
        "std": segmenter.std,
    }
    if segmenter.embedder is not None:
        header["encoder"] = segmenter.embedder.reference()
    save_tensors(path, adapter_state(segmenter.sam), header)


def read_adapter(path: Path) -> SegmenterWeights:
    """Read what `save_adapter` wrote, over the base that it names.

    The base is a bundled one, or is looked for beside the adapter (``base.safetensors``, or the file of its name),
    where it was when the adapter was made, in the weights folder, and on the hub.
    """
    tensors, header = load_tensors(path)
    _check(header, "adapter", path)
    spec = spec_from_dict(header["spec"])
    found = _base_of(header, path, spec.image_size)
    if found.spec != spec or base_digest(found.network) != header["base_digest"]:
        raise InputError(
            f"{path}: made over another version of {header['base']!r} than is here: run dorl fit or finetune again, or "
            f"put that version of {header['base']}.safetensors beside it as {BASE}"
        )
    if header["rank"]:
        add_lora(found.network, int(header["rank"]))
    load_into(found.network, tensors, path=path, names=adapter_state(found.network))
    found.mean, found.std = header["mean"], header["std"]
    found.encoder, found.adapter = header.get("encoder"), path
    return found


def _base_of(header: dict[str, Any], path: Path, image_size: int) -> SegmenterWeights:
    """The base of an adapter, without the adapter."""
    name, origin = header["base"], Path(header["base_file"])
    places = [path.parent / BASE]
    if name in BUNDLED and not header["base_file"]:
        # an earlier version of a bundled base is taken where the user put it
        places.append(BUNDLED[name])
    if header["base_file"]:
        places += [path.parent / origin.name, origin, hub.weights_folder() / origin.name]
    for place in places:
        # an adapter has the name of its base where that is a tuned segmenter
        if place.exists() and place.resolve() != path.resolve():
            return _read_path(place, image_size=image_size)
    if name in hub.SAM or hub.is_hub_id(name):
        return _read_named(name, image_size=image_size)
    raise InputError(
        f"{path}: its base {name!r} is in none of {', '.join(map(str, places))}: put it in one of these places"
    )


def read_official(
    sam: str | Path,
    adapter: str | Path | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: int = 224,
) -> SegmenterWeights:
    """Read the official files; arguments and errors as for `Segmenter.from_official`."""
    path = Path(sam)
    if path.is_file():
        hub.verify(path)
    network, spec = read_official_sam(path, image_size=image_size)
    if adapter is not None:
        tensors, rank = read_official_adapter(adapter)
        add_lora(network, rank)
        load_official_adapter(network, tensors, adapter)
    default = (SAM_MEAN, SAM_STD) if adapter is None else (PUBLISHED_MEAN, PUBLISHED_STD)
    mean, std = default[0] if mean is None else mean, default[1] if std is None else std
    return SegmenterWeights(network, spec, _official_name(path), str(path.resolve()), mean, std)


def save_official(segmenter: Segmenter, path: str | Path) -> None:
    """Write the adapter as the DoRL authors' code saves it."""
    if segmenter.spec.family != "sam":
        raise InputError(f"the official adapter layout is SAM's; {segmenter.base} is of another family")
    write_pth(path, official_adapter(segmenter.sam))


def _official_name(path: Path) -> str:
    """``"sam-vit-b"`` for the official file of that name, else the file's stem."""
    return next((name for name, one in hub.SAM.items() if one.file == path.name), path.stem)


def _read_named(name: str, *, image_size: int = 224) -> SegmenterWeights:
    """SAM by its name here or by its id on the hub, with a fresh two-mask decoder."""
    place = hub.locate(name, hub.SAM[name]) if name in hub.SAM else hub.locate_hub_id(name)
    found = _read_path(place, image_size=image_size)
    found.base, found.base_file = name, ""
    return found


def _read_path(path: Path, *, image_size: int = 224) -> SegmenterWeights:
    """A segmenter from a file or folder, whatever it holds."""
    if path.is_dir() and not (path / ADAPTER).is_file():
        if not hub.is_hub_folder(path):
            raise InputError(
                f"{path}: holds no segmenter ({ADAPTER} is missing) and no model in hub layout (config.json is missing)"
            )
        network, spec = hub.read_hub_folder(path, image_size=image_size)
        return SegmenterWeights(network, spec, path.name, str(path.resolve()), SAM_MEAN, SAM_STD)
    path = path / ADAPTER if path.is_dir() else path
    if path.suffix in OFFICIAL:
        return read_official(path, image_size=image_size)
    _, header = load_tensors(path)
    return read_base(path) if header.get("kind") == "base" else read_adapter(path)


def read_segmenter(name: str | Path) -> SegmenterWeights:
    """Read a segmenter by its name, file or folder; argument and errors as for `Segmenter.load`."""
    if is_on_hub(name):
        name = located(name, needed=ADAPTER)
    text = str(name)
    with torch.random.fork_rng(devices=[]):
        if text in BUNDLED:
            return read_base(BUNDLED[text])
        if Path(name).exists():
            return _read_path(Path(name))
        if text in hub.SAM or (isinstance(name, str) and hub.is_hub_id(name)):
            return _read_named(text)
    known = ", ".join(repr(key) for key in (*BUNDLED, *hub.SAM))
    raise InputError(
        f"no segmenter {text!r}: give {known}, a hub's id, an adapter or .pth file, or a folder that dorl finetune made"
    )


def _check(header: dict[str, Any], kind: str, path: Path) -> None:
    """Refuse a file of another kind or version, or one whose header lacks a field."""
    if header.get("kind") != kind:
        raise InputError(f"{path}: holds {header.get('kind', 'something else')!r}, not a segmenter's {kind}")
    if header.get("format") != ADAPTER_FORMAT:
        raise InputError(f"{path}: layout {header.get('format')}, this dorl reads {ADAPTER_FORMAT}: train it again")
    own = {"base": {"name"}, "adapter": {"base", "base_file", "base_digest", "rank"}}[kind]
    missing = sorted(({"spec", "mean", "std"} | own) - set(header))
    if missing:
        raise InputError(f"{path}: its header lacks {', '.join(missing)}")
