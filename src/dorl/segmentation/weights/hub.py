"""Published weights by name: where they are looked for, how they are checked, and how a hub's folder is read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dorl.errors import InputError
from dorl.runtime.progress import say
from dorl.segmentation.backbones import Backbone
from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.backbones.sam2 import Sam2Spec
from dorl.segmentation.weights.convert import at_size, two_mask_network
from dorl.tensorfiles import refuse_misfits, utf8_name

#: where weights files are looked for when this variable doesn't name a folder
DEFAULT_FOLDER = Path("~/.cache/dorl")
WEIGHTS_VARIABLE = "DORL_WEIGHTS"


@dataclass(frozen=True)
class Published:
    """Weights that others published.

    Parameters
    ----------
    repository : str
        On the hub.
    file : str
        The official file, looked for in the weights folder first.
    sha256 : str, optional
        Of that file, where its publishers' digest is known.
    hub_file : str, optional
        The one file of the repository that holds the weights; a whole folder in hub layout otherwise.
    """

    repository: str
    file: str = ""
    sha256: str = ""
    hub_file: str = ""


SAM = {
    "sam-vit-b": Published(
        "facebook/sam-vit-base",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam-vit-l": Published(
        "facebook/sam-vit-large",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam-vit-h": Published(
        "facebook/sam-vit-huge",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    **{
        f"sam2.1-hiera-{size}": Published(f"facebook/sam2.1-hiera-{size}")
        for size in ("tiny", "small", "base-plus", "large")
    },
}
DINOBLOOM = {
    f"dinobloom-{size}": Published(
        "MarrLab/DinoBloom", f"DinoBloom-{size.upper()}.pth", "", f"pytorch_model_{size}.bin"
    )
    for size in ("s", "b", "l")
}
#: families of which a folder in hub layout can be read
MODEL_TYPES = ("sam", "sam2", "sam2_video")

#: endings of files of weights
FILE_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".mdl")

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether `name` looks like ``owner/repository``, and not like a file's path."""
    return _HUB_ID.fullmatch(name) is not None and not name.endswith(FILE_ENDINGS)


def weights_folder() -> Path:
    """The folder of official files: what ``DORL_WEIGHTS`` names, else ``~/.cache/dorl``."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or DEFAULT_FOLDER).expanduser()


def verify(path: Path) -> None:
    """Refuse a file that has an official name but not the digest that its publishers' file has."""
    known = {one.file: one.sha256 for one in SAM.values() if one.sha256}
    if path.name not in known:
        return
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            total.update(block)
    if total.hexdigest() != known[path.name]:
        raise InputError(
            f"{path}: its SHA-256 begins {total.hexdigest()[:8]}, the published file's {known[path.name][:8]}: "
            "download it again, or rename it if it is meant to be another"
        )


def locate(name: str, published: Published) -> Path:
    """Find published weights: the official file in the weights folder, else the hub's cache, else the hub.

    Returns
    -------
    Path
        The official file, the hub's one file, or a folder in hub layout.

    Raises
    ------
    InputError
        If they are nowhere and can't be fetched; says which file to put where.
    """
    if published.file and (weights_folder() / published.file).is_file():
        return weights_folder() / published.file
    where = f"{published.file} into {weights_folder()}, or " if published.file else ""
    wanted = published.hub_file or "config.json and model.safetensors"
    hint = f"put {where}{wanted} of {published.repository} into the hub's cache or a folder of yours and give that"
    files = [published.hub_file] if published.hub_file else ["config.json", "model.safetensors"]
    folder = _fetch(name, published.repository, files, hint)
    return folder / published.hub_file if published.hub_file else folder


def locate_hub_id(name: str) -> Path:
    """Find a hub's repository in its cache, or fetch it: a folder in hub layout."""
    hint = "put its config.json and model.safetensors into a folder and give that"
    return _fetch(name, name, ["config.json", "model.safetensors"], hint)


def _fetch(name: str, repository: str, files: Sequence[str], hint: str) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = [try_to_load_from_cache(repository, file) for file in files]
    if all(isinstance(path, str) for path in cached):
        return Path(str(cached[0])).parent
    say(f"fetching {', '.join(files)} of {repository} from the hub")
    try:
        paths = [hf_hub_download(repository, file, etag_timeout=10) for file in files]
    except Exception as error:  # the hub's client has a kind of error for each way to fail, and so has its HTTP library
        why = type(error).__name__
        raise InputError(
            f"{name}: not in the hub's cache, and the hub gave nothing ({why}); offline: {hint}; 'tiny' needs no file"
        ) from error
    return Path(paths[0]).parent


def is_hub_folder(path: Path) -> bool:
    """Whether a folder is laid out as the hub's: ``config.json`` and safetensors."""
    return (path / "config.json").is_file()


def read_hub_folder(folder: Path, *, image_size: int = 224) -> tuple[Any, Backbone]:
    """Read SAM or SAM 2.1 from a folder in hub layout as a two-mask network at `image_size`.

    Raises
    ------
    InputError
        If it holds no SAM, or tensors are missing, extra or misshapen.
    """
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / 'config.json'}: damaged; download it again") from error
    if kind not in MODEL_TYPES:
        raise InputError(f"{folder}: holds a {kind!r} model; give SAM's or SAM 2.1's")
    model = _from_pretrained(folder, kind)
    if kind == "sam":
        vision = model.config.vision_config
        spec: Backbone = at_size(
            SamSpec(
                width=vision.hidden_size,
                depth=vision.num_hidden_layers,
                heads=vision.num_attention_heads,
                image_size=vision.image_size,
                patch=vision.patch_size,
                window=vision.window_size,
                global_blocks=tuple(vision.global_attn_indexes),
                neck=vision.output_channels,
                decoder_mlp=model.config.mask_decoder_config.mlp_dim,
            ),
            image_size,
        )
    else:
        spec = Sam2Spec.from_config(model.config, image_size)
    return two_mask_network(model.state_dict(), spec), spec


def _from_pretrained(folder: Path, kind: str) -> Any:
    """The model as transformers reads it, with all its weights and no others; from safetensors alone."""
    import transformers
    from transformers.utils import logging

    family: Any = transformers.SamModel if kind == "sam" else transformers.Sam2Model
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # SAM 2.1's folders say "sam2_video", and transformers remarks on it
    try:
        with utf8_name(folder) as place:
            model, info = family.from_pretrained(
                place,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # a damaged file can fail anywhere in safetensors and transformers
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder}: can't be read as a model in hub layout ({why}); download it again") from error
    finally:
        logging.set_verbosity(before)
    refuse_misfits(
        folder,
        missing=info["missing_keys"],
        unknown=info["unexpected_keys"],
        misshapen=[key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]],
    )
    return model
