"""`dorl embed`: frozen features, averaged inside the masks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from torch.nn import functional as F

from dorl.cells.views import Views
from dorl.commands.embed import embed
from dorl.domains import read_domain, read_domains
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.representation.features import see_cells
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells


@pytest.fixture(scope="module")
def made(labs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "out"
    embed(labs, out=out, features="tokens")
    return out


def test_with_tiny_the_feature_is_s_of_its_autoencoder(labs: list[str], tmp_path: Path) -> None:
    lab = read_domains(labs[:1])[0].take(range(5))
    found = embed([lab], out=tmp_path / "out")
    autoencoder = CrossDomainAutoencoder.load("tiny", device="cpu")
    assert found.X.shape == (5, autoencoder.config.feature_width)
    segmenter = Segmenter.load("tiny", device="cpu")
    masks = [cell.mask for cell in find_central_cells(segmenter, [lab.load(0)])]
    seen = see_cells(segmenter, autoencoder, [lab.load(0)], masks, [Views(2, 0)], [""])
    expected = autoencoder.completed(seen.descriptions[0])[:, :16].astype(float).mean(0)
    assert found.X[0] == pytest.approx(expected, abs=0.02)
    with pytest.raises(InputError, match="give auto, s or tokens"):
        embed(labs[:1], out=tmp_path / "other", features="numbers")


def test_features_open_as_anndata_with_labs_and_labels(made: Path, labs: list[str]) -> None:
    features = anndata.read_h5ad(made / "features.h5ad")
    assert features.X.shape == (60, 192)
    assert features.obs["domain"].tolist() == ["harbour"] * 30 + ["dune"] * 30
    assert features.obs["label"].tolist()[:30] == read_domain(labs[0].split("=")[1]).labels.tolist()


def test_a_feature_is_the_mean_of_the_tokens_in_the_mask(made: Path, labs: list[str]) -> None:
    lab = read_domain(labs[0].split("=")[1])
    out = Segmenter.load("tiny", device="cpu")(lab.load(0)[None])
    mask = F.interpolate(out.masks[None].float(), (224, 224), mode="nearest")
    cover = F.avg_pool2d(mask, 16)[0, 0]
    expected = (out.tokens[0] * cover).sum((1, 2)) / cover.sum()
    found = anndata.read_h5ad(made / "features.h5ad").X[0]
    assert np.corrcoef(found, expected)[0, 1] > 0.999


def test_a_second_call_keeps_what_is_there_and_other_labs_are_refused(
    made: Path, labs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (made / "cells" / "tokens.bin").read_bytes()
    monkeypatch.setattr("dorl.segmentation.Segmenter.__call__", None)  # nothing is left for it to do
    embed(labs, out=made, features="tokens")
    assert (made / "cells" / "tokens.bin").read_bytes() == before
    with pytest.raises(InputError, match="holds cells of dune too"):
        embed(labs[:1], out=made, features="tokens")


def test_a_second_call_takes_the_images_and_labels_as_they_are_now(
    made: Path, labs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    before = anndata.read_h5ad(out / "features.h5ad")
    harbour, dune = read_domains(labs)
    table = harbour.table.assign(label=harbour.table["label"].mask(harbour.table.index == 3, "basophil"))
    monkeypatch.setattr("dorl.segmentation.Segmenter.__call__", None)
    embed([replace(harbour, table=table).take(range(1, 30)), dune], out=out, features="tokens")
    after = anndata.read_h5ad(out / "features.h5ad")
    assert after.obs["label"].tolist()[:3] == [before.obs["label"].iat[1], before.obs["label"].iat[2], "basophil"]
    assert after.obs["path"].tolist() == before.obs["path"].tolist()[1:]
    np.testing.assert_array_equal(after.X, before.X[1:])


def test_another_labs_folder_stays_as_it_was(made: Path, labs: list[str], tmp_path: Path) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    other = replace(read_domains(labs)[0], name="other")
    with pytest.raises(InputError, match="holds cells of dune, harbour too"):
        embed([other], out=out)
    assert (out / "cells" / "index.jsonl").read_bytes() == (made / "cells" / "index.jsonl").read_bytes()


def test_a_run_folder_is_not_written_into(fitted: Path, labs: list[str]) -> None:
    with pytest.raises(InputError, match="holds a run of dorl"):
        embed(labs, out=fitted)


def test_an_image_that_changed_is_embedded_anew(
    labs: list[str], rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, out = tmp_path / "lab", tmp_path / "out"
    lab.mkdir()
    images = sorted((rendered / "dune" / "images").iterdir())
    for number in range(3):
        shutil.copy(images[number], lab / f"{number}.png")
    embed([f"lab={lab}"], out=out)
    before = anndata.read_h5ad(out / "features.h5ad")
    shutil.copy(images[7], lab / "1.png")
    embed([f"lab={lab}"], out=out)
    assert "1 image has changed since their cells were embedded" in capsys.readouterr().err
    after = anndata.read_h5ad(out / "features.h5ad")
    fresh = tmp_path / "fresh"
    embed([f"lab={lab}"], out=fresh)
    expected = anndata.read_h5ad(fresh / "features.h5ad")
    assert list(after.obs_names) == ["lab/0.png", "lab/1.png", "lab/2.png"]
    np.testing.assert_allclose(after[expected.obs_names].X, expected.X, rtol=0.02, atol=0.5)
    assert np.abs(before[after.obs_names].X - after.X)[1].max() > np.abs(before[after.obs_names].X - after.X)[0].max()
    embed([f"lab={lab}"], out=out)
    assert "have changed" not in capsys.readouterr().err
