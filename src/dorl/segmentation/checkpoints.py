"""Segmenter files: bases, whose weights stay as they are, and adapters, which are saved without their base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dorl.errors import InputError
from dorl.segmentation.backbones.sam import TIED
from dorl.segmentation.lora import adapter_state, base_digest
from dorl.segmentation.paired import pair_again
from dorl.segmentation.pixels import PUBLISHED_MEAN, PUBLISHED_STD
from dorl.segmentation.segmenter import Segmenter
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

#: version of the adapter file's layout
ADAPTER_FORMAT = 1
#: backbones that ship inside the package
BUNDLED = {"tiny": Path(__file__).parent.parent / "weights" / "tiny.safetensors"}
#: file of a run or fine-tuning folder that holds the adapter, and, beside an imported one, that of its base
ADAPTER, BASE = "segmenter.safetensors", "base.safetensors"
#: endings of the official files
OFFICIAL = (".pth", ".pt", ".bin")


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


def load_base(path: Path, **options: Any) -> Segmenter:
    """Read what `save_base` wrote."""
    tensors, header = load_tensors(path)
    _check(header, "base", path)
    spec = spec_from_dict(header["spec"])
    network: Any = spec.build()
    tied = {} if spec.family == "sam2" else TIED
    load_into(network, tensors, path=path, names=set(network.state_dict()) - set(tied))
    origin = "" if path in BUNDLED.values() else str(path.resolve())
    return Segmenter(
        network, spec, base=header["name"], base_file=origin, mean=header["mean"], std=header["std"], **options
    )


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
    if segmenter.encoder_reference is not None:
        header["encoder"] = segmenter.encoder_reference
    save_tensors(path, adapter_state(segmenter.sam), header)


def load_adapter(path: Path, **options: Any) -> Segmenter:
    """Read what `save_adapter` wrote, over the base that it names.

    The base is a bundled one, or is looked for beside the adapter (``base.safetensors``, or the file of its name),
    where it was when the adapter was made, in the weights folder, and on the hub.
    """
    tensors, header = load_tensors(path)
    _check(header, "adapter", path)
    spec = spec_from_dict(header["spec"])
    segmenter = _base_of(header, path, spec.image_size, options)
    if segmenter.spec != spec or base_digest(segmenter.sam) != header["base_digest"]:
        raise InputError(
            f"{path}: made over another version of {header['base']!r} than is here: run dorl fit or finetune again, or "
            f"put that version of {header['base']}.safetensors beside it as {BASE}"
        )
    segmenter.mean, segmenter.std = tuple(header["mean"]), tuple(header["std"])
    if header["rank"]:
        segmenter.add_lora(int(header["rank"]))
    load_into(segmenter.sam, tensors, path=path, names=adapter_state(segmenter.sam))
    segmenter.changed()
    if "encoder" in header:
        return pair_again(segmenter, header["encoder"], path, **options)
    return segmenter


def _base_of(header: dict[str, Any], path: Path, image_size: int, options: dict[str, Any]) -> Segmenter:
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
            return load_path(place, image_size=image_size, **options)
    if name in hub.SAM or hub.is_hub_id(name):
        return load_named(name, image_size=image_size, **options)
    raise InputError(
        f"{path}: its base {name!r} is in none of {', '.join(map(str, places))}: put it in one of these places"
    )


def from_official(
    sam: str | Path,
    adapter: str | Path | None = None,
    *,
    mean: Any = None,
    std: Any = None,
    image_size: int = 224,
    base: str | None = None,
    **options: Any,
) -> Segmenter:
    """See `Segmenter.from_official`; `base` is the name that the weights go by, their file's stem by default."""
    path = Path(sam)
    if path.is_file():
        hub.verify(path)
    network, spec = read_official_sam(path, image_size=image_size)
    default = (SAM_MEAN, SAM_STD) if adapter is None else (PUBLISHED_MEAN, PUBLISHED_STD)
    segmenter = Segmenter(
        network,
        spec,
        base=base or _official_name(path),
        base_file=str(path.resolve()),
        mean=default[0] if mean is None else mean,
        std=default[1] if std is None else std,
        **options,
    )
    if adapter is not None:
        tensors, rank = read_official_adapter(adapter)
        segmenter.add_lora(rank)
        load_official_adapter(segmenter.sam, tensors, adapter)
        segmenter.changed()
    return segmenter


def save_official(segmenter: Segmenter, path: str | Path) -> None:
    """Write the adapter as the DoRL authors' code saves it."""
    if segmenter.spec.family != "sam":
        raise InputError(f"the official adapter layout is SAM's; {segmenter.base} is of another family")
    write_pth(path, official_adapter(segmenter.sam))


def _official_name(path: Path) -> str:
    """``"sam-vit-b"`` for the official file of that name, else the file's stem."""
    return next((name for name, one in hub.SAM.items() if one.file == path.name), path.stem)


def load_named(name: str, *, image_size: int = 224, **options: Any) -> Segmenter:
    """SAM by its name here or by its id on the hub, with a fresh two-mask decoder."""
    place = hub.locate(name, hub.SAM[name]) if name in hub.SAM else hub.locate_hub_id(name)
    segmenter = load_path(place, image_size=image_size, **options)
    segmenter.base, segmenter.base_file = name, ""
    return segmenter


def load_path(path: Path, *, image_size: int = 224, **options: Any) -> Segmenter:
    """A segmenter from a file or folder, whatever it holds."""
    if path.is_dir() and not (path / ADAPTER).is_file():
        if not hub.is_hub_folder(path):
            raise InputError(
                f"{path}: holds no segmenter ({ADAPTER} is missing) and no model in hub layout (config.json is missing)"
            )
        network, spec = hub.read_hub_folder(path, image_size=image_size)
        return Segmenter(
            network, spec, base=path.name, base_file=str(path.resolve()), mean=SAM_MEAN, std=SAM_STD, **options
        )
    path = path / ADAPTER if path.is_dir() else path
    if path.suffix in OFFICIAL:
        return from_official(path, image_size=image_size, **options)
    _, header = load_tensors(path)
    return load_base(path, **options) if header.get("kind") == "base" else load_adapter(path, **options)


def load_segmenter(name: str | Path, *, device: str | None = None, precision: str = "auto") -> Segmenter:
    """See `Segmenter.load`."""
    options: dict[str, Any] = {"device": device, "precision": precision}
    text = str(name)
    with torch.random.fork_rng(devices=[]):
        if text in BUNDLED:
            return load_base(BUNDLED[text], **options)
        if Path(name).exists():
            return load_path(Path(name), **options)
        if text in hub.SAM or (isinstance(name, str) and hub.is_hub_id(name)):
            return load_named(text, **options)
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
