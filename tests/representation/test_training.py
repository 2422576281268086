"""Training on stored cells: repeatable, resumable, and blind to cells it was not given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dorl.cells import CellStore
from dorl.errors import InputError
from dorl.representation import (
    AutoencoderConfig,
    CrossDomainAutoencoder,
    TrainingSettings,
    encode_cells,
    train_autoencoder,
)
from dorl.representation import training as module
from dorl.representation.batches import balanced_batches
from dorl.representation.losses import mmd_loss, ssim
from dorl.representation.training import loss_terms

CONFIG = AutoencoderConfig(
    width=16, depth=1, heads=2, decoder_depth=1, grid=4, z_width=5, image_channels=(8, 8, 8, 8), image_size=16
)
#: 3 iterations an epoch, so that a checkpoint, every 4, lies within one
SETTINGS = TrainingSettings(max_iterations=12, batch_size=8, warmup=3, learning_rate=3e-3)
#: lab of each of the 24 cells
DOMAIN = np.repeat([0, 1, 2], [12, 8, 4])


def make_store(path: Path, *, bad: Sequence[int] = ()) -> CellStore:
    """Cells of three labs whose tokens and stain differ; those in `bad` hold no number."""
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(24, 16, 4, 4)) + DOMAIN[:, None, None, None]
    tokens[list(bad)] = np.nan
    crops = np.full((24, 16, 16, 3), 128, np.uint8)
    crops[:, 4:12, 4:12] = 60 + 60 * DOMAIN[:, None, None, None] + rng.integers(0, 40, (24, 8, 8, 3))
    store = CellStore.create(path, width=16, grid=4, mask_size=16, crop_size=16)
    store.append(tokens, np.ones((24, 16, 16), bool), crops, [{"key": str(i)} for i in range(24)])
    return store


@pytest.fixture(autouse=True)
def short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the curve, and so a chance of a checkpoint, every 4 of the 12 iterations."""
    monkeypatch.setattr(module, "CURVE_EVERY", 4)


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    return make_store(tmp_path / "cells")


class Interrupted:
    """A store at whose `count`-th batch the user presses Ctrl-C."""

    def __init__(self, store: CellStore, count: int) -> None:
        self.store, self.left = store, count

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.store.batch(indices, *names)


def train(cells: Any, out: Path, **changes: Any) -> tuple[CrossDomainAutoencoder, pd.DataFrame]:
    return train_autoencoder(
        cells, DOMAIN, **{"out": out, "config": CONFIG, "settings": SETTINGS, "device": "cpu", **changes}
    )


def same(one: CrossDomainAutoencoder, other: CrossDomainAutoencoder) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(("batch_size", "labs"), [(8, 2), (8, 3), (3, 3), (64, 3), (5, 1)])
def test_every_batch_holds_every_lab_in_equal_shares(batch_size: int, labs: int) -> None:
    domain = np.random.default_rng(0).permutation(np.repeat(np.arange(labs), [30, 5, 2][:labs]))
    shares = []
    for picked in balanced_batches(domain, batch_size, 12, np.random.default_rng(1)):
        assert len(picked) == batch_size
        counts = np.bincount(domain[picked], minlength=labs)
        assert counts.min() >= 1
        assert np.ptp(counts) <= 1
        shares.append(counts)
    assert len(shares) == 12
    assert np.ptp(np.sum(shares, axis=0)) <= 1  # what doesn't divide evenly goes round


def test_a_labs_cells_come_without_repeats_until_all_came() -> None:
    domain = np.repeat([0, 3], [20, 4])
    drawn = np.concatenate(list(balanced_batches(domain, 8, 5, np.random.default_rng(0))))
    counts = Counter(drawn.tolist())
    assert [counts[cell] for cell in range(20)] == [1] * 20
    assert [counts[cell] for cell in range(20, 24)] == [5] * 4


def test_batches_depend_on_the_generator_alone() -> None:
    def draw(seed: int) -> np.ndarray:
        return np.stack(list(balanced_batches(DOMAIN, 8, 4, np.random.default_rng(seed))))

    np.testing.assert_array_equal(draw(0), draw(0))
    assert (draw(0) != draw(1)).any()


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, (4, 40)), (7, (4, 7)), (100, (4, 40))], ids=["none", "lower", "higher"]
)
def test_iterations(limit: int | None, expected: tuple[int, int]) -> None:
    assert TrainingSettings(epochs=10, batch_size=64, max_iterations=limit).iterations(193) == expected


def test_loss_terms_are_those_of_the_method() -> None:
    torch.manual_seed(0)
    model = CrossDomainAutoencoder(CONFIG)
    tokens, crops, domain = torch.randn(6, 16, 4, 4), torch.rand(6, 3, 16, 16), torch.tensor([0, 0, 1, 1, 2, 2])
    keep = model.draw_keep(6)
    terms, out = loss_terms(model, tokens, crops, domain, keep)
    again = model(tokens, keep)
    image, mmd = 1 - ssim(again.image, crops).item(), mmd_loss(again.z, domain).item()
    squares = (again.tokens - tokens).square().mean().item()
    found = {name: term.item() for name, term in terms.items()}
    expected = {"image": image, "mmd": mmd, "tokens": squares, "total": image + 2 * (mmd + squares / 2)}
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(out.z, again.z)


