"""Two rendered labs as methods see them, and their labels, which methods don't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dorl.benchmark.methods import Source

from .two_labs import TwoLabs


@pytest.fixture(scope="session")
def two_labs(labs: list[str], tmp_path_factory: pytest.TempPathFactory) -> TwoLabs:
    from dorl.benchmark.labs import embed_lab, prepare_lab
    from dorl.domains import read_domains
    from dorl.segmentation import Segmenter

    folder = tmp_path_factory.mktemp("baselines")
    network = Segmenter.load("tiny", device="cpu", precision="float32")  # the same on every processor
    known = [prepare_lab(lab, None, only_source=False) for lab in read_domains(labs)]
    cells = [embed_lab(lab, network, folder, whole=True) for lab in known]
    return TwoLabs(Source(cells[0], known[0].labels), replace(cells[1], domain=1), known[1].labels)


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """A file that holds weights of no network here."""
    import torch

    from dorl.tensorfiles import write_pth

    write_pth(tmp_path / "other.pth", {"layer.weight": torch.zeros(3, 3)})
    return tmp_path / "other.pth"
