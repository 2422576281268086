from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dorl.benchmark.methods import Source
from dorl.benchmark.methods.cnn import FineTuned, plain, resized, schedule, strong

from .two_labs import TwoLabs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("change", [plain, strong])
def test_views_are_pictures_and_repeatable(two_labs: TwoLabs, change: object) -> None:
    crops = torch.from_numpy(two_labs.target.batch(range(4), "crops")[0])
    one, same, other = (change(crops, torch.Generator().manual_seed(seed), 96) for seed in (0, 0, 1))  # type: ignore[operator]
    assert one.shape == (4, 3, 96, 96)
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_plain_views_keep_the_colours_and_strong_ones_do_not(two_labs: TwoLabs) -> None:
    crops = torch.from_numpy(two_labs.target.batch(range(4), "crops")[0])
    before = resized(crops, 96).mean((2, 3))
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(plain(crops, generator, 96).mean((2, 3)), before, atol=1e-4, rtol=0)
    assert (strong(crops, generator, 96).mean((2, 3)) - before).abs().max() > 0.05


def test_the_quick_profile_is_smaller() -> None:
    for kind in ("resnext-gn", "efficientnet-lite0"):
        quick, full = schedule(kind, quick=True), schedule(kind, quick=False)
        assert quick["side"] < full["side"]
        assert quick["draws"] < full["draws"]


def test_a_network_learns_what_can_be_seen(two_labs: TwoLabs, monkeypatch: pytest.MonkeyPatch) -> None:
    class Painted:
        """Red cells and blue ones."""

        def __len__(self) -> int:
            return 20

        def batch(self, indices: np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
            crops = np.full((len(indices), 224, 224, 3), 40, np.uint8)
            crops[np.arange(len(indices)), ..., 2 * (np.asarray(indices) % 2)] = 220
            return (crops,)

    def small(kind: str, classes: int, weights: str | None, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
        )

    monkeypatch.setattr("dorl.benchmark.methods.cnn.build", small)
    cells = replace(two_labs.target, square=Painted(), rows=np.arange(20))
    source = Source(cells, np.array(["monocyte", "basophil"] * 10, object))
    method = FineTuned("small", side=32, draws=320, batch_size=8, rates=(1e-2,), device="cpu")
    (fitted,) = method.fit(source, [], seed=0)
    assert fitted.variant == "from scratch"
    assert fitted.chosen_by == "fixed beforehand"
    assert (fitted.predict(cells) == source.labels).mean() == 1


@pytest.mark.slow
def test_of_several_learning_rates_held_out_source_cells_choose(two_labs: TwoLabs) -> None:
    method = FineTuned(
        "efficientnet-lite0", strong=True, side=32, draws=16, batch_size=8, rates=(1e-3, 1e-4), device="cpu"
    )
    (fitted,) = method.fit(two_labs.source, [], seed=0)
    assert fitted.chosen_by == "source validation"
    assert set(fitted.predict(two_labs.target)) <= set(two_labs.source.classes)
