from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.cells import CellStore
from dorl.cells.views import Views
from dorl.domains import Domain, read_domain
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.run.embedding import embed, prepared, segment_small, stored_form
from dorl.segmentation import Segmenter
from dorl.segmentation.segmenter import SegmenterOutput


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("tiny")


@pytest.fixture
def lab(labs: list[str]) -> Domain:
    return read_domain(labs[0].split("=")[1], name="harbour").take(range(5))


def test_cells_stand_in_the_labs_order_with_what_is_known_of_them(
    segmenter: Segmenter, lab: Domain, tmp_path: Path
) -> None:
    made = embed([lab], segmenter, tmp_path / "cells", source={})
    table = made.store.table
    assert table["key"].tolist() == [lab.key(i) for i in range(5)]
    assert table["label"].tolist() == lab.labels.tolist()
    assert set(zip(table["height"], table["width"], strict=True)) == {(128, 128)}
    assert made.left_out == []
    assert made.without_cell == 0


def test_a_cell_is_the_same_alone_and_in_the_store(segmenter: Segmenter, lab: Domain, tmp_path: Path) -> None:
    store = embed([lab], segmenter, tmp_path / "cells", source={}).store
    tokens, masks, crops = segment_small(segmenter, prepared([lab.load(3)], segmenter.image_size))
    stored = store.batch([3], "tokens", "masks", "crops")
    spread = tokens.astype(float).std()  # which half precision can't hold
    assert np.abs(tokens.astype(float) - stored[0]).max() < 0.05 * spread
    assert (masks == stored[1]).mean() > 0.999
    assert crops.shape == stored[2].shape == (1, 128, 128, 3)
    assert tokens.dtype == np.float16


def test_what_is_stored_is_not_made_again(
    segmenter: Segmenter, lab: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed([lab.take(range(3))], segmenter, tmp_path / "cells", source={})
    sizes = []

    def counted(out: SegmenterOutput, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sizes.append(len(images))
        return stored_form(out, images)

    monkeypatch.setattr("dorl.run.embedding.stored_form", counted)
    assert len(embed([lab], segmenter, tmp_path / "cells", source={}).store) == 5
    assert sizes == [2]


def test_a_broken_image_is_left_out_with_its_reason_and_the_rest_is_stored(
    segmenter: Segmenter, lab: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in lab.table["path"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((lab.root / path).read_bytes())
    last = lab.table["path"].iat[4]
    (tmp_path / last).write_bytes((lab.root / last).read_bytes()[:3000])
    made = embed([Domain("mine", tmp_path, "flat", lab.table)], segmenter, tmp_path / "cells", source={})
    assert made.store.table["path"].tolist() == lab.table["path"].tolist()[:4]
    ((key, reason),) = made.left_out
    assert key == f"mine/{last}"
    assert reason.startswith("damaged or truncated")
    assert f"left out: mine/{last}: damaged" in capsys.readouterr().err


def test_an_image_without_a_cell_is_stored_and_counted(
    segmenter: Segmenter, lab: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(out: SegmenterOutput, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tokens, masks, crops = stored_form(out, images)
        masks[0] = False
        return tokens, masks, crops

    monkeypatch.setattr("dorl.run.embedding.stored_form", blind)
    made = embed([lab.take(range(2))], segmenter, tmp_path / "cells", source={})
    assert made.store.table["cell_found"].tolist() == [False, True]
    assert made.without_cell == 1


def test_cells_of_other_weights_are_refused(segmenter: Segmenter, lab: Domain, tmp_path: Path) -> None:
    embed([lab.take([0])], segmenter, tmp_path / "cells", source={"segmenter": "a"})
    with pytest.raises(InputError, match="other weights"):
        embed([lab], segmenter, tmp_path / "cells", source={"segmenter": "b"})
    assert len(CellStore.open(tmp_path / "cells")) == 1


@pytest.fixture(scope="module")
def autoencoder() -> CrossDomainAutoencoder:
    return CrossDomainAutoencoder.load("tiny", device="cpu")


def test_views_of_labelled_cells_are_restained_where_that_is_asked_for(
    segmenter: Segmenter, autoencoder: CrossDomainAutoencoder, lab: Domain, tmp_path: Path
) -> None:
    unlabelled = Domain("dune", lab.root, lab.layout, lab.table.assign(label=None).iloc[:2])
    settings = {"autoencoder": autoencoder, "views": Views(2, 1), "learnt": ["harbour"]}
    store = embed([lab, unlabelled], segmenter, tmp_path, source={}, **settings).store
    (views,) = store.batch(range(7), "views")
    assert views.shape == (7, 3, autoencoder.config.described_width)
    assert views.dtype == np.float16
    assert np.isfinite(views[:, :2]).all()
    assert np.isfinite(views[:5, 2]).all()
    assert np.isnan(views[5:, 2]).all()
    files = sum(file.stat().st_size for file in tmp_path.iterdir() if file.is_file())
    assert files < 7 * 40_000  # a cell takes little room
    assert not (tmp_path / "tokens.bin").exists()


def test_a_cells_views_do_not_depend_on_where_a_run_was_stopped(
    segmenter: Segmenter, autoencoder: CrossDomainAutoencoder, lab: Domain, tmp_path: Path
) -> None:
    settings = {"source": {}, "autoencoder": autoencoder, "views": Views(1, 2), "learnt": ["harbour"], "seed": 3}
    whole = embed([lab], segmenter, tmp_path / "whole", **settings).store
    embed([lab.take(range(3))], segmenter, tmp_path / "parts", **settings)
    parts = embed([lab], segmenter, tmp_path / "parts", **settings).store
    first, second = (store.batch(range(5), "views")[0].astype(float) for store in (whole, parts))
    assert np.abs(first - second).max() < 0.02 * first.std()
