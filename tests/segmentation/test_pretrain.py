from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.domains.rendered import STYLES
from dorl.segmentation import pretrain as module
from dorl.segmentation.checkpoints import load_base
from dorl.segmentation.pretrain import MEAN, STD, PretrainSettings, pretrain, vary_colours, vary_geometry
from dorl.tensorfiles import load_tensors

from .small import SMALL, noise, render

SHORT = PretrainSettings(cells=8, steps=4, batch_size=4, warmup=1, seed=3)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Few and small cells, rendered in this process; a checkpoint at every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 4)
        patch.setattr(module, "RENDERED_SIZE", 96)
        patch.setattr(module, "CHECKPOINT_EVERY", -1.0)
        patch.setattr(module, "ProcessPoolExecutor", ThreadPoolExecutor)
        patch.setattr(module, "unseen_dice", partial(module.unseen_dice, cells=1))
        yield


@pytest.fixture(scope="module")
def trained(quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "new"
    assert pretrain(out, SHORT, spec=SMALL) == out / "tiny.safetensors"
    return out


def test_weights_curve_and_card_are_written(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {"tiny.safetensors", "curve.csv", "card.json", "rendered"}
    curve = pd.read_csv(trained / "curve.csv")
    assert list(curve.columns) == ["step", "mask", "parts", "picture"]
    assert curve["step"].tolist() == [4]
    assert np.isfinite(curve.to_numpy()).all()
    card = json.loads((trained / "card.json").read_text())
    assert card["settings"] == asdict(SHORT)
    assert set(card["dice_unseen_rendered_labs"]) == set(STYLES)
    assert all(0 <= dice <= 1 for dice in card["dice_unseen_rendered_labs"].values())
    assert load_tensors(trained / "tiny.safetensors")[1]["card"] == card


def test_the_weights_can_be_loaded_and_hold_no_training_head(trained: Path) -> None:
    segmenter = load_base(trained / "tiny.safetensors", device="cpu", precision="float32")
    assert (segmenter.base, segmenter.spec, segmenter.mean, segmenter.std) == ("tiny", SMALL, MEAN, STD)
    assert segmenter(noise(2, 70, 50)).masks.shape == (2, 70, 50)
    names = load_tensors(trained / "tiny.safetensors")[0]
    assert {name.split(".")[0] for name in names} <= set(dict(segmenter.sam.named_children()))


def test_an_interrupted_training_goes_on_and_ends_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, drawn = module.save_progress, []

    def stopping(path: Path, both: torch.nn.Module, optimizer: torch.optim.Optimizer, header: dict) -> None:
        save(path, both, optimizer, header)
        if header["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_progress", stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path, SHORT, spec=SMALL)
    assert not (tmp_path / "tiny.safetensors").exists()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "rendered").iterdir()}
    batch = module._batch
    monkeypatch.setattr(module, "_batch", lambda *given: drawn.append(given[-1]) or batch(*given))
    pretrain(tmp_path, SHORT, spec=SMALL)
    assert sorted(drawn) == [2, 3]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rendered").iterdir()} == stamps
    expected, again = (load_tensors(out / "tiny.safetensors")[0] for out in (trained, tmp_path))
    assert all(torch.equal(expected[name], again[name]) for name in expected)
    assert (tmp_path / "curve.csv").read_bytes() == (trained / "curve.csv").read_bytes()
    assert not (tmp_path / "unfinished.safetensors").exists()

    start = fresh()
    moved = [name for name, tensor in expected.items() if not torch.equal(tensor, start[name])]
    assert len(moved) > 20  # equal because trained alike, and not because untrained


def fresh() -> dict[str, torch.Tensor]:
    """What the training starts from, in the precision of the file."""
    torch.manual_seed(SHORT.seed)
    return {name: tensor.half() for name, tensor in module.Pretraining(SMALL).sam.state_dict().items()}


