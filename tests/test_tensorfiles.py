"""Files of named tensors: what is written comes back, and what is anything else is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dorl.errors import InputError
from dorl.tensorfiles import load_into, load_tensors, read_pth, save_tensors, write_pth


def assert_refused(path: Path, match: str) -> None:
    """The error is one line that begins with the path."""
    with pytest.raises(InputError, match=match) as caught:
        load_tensors(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 4).half(),
        "brain": torch.randn(5).bfloat16(),
        "long": torch.arange(3),
        "scalar": torch.tensor(2.5),
        "view": torch.arange(6.0).view(2, 3).T,
        "shared": nn.Parameter(torch.ones(2)),
    }
    tensors["again"] = tensors["shared"]
    header = {"kind": "µ", "numbers": [1, 2.5, None], "nested": {"a": True}}
    save_tensors(tmp_path / "new" / "a.safetensors", tensors, header)
    found, read = load_tensors(tmp_path / "new" / "a.safetensors")
    assert read == header
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.safetensors", "no such file")
    assert_refused(tmp_path, "no such file")


def test_a_file_cut_short_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(4, 4)}, {"kind": "test"})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert_refused(path, "not a whole safetensors file")


def test_a_damaged_file_raises_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(4, 4), "b": torch.ones(3)}, {"kind": "test", "config": {"width": 3}})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole) - 76, rng.integers(1, 4)):  # 76 bytes of numbers, where no harm shows
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            load_tensors(path)
        except InputError:  # anything else fails the test
            refused += 1
    assert refused > 150


def test_a_file_of_another_program(tmp_path: Path) -> None:
    for number, metadata in enumerate([None, {"format": "pt"}, {"dorl": "[1]"}]):
        path = tmp_path / f"{number}.safetensors"
        save_file({"a": torch.ones(2)}, path, metadata=metadata)
        assert_refused(path, "not one that dorl wrote")
    path = tmp_path / "text.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"dorl": "{"})
    assert_refused(path, "not a whole safetensors file")


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "a.safetensors", tmp_path / "trace"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(trace)))
    else:
        torch.save({"a": Trap(trace)}, path)
    assert_refused(path, "not a whole safetensors file")
    assert not trace.exists()


def test_load_into_copies_and_keeps_the_modules_precision() -> None:
    source, target = nn.Linear(3, 2).half(), nn.Linear(3, 2)
    load_into(target, source.state_dict(), path="a", names=["weight", "bias"])
    assert target.weight.dtype == torch.float32
    assert torch.equal(target.weight, source.weight.float())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weight": None}, "missing weight"),
        ({"extra": torch.ones(1)}, "not known extra"),
        ({"bias": torch.ones(3)}, "of another shape bias"),
    ],
)
def test_load_into_names_what_does_not_fit_and_changes_nothing(change: dict, named: str) -> None:
    module = nn.Linear(3, 2)
    before = module.weight.clone()
    tensors = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), **change}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(InputError, match=rf"^a: tensors that don't fit the network: {named} \(1 in all\)$"):
        load_into(module, tensors, path="a", names=module.state_dict())
    assert torch.equal(module.weight, before)


def test_the_header_is_json(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(1)}, {"seed": 3})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    outer = json.loads(path.read_bytes()[8 : 8 + length])
    assert json.loads(outer["__metadata__"]["dorl"]) == {"seed": 3}


@pytest.mark.posix
def test_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"r\xe9n") / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"kind": "a"})
    found, header = load_tensors(path)
    assert found["a"].tolist() == [1, 1]
    assert header == {"kind": "a"}
    path.write_bytes(b"damaged")
    assert_refused(path, "not a whole safetensors file")


@pytest.mark.posix
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pytorch_file_whose_name_is_no_utf8(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.pth")
    tensors = {"a": torch.arange(4.0)}
    if zipped:
        write_pth(path, tensors)
    else:
        with path.open("wb") as file:
            torch.save(tensors, file, _use_new_zipfile_serialization=False)
    assert torch.equal(read_pth(path)["a"], tensors["a"])
