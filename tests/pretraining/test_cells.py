from __future__ import annotations

import json
from pathlib import Path

import pytest

from dorl.domains import read_domain
from dorl.pretraining.cells import learn_shared, pictures_of, train_on_cells
from dorl.pretraining.heldout import choose
from dorl.representation import CrossDomainAutoencoder
from dorl.representation.learning import LearningSettings
from dorl.segmentation import Segmenter
from dorl.tensorfiles import read_notes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_the_autoencoder_is_trained_on_what_is_not_left_out(labs: list[str], tmp_path: Path) -> None:
    lab = read_domain(labs[0].split("=")[1], name="harbour").take(range(6))
    name = Path(lab.table["path"].iat[0]).name
    chosen = choose([lab], {}, f"^{name}$")
    pictures = pictures_of(chosen, rendered=2, seed=1)
    assert len(pictures) == 7
    assert not any(picture.key.endswith(name) for picture in pictures)
    assert pictures[-1].load().shape == (256, 256, 3)  # type: ignore[union-attr]
    segmenter = Segmenter.load("tiny", device="cpu")
    settings = LearningSettings(steps=2, batch_size=4, drawn=1, warmup=1, drawing_steps=1)
    out = train_on_cells(pictures, segmenter, settings, tmp_path, seed=1, device="cpu", card={"left_out": 1})
    model = CrossDomainAutoencoder.load(out, device="cpu")
    assert model.config.channels == 322
    card = json.loads((tmp_path / "autoencoder-card.json").read_text())
    assert card["pictures"] == {"harbour": 5, "rendered": 2}
    assert (card["left_out"], card["seed"]) == (1, 1)
    assert model.alignment is None
    shared = learn_shared(model, chosen, segmenter, tmp_path, seed=1, notes={"seed": 1})
    again = CrossDomainAutoencoder.load(shared, device="cpu")
    assert again.alignment is not None
    assert again.description_digest() == model.description_digest()
    assert read_notes(shared) == {"seed": 1, "shared": {"harbour": 5}}
    assert shared.name == "tiny-autoencoder.safetensors"
    assert shared.stat().st_size < 12_000_000