def test_tokens_of_any_scale_are_learnt_alike() -> None:
    tokens, crops, domain = torch.randn(6, 16, 4, 4), torch.rand(6, 3, 16, 16), torch.tensor([0, 0, 1, 1, 2, 2])
    found = []
    for scale in (1.0, 30.0):
        torch.manual_seed(0)
        model = CrossDomainAutoencoder(replace(CONFIG, token_scale=scale)).eval()
        keep = model.draw_keep(6, torch.Generator().manual_seed(0))
        terms, out = loss_terms(model, scale * tokens, crops, domain, keep)
        found.append((terms["tokens"], terms["total"], out.tokens / scale, model.encode(scale * tokens)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_scale_is_that_of_the_tokens_trained_on(store: CellStore, tmp_path: Path) -> None:
    model, _ = train(store, tmp_path / "a.safetensors", settings=replace(SETTINGS, normalise=True))
    (tokens,) = store.batch(np.arange(len(store)), "tokens")
    assert model.config.token_scale == pytest.approx(float(tokens.astype(np.float32).std()), rel=1e-3)
    assert CrossDomainAutoencoder.load(tmp_path / "a.safetensors", device="cpu").config == model.config


def test_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    model = CrossDomainAutoencoder(CONFIG)
    batch = torch.randn(6, 16, 4, 4), torch.rand(6, 3, 16, 16), torch.tensor([0, 0, 1, 1, 2, 2]), model.draw_keep(6)
    loss_terms(model, *batch)[0]["total"].backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_training_lowers_every_loss_and_writes_the_model(store: CellStore, tmp_path: Path) -> None:
    out = tmp_path / "new" / "autoencoder.safetensors"
    settings = TrainingSettings(max_iterations=60, batch_size=12, warmup=5, learning_rate=3e-3)
    model, history = train(store, out, settings=settings)
    assert history["iteration"].tolist() == list(range(4, 61, 4))
    first, last = history.iloc[0], history.iloc[-1]
    assert last["image"] < 0.8 * first["image"]
    assert last["tokens"] < 0.9 * first["tokens"]
    assert last["total"] < 0.8 * first["total"]
    parts = history["image"] + 2 * (history["mmd"] + history["tokens"] / 2)
    np.testing.assert_allclose(history["total"], parts, rtol=1e-4)
    assert list(out.parent.iterdir()) == [out]
    assert not model.training
    assert same(CrossDomainAutoencoder.load(out, device="cpu"), model)


def test_a_seed_makes_it_repeatable(store: CellStore, tmp_path: Path) -> None:
    (first, curve), (again, same_curve) = (train(store, tmp_path / f"{name}.safetensors", seed=5) for name in "ab")
    assert same(first, again)
    pd.testing.assert_frame_equal(curve, same_curve)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert not same(first, train(store, tmp_path / "c.safetensors", seed=6)[0])


def test_every_epoch_and_every_seed_draw_other_batches(store: CellStore, tmp_path: Path) -> None:
    class Watched(Interrupted):
        def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
            seen.add(tuple(sorted(np.asarray(indices).tolist())))
            return super().batch(indices, *names)

    seen: set[tuple[int, ...]] = set()
    for number, seed in enumerate((0, 1), start=1):
        train(Watched(store, 12), tmp_path / f"{seed}.safetensors", seed=seed)
        assert len(seen) == 12 * number


def test_other_tokens_are_hidden_in_every_iteration(
    store: CellStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.Tensor] = []
    draw_keep = CrossDomainAutoencoder.draw_keep

    def watched(self: CrossDomainAutoencoder, *args: Any) -> torch.Tensor:
        drawn.append(draw_keep(self, *args))
        return drawn[-1]

    monkeypatch.setattr(CrossDomainAutoencoder, "draw_keep", watched)
    train(store, tmp_path / "a.safetensors")
    assert [keep.shape for keep in drawn] == [(8, 4)] * 12
    assert len({tuple(keep.flatten().tolist()) for keep in drawn}) == 12


@pytest.mark.parametrize("stop", [3, 6, 11])
def test_an_interrupted_training_goes_on_and_ends_the_same(
    store: CellStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: int
) -> None:
    straight, history = train(store, tmp_path / "straight" / "a.safetensors")
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", -1.0)
    out = tmp_path / "stopped" / "a.safetensors"
    out.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(store, stop), out)
    assert f"stopped at iteration {stop} of 12; the same command goes on" in capsys.readouterr().err
    saved = stop // 4 * 4
    assert [path.name for path in out.parent.iterdir()] == (["a.unfinished.safetensors"] if saved else [])
    again = Interrupted(store, 12)
    resumed, curve = train(again, out)
    assert again.left == saved  # not a batch was read that had been learnt from before
    assert (f"going on at iteration {saved} of 12" in capsys.readouterr().err) == (saved > 0)
    assert same(resumed, straight)
    pd.testing.assert_frame_equal(curve, history)
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"settings": TrainingSettings(max_iterations=12, batch_size=8, warmup=3, learning_rate=1e-3)},
        {"config": AutoencoderConfig(**{**CONFIG.__dict__, "depth": 2})},
        {"config": AutoencoderConfig(**{**CONFIG.__dict__, "mask_ratio": 0.5})},
        {"members": np.arange(1, 16)},
        {"members": np.delete(np.arange(20), 1)},  # as many of each lab, but others
    ],
    ids=["seed", "rate", "depth", "mask ratio", "fewer cells", "other cells"],
)
def test_an_unfinished_training_of_another_kind_is_not_gone_on_with(
    store: CellStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", -1.0)
    members = np.arange(1, 20)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(store, 5), tmp_path / "a.safetensors", members=members)
    with pytest.raises(InputError, match="remove it") as caught:
        train(store, tmp_path / "a.safetensors", **{"members": members, **change})
    assert str(caught.value).startswith(f"{tmp_path / 'a.unfinished.safetensors'}: ")
    assert not (tmp_path / "a.safetensors").exists()


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    store = make_store(tmp_path / "cells", bad=[3])
    with pytest.raises(InputError, match="loss is no longer a number: lower the learning rate"):
        train(store, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_cells_that_are_not_members_are_never_seen(store: CellStore, tmp_path: Path) -> None:
    members = np.flatnonzero(DOMAIN != 1)
    spoilt = make_store(tmp_path / "spoilt", bad=np.flatnonzero(DOMAIN == 1).tolist())
    clean, history = train(store, tmp_path / "a.safetensors", members=members)
    other, _ = train(spoilt, tmp_path / "b.safetensors", members=members)
    assert np.isfinite(history.to_numpy()).all()
    assert same(clean, other)


def test_labs_are_drawn_together_where_the_first_is_left_out(store: CellStore, tmp_path: Path) -> None:
    _, history = train(store, tmp_path / "a.safetensors", members=np.flatnonzero(DOMAIN != 0))
    assert (history["mmd"] > 0).all()


def test_one_lab_alone_has_no_lab_to_be_like(store: CellStore, tmp_path: Path) -> None:
    _, history = train(store, tmp_path / "a.safetensors", members=np.flatnonzero(DOMAIN == 2))
    assert (history["mmd"] == 0).all()


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_parts_of_a_batch_add_up_to_it(
    store: CellStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(module, "has_bf16", lambda device: False)  # whose rounding would hide an error
    one_lab = np.flatnonzero(DOMAIN == 0)  # no labs to compare, which each part does for itself
    _, whole = train(store, tmp_path / "a.safetensors", members=one_lab)
    _, divided = train(store, tmp_path / "b.safetensors", members=one_lab, settings=replace(SETTINGS, accumulate=parts))
    pd.testing.assert_frame_equal(divided, whole, rtol=1e-4)


def test_every_part_of_a_batch_has_every_lab(store: CellStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    terms = module.loss_terms

    def watched(model: Any, tokens: torch.Tensor, crops: torch.Tensor, domain: torch.Tensor, *more: Any, **kw: Any):
        seen.append(domain.tolist())
        return terms(model, tokens, crops, domain, *more, **kw)

    monkeypatch.setattr(module, "loss_terms", watched)
    _, history = train(store, tmp_path / "a.safetensors", settings=replace(SETTINGS, accumulate=2))
    assert len(seen) == 2 * 12
    assert all(set(domain) == {0, 1, 2} for domain in seen)
    assert (history["mmd"] > 0).all()


@pytest.mark.parametrize("parts", [0, 9])
def test_a_batch_that_cannot_be_divided(store: CellStore, tmp_path: Path, parts: int) -> None:
    with pytest.raises(InputError, match=f"a batch of 8 can't be divided into {parts} parts"):
        train(store, tmp_path / "a.safetensors", settings=replace(SETTINGS, accumulate=parts))


def test_no_cell_to_train_on(store: CellStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cell to train"):
        train(store, tmp_path / "a.safetensors", members=np.array([], int))


def test_features_do_not_depend_on_the_batch_size(store: CellStore) -> None:
    torch.manual_seed(0)
    model = CrossDomainAutoencoder(CONFIG).eval()
    features = encode_cells(model, store)
    assert (features.shape, features.dtype) == ((24, 16), np.float32)
    expected = model.encode(torch.from_numpy(store.tokens[:].copy())).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)
    for batch_size in (1, 7, 24):
        np.testing.assert_allclose(encode_cells(model, store, batch_size=batch_size), features, atol=1e-5)


def test_features_of_some_cells_in_their_order(store: CellStore) -> None:
    model = CrossDomainAutoencoder(CONFIG).eval()
    members = np.array([20, 3, 7])
    found = encode_cells(model, store, members=members, batch_size=2)
    np.testing.assert_allclose(found, encode_cells(model, store)[members], atol=1e-5)
    assert encode_cells(model, store, members=members[:0]).shape == (0, 16)
