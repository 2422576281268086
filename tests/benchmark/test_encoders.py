from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from dorl.benchmark.encoders import encoder_names, on_tokens_of
from dorl.benchmark.methods import ROWS, Cells, Fitted, Row, Source
from dorl.commands.benchmark import benchmark
from dorl.errors import InputError
from dorl.segmentation.backbones.dinobloom import DinoSpec, source

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Seer:
    """Keeps the shape of the tokens that it is given, and what made them."""

    seen: ClassVar[list[tuple[tuple[int, ...], int]]] = []

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        (tokens,) = source.cells.batch([0], "tokens")
        self.seen.append((tokens.shape[1:], source.cells.backbone.width))
        return [Fitted(lambda cells: np.full(len(cells), source.classes[0], object))]


@pytest.fixture
def seer(monkeypatch: pytest.MonkeyPatch) -> type[Seer]:
    Seer.seen.clear()
    row = Row("seer", "Seer", lambda options: Seer(), sees="source", code=())
    monkeypatch.setitem(ROWS, row.name, row)
    return Seer


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights in DinoBloom's layout, of a small network."""
    spec = DinoSpec(width=64, depth=1, grid=4)
    torch.manual_seed(0)
    held: dict[str, Any] = {}
    for name, tensor in spec.build().state_dict().items():
        official, rows = source(name, spec.width)
        shape = tensor.shape if rows == slice(None) else (3 * tensor.shape[0], *tensor.shape[1:])
        held.setdefault(f"backbone.{official}", 0.1 * torch.randn(shape))
    place = tmp_path_factory.mktemp("weights") / "DinoBloom-small.pth"
    torch.save({"teacher": held}, place)
    return place


def test_rows_are_measured_on_the_tokens_of_each_encoder(
    labs: list[str], tmp_path: Path, file: Path, seer: type[Seer]
) -> None:
    options: dict[str, Any] = {"source": ["harbour"], "seeds": 1, "folds": 3, "own": False, "device": "cpu"}
    results = benchmark(labs, out=tmp_path, rows=["frozen", "seer"], protocols=["unseen"], encoders=[file], **options)
    own, other = seer.seen
    assert other == ((64, 4, 4), 64)
    assert own[0] == (own[1], 14, 14)
    named = dict(zip(results["row"], results["method"], strict=True))
    assert named["frozen"] == "Frozen features + LR"
    assert named["frozen-DinoBloom-small"] == "Frozen features + LR, tokens of DinoBloom-small"
    assert set(named) == {"frozen", "seer", "frozen-DinoBloom-small", "seer-DinoBloom-small"}
    # whether an encoder saw a lab isn't known
    assert results["backbone"].str.startswith("seen by the backbone, or not known").all()
    again = benchmark(labs, out=tmp_path, rows=["frozen"], protocols=["unseen"], encoders=[file], **options)
    assert again["cached"].all()
    assert len(again) == 2


def test_rows_that_read_no_tokens_are_not_measured_again() -> None:
    rows = [ROWS[name] for name in ("frozen", "resnext-bn", "efficientnet-lite0-augmented", "dorl")]
    assert [row.name for row in on_tokens_of("dinobloom-b", rows)] == ["frozen-dinobloom-b", "dorl-dinobloom-b"]
    with pytest.raises(InputError, match="no row that was chosen reads tokens, so that dinobloom-b"):
        on_tokens_of("dinobloom-b", [ROWS["resnext-bn"]])


def test_encoders_are_named_as_given_and_files_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "DinoBloom S.pth"
    file.write_bytes(b"")
    assert encoder_names(["dinobloom-s", file]) == {"dinobloom-s": "dinobloom-s", "DinoBloom-S": str(file)}
    with pytest.raises(InputError, match="two encoders are named 'dinobloom-s'"):
        encoder_names(["dinobloom-s", "dinobloom-s"])


def test_offline_the_file_that_is_missing_is_named_before_any_cell_is_embedded(
    labs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"dinobloom-b: .* put DinoBloom-B\.pth into"):
        benchmark(labs, out=tmp_path / "b", rows=["frozen"], source=["harbour"], folds=3, encoders=["dinobloom-b"])
    assert not (tmp_path / "b").exists()
