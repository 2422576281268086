from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dorl.errors import InputError
from dorl.segmentation import Segmenter
from dorl.segmentation import finetune as module
from dorl.segmentation.finetune import (
    FinetuneSettings,
    evaluate_masks,
    finetune,
    input_statistics,
    load_pair,
    low_resolution,
)
from dorl.tensorfiles import load_into, load_tensors

from .small import RenderedSet, render, small_segmenter

SET = RenderedSet(render(26))
TRAIN, HELD_OUT = [(SET, i) for i in range(18)], [(SET, i) for i in range(18, 26)]
SETTINGS = FinetuneSettings(epochs=7, warmup_epochs=1, batch_size=6, learning_rate=2e-2)
#: too short to learn, long enough to be interrupted
BRIEF = replace(SETTINGS, epochs=3)


def saved(out: Path) -> Segmenter:
    """The adapter in `out` over the base that every test here starts from."""
    tensors, header = load_tensors(out / "segmenter.safetensors")
    segmenter = small_segmenter(rank=header["rank"])
    segmenter.mean, segmenter.std = tuple(header["mean"]), tuple(header["std"])
    load_into(segmenter.sam, tensors, path=out, names=tensors)
    segmenter.changed()
    return segmenter


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Segmenter, pd.DataFrame]:
    out, segmenter = tmp_path_factory.mktemp("tuned"), small_segmenter()
    return out, segmenter, finetune(segmenter, TRAIN, HELD_OUT, out=out, settings=SETTINGS)


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short fine-tuning that nobody interrupted: its folder, and the digest of its weights."""
    out, segmenter = tmp_path_factory.mktemp("brief"), small_segmenter()
    finetune(segmenter, TRAIN, HELD_OUT, out=out, settings=BRIEF)
    return out, segmenter.digest()


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stop the next fine-tuning just after its checkpoint of epoch `after`."""
    save = module.save_progress

    def stopping(path: Path, sam: torch.nn.Module, optimizer: torch.optim.Optimizer, header: dict) -> None:
        save(path, sam, optimizer, header)
        if len(header["history"]) == after:
            monkeypatch.setattr(module, "save_progress", save)
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_progress", stopping)


def test_loss_falls_and_held_out_dice_rises(tuned: tuple[Path, Segmenter, pd.DataFrame]) -> None:
    _, _, history = tuned
    before, _ = evaluate_masks(small_segmenter(), HELD_OUT)
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    assert history["dice"].max() > before + 0.15
    assert history["dice"].max() > 0.55
    assert (history["iou"] <= history["dice"]).all()


def test_history_is_written_and_the_checkpoint_removed(tuned: tuple[Path, Segmenter, pd.DataFrame]) -> None:
    out, _, history = tuned
    assert {path.name for path in out.iterdir()} == {"segmenter.safetensors", "history.csv"}
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    pd.testing.assert_frame_equal(pd.read_csv(out / "history.csv"), history)


def test_the_adapter_is_the_segmenter_afterwards(tuned: tuple[Path, Segmenter, pd.DataFrame]) -> None:
    out, segmenter, history = tuned
    back = saved(out)
    assert back.digest() == segmenter.digest()
    assert back.rank == 4
    for one in (segmenter, back):
        assert evaluate_masks(one, HELD_OUT)[0] == pytest.approx(history["dice"].max(), abs=1e-6)


def test_the_best_epoch_is_kept_and_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the learning rate of every later epoch ruins the weights
    monkeypatch.setattr(module, "warmup_cosine", lambda step, **_: 1.0 if step < 12 else 200.0)
    segmenter = small_segmenter()
    history = finetune(segmenter, TRAIN, HELD_OUT, out=tmp_path, settings=replace(SETTINGS, epochs=6))
    assert history["dice"].iloc[-1] < history["dice"].max()
    for one in (segmenter, saved(tmp_path)):
        assert evaluate_masks(one, HELD_OUT)[0] == pytest.approx(history["dice"].max(), abs=1e-6)


def test_the_adapter_holds_mean_and_std_of_the_training_images(tuned: tuple[Path, Segmenter, pd.DataFrame]) -> None:
    _, header = load_tensors(tuned[0] / "segmenter.safetensors")
    pixels = np.concatenate([SET.load(i).reshape(-1, 3) for _, i in TRAIN]).astype(float)
    assert header["mean"] == pytest.approx(pixels.mean(0).tolist(), abs=1e-3)
    assert header["std"] == pytest.approx(pixels.std(0).tolist(), abs=1e-3)
    assert tuned[1].mean == tuple(header["mean"])


