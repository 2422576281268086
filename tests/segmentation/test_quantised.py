"""A segmenter in 8-bit integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from segmentation.small import render

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty weights folder."""
    monkeypatch.setenv("DORL_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.mark.slow
def test_tiny_says_nearly_the_same(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also: it is made once, every grid comes from it, and what it is calibrated on matters."""
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    images = np.stack([cell.image for cell in render(8, style="dune", seed=5, size=224)])
    exact = Segmenter.load("tiny", device="cpu", precision="float32")
    integers = Segmenter.load("tiny", precision="int8")
    assert integers.precision == "int8"
    out, expected = integers(images), exact(images)
    assert torch.cosine_similarity(out.tokens, expected.tokens, dim=1).mean() > 0.98
    both, either = (out.masks & expected.masks).sum((1, 2)), (out.masks | expected.masks).sum((1, 2))
    assert (both / either).mean() > 0.95
    assert not torch.equal(out.tokens, expected.tokens)
    grids = integers.grids(torch.from_numpy(images[:3]))
    assert [grid.shape for grid in grids] == [grid.shape for grid in exact.grids(torch.from_numpy(images[:3]))]
    assert torch.allclose(grids[0], out.tokens[:3], atol=1e-5)
    assert capsys.readouterr().err.count("quantising") == 1
    again = Segmenter.load("tiny", precision="int8")
    again.threads = 2  # as if made by a thread that has two, and first asked by one that has one
    assert again._for_inference()._compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert torch.equal(again(images).tokens, out.tokens)
    assert "quantising" not in capsys.readouterr().err
    again.calibrate(list(images))
    assert not torch.equal(again(images).tokens, out.tokens)
    assert len(list((weights / "int8").iterdir())) == 2


def test_without_its_libraries(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    segmenter = Segmenter.load("tiny", precision="int8")
    with pytest.raises(InputError, match=r"int8 needs openvino: pip install 'dorl\[fast\]'"):
        segmenter(np.zeros((1, 224, 224, 3), np.uint8))


def test_it_is_for_processors() -> None:
    with pytest.raises(InputError, match="precision 'int4' is unknown"):
        Segmenter.load("tiny", precision="int4")
    with pytest.raises(InputError, match="int8 is for processors"):
        Segmenter.load("tiny", device="meta", precision="int8")