def test_an_unfinished_training_of_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = module.save_progress

    def stopping(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_progress", stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path, SHORT, spec=SMALL)
    with pytest.raises(SystemExit, match="of other settings: remove it"):
        pretrain(tmp_path, replace(SHORT, learning_rate=1e-4), spec=SMALL)


@pytest.mark.slow
def test_training_lowers_every_loss(tmp_path: Path) -> None:
    pretrain(tmp_path, replace(SHORT, cells=16, steps=80, batch_size=8, learning_rate=3e-3), spec=SMALL)
    curve = pd.read_csv(tmp_path / "curve.csv")
    first, last = curve.iloc[0], curve.iloc[-2:].mean()
    for term in ("mask", "parts", "picture"):
        assert last[term] < first[term]


def cell_with_parts(size: int = 96, seed: int = 0) -> np.ndarray:
    """A rendered cell (S, S, 4) whose picture is painted by its parts: 0, 100 or 200."""
    made = render(1, size=size, seed=seed)[0]
    parts = made.mask.astype(np.uint8) + (made.mask & made.nucleus)
    return np.dstack([parts * 100] * 3 + [parts])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_image_and_parts_stay_aligned(seed: int) -> None:
    cell = cell_with_parts()
    before = cell.copy()
    out = vary_geometry(cell, 64, np.random.default_rng(seed))
    assert (out.shape, out.dtype) == ((64, 64, 4), np.uint8)
    assert set(np.unique(out[..., 3])) <= {0, 1, 2}
    # off by half a pixel at the outlines, which hold few of the pixels
    assert (np.round(out[..., 0] / 100) == out[..., 3]).mean() > 0.93
    assert (out[..., 3] > 0).any()
    np.testing.assert_array_equal(cell, before)


def test_geometry_differs_from_draw_to_draw_and_at_times_fills_the_picture() -> None:
    rng, cell = np.random.default_rng(0), cell_with_parts()
    shares = [(vary_geometry(cell, 64, rng)[..., 3] > 0).mean() for _ in range(60)]
    plain = (cell[..., 3] > 0).mean()
    assert len(set(shares)) > 40
    assert max(shares) > 1.5 * plain
    assert min(shares) < 1.3 * plain


def test_a_picture_without_a_cell_is_varied_too() -> None:
    rng = np.random.default_rng(0)
    empty = np.dstack([noise(1, 96, 96)[0], np.zeros((96, 96), np.uint8)])
    for _ in range(20):
        out = vary_geometry(empty, 64, rng)
        assert out.shape == (64, 64, 4)
        assert not out[..., 3].any()


def test_colours_are_varied_image_by_image() -> None:
    one = torch.from_numpy(render(1)[0].image)
    images = one.expand(4, -1, -1, -1)
    out = vary_colours(images, torch.Generator().manual_seed(0))
    assert (out.shape, out.dtype) == (images.shape, torch.uint8)
    means = out.float().mean((1, 2))
    assert (means - one.float().mean((0, 1))).abs().amax(1).min() > 3
    assert torch.cdist(means, means)[~torch.eye(4, dtype=torch.bool)].min() > 3
    again = vary_colours(images, torch.Generator().manual_seed(0))
    assert torch.equal(out, again)
    assert not torch.equal(out, vary_colours(images, torch.Generator().manual_seed(1)))


def test_varied_colours_still_show_the_cell() -> None:
    cells = render(13, size=96)
    images = torch.from_numpy(np.stack([cell.image for cell in cells]))
    out = vary_colours(images, torch.Generator().manual_seed(0)).float().mean(-1).numpy()
    nuclei = [cell.nucleus & cell.mask for cell in cells]
    darker = [grey[~cell.mask].mean() - grey[n].mean() for grey, cell, n in zip(out, cells, nuclei, strict=True)]
    assert min(darker) > 0


def test_a_rendered_chunk_is_whole_repeatable_and_kept(tmp_path: Path) -> None:
    first, second, other = (
        np.load(module.render_chunk((tmp_path / f"{name}.npy", number, 3)))
        for name, number in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (first.shape, first.dtype) == ((4, 96, 96, 4), np.uint8)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert all(set(np.unique(cell[..., 3])) >= {0, 2} for cell in first)
    np.save(tmp_path / "a.npy", np.zeros(1))
    assert np.load(module.render_chunk((tmp_path / "a.npy", 0, 3))).shape == (1,)
