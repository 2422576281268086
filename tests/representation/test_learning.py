from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder
from dorl.representation.learning import LearningSettings, learn

pytestmark = pytest.mark.usefixtures("one_thread")

#: a small shape, and few steps
SHAPE = AutoencoderConfig(
    width=16,
    depth=1,
    heads=2,
    decoder_depth=1,
    grid=4,
    image_channels=(8, 8, 8, 8),
    channels=6,
    seen=12,
    feature="parts",
)
SHORT = LearningSettings(steps=12, batch_size=8, drawn=2, warmup=2, drawing_steps=0)


class Views:
    plain, restained, total = 1, 2, 3


class MadeUpPool:
    """Two labs of cells of two kinds; restaining shifts all tokens of a view, and so does the lab."""

    labs = ("a", "b")
    views: Any = Views()
    channels = 6

    def __init__(self, count: int = 40, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.lab = np.arange(count) % 2
        self.kind = np.arange(count) // 2 % 2
        tokens = 0.3 * rng.normal(size=(count, 1, 6, 4, 4)).repeat(3, 1)
        tokens[:, :, 0] += 2 * self.kind[:, None, None, None] - 1
        tokens[:, 1:, 1:3] += 2 * rng.normal(size=(count, 2, 2, 1, 1))
        tokens[:, :, 3] += self.lab[:, None, None, None]
        tokens[:, :, -2:] = 0
        tokens[:, :, -2, 1:3] = 1
        tokens[:, :, -1, 1:3, 1:3] = 1
        self.tokens = tokens.astype(np.float16)
        self.drawn = (60 + 120 * self.kind[:, None, None, None] * np.ones((1, 128, 128, 3))).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.lab)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.tokens[rows], self.drawn[rows]


def features(model: CrossDomainAutoencoder, pool: MadeUpPool, view: int) -> torch.Tensor:
    return model.encode(torch.from_numpy(pool.tokens[:, view]).float())


@pytest.fixture(scope="module")
def pool() -> Any:
    return MadeUpPool()


def test_every_loss_falls_and_restaining_changes_s_less(pool: Any, tmp_path: Path) -> None:
    long = replace(SHORT, steps=150, batch_size=16, learning_rate=3e-3)
    model, history = learn(pool, out=tmp_path / "a.safetensors", config=SHAPE, settings=long, seed=1)
    names = ["agreement", "description", "discrepancy", "tokens", "picture", "colour"]
    assert history.columns.tolist() == ["iteration", "total", *names]
    assert history["iteration"].tolist() == list(range(10, 151, 10))
    first, last = history.iloc[0], history.iloc[-3:].mean()
    for name in ("description", "tokens", "colour", "total"):
        assert last[name] < first[name], name
    plain, restained = features(model, pool, 0), features(model, pool, 1)
    own = (plain - restained).norm(dim=1).mean()
    other = (plain[pool.kind == 0].mean(0) - plain[pool.kind == 1].mean(0)).norm()
    assert own < other


def test_an_interrupted_learning_ends_the_same(pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorl.representation.learning.CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr("dorl.representation.learning.CURVE_EVERY", 2)
    no_past = replace(SHORT, agreement=0.0)  # earlier cells' codes are not kept
    whole, _ = learn(pool, out=tmp_path / "whole.safetensors", config=SHAPE, settings=no_past)
    place = tmp_path / "parts.safetensors"
    seen = 0

    def stop(*args: Any, **more: Any) -> float:
        nonlocal seen
        seen += 1
        if seen == 7:
            raise KeyboardInterrupt
        return 1.0

    with monkeypatch.context() as patch:
        real = __import__("dorl.runtime.training", fromlist=["warmup_cosine"]).warmup_cosine
        patch.setattr("dorl.representation.learning.warmup_cosine", lambda *a, **k: stop() * real(*a, **k))
        with pytest.raises(KeyboardInterrupt):
            learn(pool, out=place, config=SHAPE, settings=no_past)
    assert not place.exists()
    with pytest.raises(InputError, match="other settings or cells"):
        learn(pool, out=place, config=SHAPE, settings=replace(no_past, learning_rate=1.0))
    parts, history = learn(pool, out=place, config=SHAPE, settings=no_past)
    assert history["iteration"].tolist() == [2, 4, 6, 8, 10, 12]
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, parts.state_dict()[name], atol=1e-5), name
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["parts.safetensors", "whole.safetensors"]


def test_tuning_goes_on_from_what_is_given(pool: Any, tmp_path: Path) -> None:
    start, _ = learn(pool, out=tmp_path / "a.safetensors", config=SHAPE, settings=SHORT)
    gently = replace(SHORT, steps=1, learning_rate=1e-6)
    tuned, _ = learn(pool, out=tmp_path / "b.safetensors", config=SHAPE, settings=gently, start=start, half=True)
    assert torch.allclose(features(start, pool, 0), features(tuned, pool, 0), atol=0.02)
    assert torch.allclose(start.encoder.cell.shift, tuned.encoder.cell.shift, atol=1e-3)  # type: ignore[union-attr]
    again = CrossDomainAutoencoder.load(tmp_path / "b.safetensors", device="cpu")
    assert again.digest() == tuned.digest()
    assert (tmp_path / "b.safetensors").stat().st_size < 0.6 * (tmp_path / "a.safetensors").stat().st_size


def test_an_autoencoder_of_whole_images_does_not_learn_cells(pool: Any, tmp_path: Path) -> None:
    shape = AutoencoderConfig(width=16, depth=1, heads=2, decoder_depth=1, grid=4)
    with pytest.raises(InputError, match="whole images"):
        learn(pool, out=tmp_path / "a.safetensors", config=replace(shape, channels=0), settings=SHORT)
