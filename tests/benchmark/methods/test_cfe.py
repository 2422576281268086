from __future__ import annotations

import pytest
import torch

from dorl.benchmark.methods.cfe import AECFE, ConvolutionalAutoencoder

from .two_labs import TwoLabs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("grid", [8, 14])
def test_shapes(grid: int) -> None:
    model = ConvolutionalAutoencoder(24, grid, hidden=16, code=50)
    code, tokens, picture = model(torch.randn(2, 24, grid, grid))
    assert code.shape == (2, 50)
    assert tokens.shape == (2, 24, grid, grid)
    assert picture.shape == (2, 3, 128, 128)
    assert picture.min() >= 0
    assert picture.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("unseen", [False, True])
def test_codes_and_forest(two_labs: TwoLabs, unseen: bool) -> None:
    method = AECFE(iterations=4, batch_size=8, device="cpu")
    (fitted,) = method.fit(two_labs.source, [] if unseen else [two_labs.target], seed=0)
    assert fitted.variant == "RF"
    assert "4 iterations" in fitted.setting
    assert (fitted.predict(two_labs.source.cells) == two_labs.source.labels).mean() > 0.9
    assert set(fitted.predict(two_labs.target)) <= set(two_labs.source.classes)