def test_an_even_colour_has_no_std_of_zero() -> None:
    class Even(RenderedSet):
        def load(self, index: int) -> np.ndarray:
            return np.full((64, 64, 3), 90, np.uint8)

    mean, std = input_statistics([(Even(SET.cells), 0)], 64)
    assert mean == (90, 90, 90)
    assert min(std) > 0


def test_the_same_seed_gives_the_same_weights_and_another_does_not(brief: tuple[Path, str], tmp_path: Path) -> None:
    digests = {}
    for seed in (0, 1):
        segmenter = small_segmenter()
        torch.manual_seed(17)  # what was drawn before doesn't matter
        finetune(segmenter, TRAIN, HELD_OUT, out=tmp_path / str(seed), settings=BRIEF, seed=seed)
        digests[seed] = segmenter.digest()
    assert digests[0] == brief[1]
    assert digests[1] != brief[1]


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_fine_tuning_goes_on_and_ends_the_same(
    brief: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    interrupt(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        finetune(small_segmenter(), TRAIN, HELD_OUT, out=tmp_path, settings=BRIEF)
    assert (tmp_path / "unfinished.safetensors").exists()
    assert not (tmp_path / "history.csv").exists()
    evaluated = []
    evaluate = module.evaluate_masks
    monkeypatch.setattr(module, "evaluate_masks", lambda *given: evaluated.append(1) or evaluate(*given))
    segmenter = small_segmenter()
    finetune(segmenter, TRAIN, HELD_OUT, out=tmp_path, settings=BRIEF)
    assert len(evaluated) == BRIEF.epochs - after
    assert segmenter.digest() == brief[1]
    assert (tmp_path / "history.csv").read_bytes() == (brief[0] / "history.csv").read_bytes()
    assert (tmp_path / "segmenter.safetensors").read_bytes() == (brief[0] / "segmenter.safetensors").read_bytes()
    assert not (tmp_path / "unfinished.safetensors").exists()


def test_an_unfinished_one_of_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        finetune(small_segmenter(), TRAIN, HELD_OUT, out=tmp_path, settings=BRIEF)
    others = [
        {"settings": replace(BRIEF, epochs=4)},
        {"settings": replace(BRIEF, learning_rate=1e-3)},
        {"settings": replace(BRIEF, rank=2)},
        {"settings": BRIEF, "seed": 5},
        {"settings": BRIEF, "train": TRAIN[:-1]},
        {"settings": BRIEF, "made_of": "other masks"},
    ]
    for other in others:
        train = other.pop("train", TRAIN)
        with pytest.raises(InputError, match=r"unfinished\.safetensors: .*remove it") as caught:
            finetune(small_segmenter(), train, HELD_OUT, out=tmp_path, **other)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "unfinished.safetensors").exists()


@pytest.mark.parametrize(("train", "held_out"), [([], HELD_OUT), (TRAIN, [])])
def test_nothing_to_train_on_or_to_hold_out(tmp_path: Path, train: list, held_out: list) -> None:
    with pytest.raises(InputError, match="give more images"):
        finetune(small_segmenter(), train, held_out, out=tmp_path)


def test_an_image_without_a_mask_is_refused() -> None:
    class Bare(RenderedSet):
        def load_mask(self, index: int) -> None:
            return None

    with pytest.raises(InputError, match="mask column"):
        load_pair((Bare(SET.cells), 0), 64)


def test_image_and_mask_are_resized_alike() -> None:
    mask = np.zeros((40, 80), bool)
    mask[10:30, 40:] = True

    class Wide(RenderedSet):
        def load(self, index: int) -> np.ndarray:
            return np.dstack([mask.astype(np.uint8) * 200] * 3)

        def load_mask(self, index: int) -> np.ndarray:
            return mask

    image, small = load_pair((Wide(SET.cells), 0), 64)
    assert (image.shape, image.dtype, small.shape, small.dtype) == ((64, 64, 3), np.uint8, (64, 64), bool)
    assert ((image[..., 0] > 100) == small).mean() > 0.97
    assert small.mean() == pytest.approx(mask.mean(), abs=0.02)


def test_masks_at_the_resolution_of_the_decoder() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :4, :3] = True  # the second column of 2×2 pixels is half covered
    mask[0, 4, 4] = True  # a quarter of a pixel
    small = low_resolution(mask, 4)
    assert small.dtype == torch.int64
    assert small[0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_evaluation_means_over_images_whatever_the_batch() -> None:
    segmenter = small_segmenter()
    dice, iou = evaluate_masks(segmenter, HELD_OUT, batch_size=3)
    dices = []
    for _, index in HELD_OUT:
        found = segmenter(SET.load(index)[None]).masks[0].numpy()
        truth = SET.load_mask(index)
        dices.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert dice == pytest.approx(np.mean(dices), abs=1e-3)
    assert 0 < iou < dice
