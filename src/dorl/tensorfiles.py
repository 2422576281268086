"""Files of named tensors: our own safetensors, and the PyTorch files of others, read as data and never as code."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from dorl.errors import InputError
from dorl.files import atomic

#: a PyTorch file above this many bytes is refused; SAM ViT-H, the largest known here, has 2.6 GB
MAX_BYTES = 8 * 2**30
#: names that an error message lists
SHOWN = 3


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write safetensors atomically, with `header` as JSON under the metadata key ``dorl``."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        metadata = {"dorl": json.dumps(dict(header))}
        if _is_utf8(temporary):
            save_file(plain, temporary, metadata=metadata)
        else:
            temporary.write_bytes(save(plain, metadata))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def utf8_name(path: Path) -> Iterator[Path]:
    """The path, or a link to it where libraries that know UTF-8 alone (safetensors, torch) could not open it.

    Where links can't be made it is a copy.
    """
    if _is_utf8(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "tensors"
        try:
            link.symlink_to(path.absolute())
        except OSError:  # file systems without links, and Windows without the right to make them
            shutil.copyfile(path, link)
        yield link


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    InputError
        If the file is missing, is no safetensors file, or was not written by dorl.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("dorl", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file: restore it or train again") from error
    if not isinstance(header, dict):
        raise InputError(f"{path}: a safetensors file, but not one that dorl wrote")
    return tensors, header


def read_notes(path: str | Path) -> dict[str, Any]:
    """The notes in the header of what `save_tensors` wrote; errors as of `load_tensors`."""
    return dict(load_tensors(path)[1].get("notes") or {})


def read_pth(path: str | Path, *, inner: str | None = None) -> dict[str, Tensor]:
    """Read a PyTorch file that holds named tensors and nothing else; no code of the file's is run.

    Parameters
    ----------
    path : str or Path
    inner : str, optional
        Name of the dict that holds the tensors, where the file may wrap them in another one.

    Returns
    -------
    dict of str to Tensor
        On the CPU, memory-mapped where the file's layout allows.

    Raises
    ------
    InputError
        If the file is missing, too large, damaged, or holds anything but named floating-point tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES // 2**30} GB, no weights file that dorl knows is as large")
    try:
        with utf8_name(path) as name:
            found = torch.load(name, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: holds more than tensors, or is damaged; it was not loaded") from error
    except Exception as error:  # a damaged file can fail anywhere in zip and pickle
        raise InputError(f"{path}: not a whole PyTorch file; download it again") from error
    if isinstance(found, dict) and isinstance(found.get(inner), dict):
        found = found[inner]
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path}: holds no named tensors")
    # batch norms count their batches in integers, which nothing computed depends on
    found = {k: v for k, v in found.items() if not (isinstance(k, str) and k.endswith(".num_batches_tracked"))}
    wrong = [
        str(k) for k, v in found.items() if not (isinstance(k, str) and torch.is_tensor(v) and v.is_floating_point())
    ]
    if wrong:
        raise InputError(f"{path}: not tensors of weights: {listed(wrong)}")
    return {name: tensor.detach() for name, tensor in found.items()}


def write_pth(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as a PyTorch file, atomically, for programs that read no safetensors."""
    with atomic(path) as temporary:
        torch.save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, temporary)


def listed(names: Iterable[str]) -> str:
    """The first few of `names` and how many there are."""
    names = list(names)
    return f"{', '.join(names[:SHOWN])} ({len(names)} in all)"


def weights_digest(tensors: Mapping[str, Tensor], *words: object) -> str:
    """SHA-256 of named weights, in float32 and in the order of their names, behind the `repr` of `words`."""
    total = hashlib.sha256("".join(map(repr, words)).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return total.hexdigest()


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without the ``module.`` that DataParallel puts before every name."""
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def refuse_misfits(
    path: str | Path, *, missing: Iterable[str], unknown: Iterable[str], misshapen: Iterable[str]
) -> None:
    """Raise InputError with the first few names where any tensor is missing, not known or of another shape."""
    problems = {"missing": missing, "not known": unknown, "of another shape": misshapen}
    problems_listed = [f"{what} {listed(found)}" for what, names in problems.items() if (found := sorted(names))]
    if problems_listed:
        raise InputError(f"{path}: tensors that don't fit the network: {'; '.join(problems_listed)}")


def check_shapes(
    path: str | Path, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...] | torch.Size]
) -> None:
    """Refuse missing, extra and misshapen tensors by name.

    Parameters
    ----------
    expected : mapping of name to shape
        All that must be there, and no more.
    """
    both = set(expected) & set(tensors)
    refuse_misfits(
        path,
        missing=set(expected) - both,
        unknown=set(tensors) - both,
        misshapen=[name for name in both if tuple(tensors[name].shape) != tuple(expected[name])],
    )


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, path: str | Path, names: Iterable[str]) -> None:
    """Copy `tensors` into `module`, refusing missing, extra or misshapen ones by name.

    Parameters
    ----------
    names : iterable of str
        The names that must be there, no more and no fewer.
    """
    own = module.state_dict()
    check_shapes(path, tensors, {name: own[name].shape for name in names})
    module.load_state_dict({n: t.to(own[n].dtype) for n, t in tensors.items()}, strict=False)
