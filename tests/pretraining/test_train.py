"""The whole training on a few rendered cells with a small network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dorl.domains.rendered import STYLES, render_cell
from dorl.errors import InputError
from dorl.pretraining import train as module
from dorl.pretraining.bank import SIDE, UNKNOWN, Bank
from dorl.pretraining.settings import MEAN, STD, Settings
from dorl.pretraining.train import Trainer
from dorl.segmentation import Segmenter
from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.backbones.tiny import CompactSpec
from dorl.tensorfiles import load_tensors

SHORT = Settings(steps=6, batch_size=2, warmup=1, rounds=(0.5,), most=2, seed=3)
SMALL: dict[str, CompactSpec | SamSpec] = {
    "compact": CompactSpec(width=32, heads=2, depth=1, image_size=64, neck=16, decoder_mlp=32),
    "vit": SamSpec(width=32, depth=2, heads=2, image_size=64, window=4, global_blocks=(), neck=16, decoder_mlp=32),
}


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Small networks; a checkpoint at every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DESIGNS", SMALL)
        patch.setattr(module, "CHECKPOINT_EVERY", -1.0)
        yield


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Four cells with masks and four without, of two labs."""
    rng = np.random.default_rng(0)
    cells = [render_cell("monocyte", STYLES["harbour"], rng, size=SIDE) for _ in range(8)]
    targets = np.stack([c.mask.astype(np.uint8) + (c.mask & c.nucleus) for c in cells])
    targets[4:] = UNKNOWN
    known = [True] * 4 + [False] * 4
    rows = {
        "key": [str(i) for i in range(8)],
        "lab": ["rendered"] * 4 + ["real"] * 4,
        "known": known,
        "parts": known,
        "box": "",
    }
    return Bank(np.stack([c.image for c in cells]), targets, pd.DataFrame(rows))


@pytest.fixture(scope="module")
def trained(bank: Bank, quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    return Trainer(bank, SHORT, out).run()


def test_weights_curve_and_card_are_written(trained: Path) -> None:
    names = {path.name for path in trained.parent.iterdir()}
    assert names == {"tiny.safetensors", "curve.csv", "card.json", "pseudo-1.npz", "pseudo-1.json"}
    curve = pd.read_csv(trained.parent / "curve.csv")
    assert list(curve) == ["step", "mask", "parts", "tokens", "codes"]
    assert np.isfinite(curve.to_numpy()).all()
    card = json.loads((trained.parent / "card.json").read_text())
    assert card["pictures"] == {"rendered": 4, "real": 4}
    assert sum(card["pseudo_masks"][0]["real"].values()) == 2
    assert load_tensors(trained)[1]["card"] == card


def test_the_weights_load_and_hold_no_training_head(trained: Path) -> None:
    segmenter = Segmenter.load(trained, device="cpu", precision="float32")
    assert (segmenter.base, segmenter.spec, segmenter.mean, segmenter.std) == ("tiny", SMALL["compact"], MEAN, STD)
    assert {name.split(".")[0] for name in load_tensors(trained)[0]} <= set(dict(segmenter.sam.named_children()))


def test_an_interrupted_training_goes_on_and_ends_the_same(
    trained: Path, bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = module.save_progress
    for stop in (2, 3, 5):  # before, at and after the round of pseudo-masks

        def stopping(
            path: Path, both: torch.nn.Module, optimizer: torch.optim.Optimizer, header: dict, stop: int = stop
        ) -> None:
            save(path, both, optimizer, header)
            if header["step"] == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "save_progress", stopping)
        with pytest.raises(KeyboardInterrupt):
            Trainer(bank, SHORT, tmp_path).run()
    monkeypatch.setattr(module, "save_progress", save)
    Trainer(bank, SHORT, tmp_path).run()
    expected, ended = load_tensors(trained)[0], load_tensors(tmp_path / "tiny.safetensors")[0]
    assert all(torch.equal(expected[name], ended[name]) for name in expected)
    assert not (tmp_path / "unfinished.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_refused(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_round", lambda self, number: pytest.fail("not reached"))
    with pytest.raises(pytest.fail.Exception):
        Trainer(bank, SHORT, tmp_path).run()
    with pytest.raises(InputError, match="of other settings"):
        Trainer(bank, replace(SHORT, seed=4), tmp_path).run()


def test_pretrained_weights_learn_slowly_and_the_first_stages_not_at_all(bank: Bank, tmp_path: Path) -> None:
    encoder = {
        n: t.clone()
        for n, t in SMALL["compact"].build().vision_encoder.state_dict().items()
        if n.startswith(("stem", "stages"))
    }
    trainer = Trainer(bank, SHORT, tmp_path, encoder=encoder)
    trainer.run()
    after = trainer.model.sam.vision_encoder.state_dict()
    changed = {name for name in encoder if not torch.equal(encoder[name], after[name].cpu())}
    assert changed
    assert not {name for name in changed if name.startswith(("stem", "stages.0", "stages.1"))}
    assert [group["share"] for group in trainer.optimizer.param_groups] == [1.0, SHORT.pretrained_rate]


def test_a_vit_first_predicts_hidden_patches(bank: Bank, tmp_path: Path) -> None:
    settings = replace(SHORT, design="vit", masked_steps=10, steps=2, rounds=())
    Trainer(bank, settings, tmp_path).run()
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert np.isfinite(curve["picture"].iloc[0])
    assert np.isfinite(curve["mask"].iloc[-1])
    assert isinstance(Segmenter.load(tmp_path / "tiny.safetensors").spec, SamSpec)
