from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from dorl.cells import CellStore
from dorl.domains import Domain, read_domains
from dorl.domains.sources import ArraySource
from dorl.errors import InputError
from dorl.run.features import check_labels, domain_index, learnt_level, readable, write_features
from dorl.run.settings import fingerprint


def lab(name: str, labels: Sequence[str | None]) -> Domain:
    paths = [f"{i}.png" for i in range(len(labels))]
    return Domain(name, Path("nowhere"), "flat", pd.DataFrame({"path": paths, "label": labels}))


def test_a_coarse_and_a_fine_lab_are_learnt_at_the_coarse_level() -> None:
    level = learnt_level(["neutrophil", "neutrophil_banded", "neutrophil_segmented", "monocyte"])
    assert level.classes == ("monocyte", "neutrophil")
    assert level.project_all(["neutrophil_banded", "monocyte"]).tolist() == ["neutrophil", "monocyte"]


def test_fine_labs_alone_are_learnt_as_fine_as_they_are() -> None:
    assert set(learnt_level(["neutrophil_banded", "neutrophil_segmented"]).classes) == {
        "neutrophil_banded",
        "neutrophil_segmented",
    }


def test_a_fingerprint_changes_with_files_labels_and_layout() -> None:
    one = lab("a", ["monocyte", None])
    others = [
        lab("a", ["monocyte", "basophil"]),
        lab("a", ["monocyte"]),
        Domain("a", one.root, "manifest", one.table),
        Domain("a", one.root, "flat", one.table.assign(mask=["m.png", None])),
    ]
    assert fingerprint(one) == fingerprint(lab("renamed", ["monocyte", None]))
    assert len({fingerprint(one), *map(fingerprint, others)}) == 5


def test_a_fingerprint_changes_with_what_an_image_shows(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["0.png"]})
    (tmp_path / "0.png").write_bytes(b"one")
    before = fingerprint(Domain("a", tmp_path, "flat", table))
    assert fingerprint(Domain("a", tmp_path, "flat", table)) == before
    (tmp_path / "0.png").write_bytes(b"two")  # as long
    assert fingerprint(Domain("a", tmp_path, "flat", table)) != before
    small, large = (ArraySource({"0.png": np.zeros((side, side, 3), np.uint8)}) for side in (28, 64))
    assert fingerprint(Domain("a", tmp_path, "bloodmnist", table, source=small)) != fingerprint(
        Domain("a", tmp_path, "bloodmnist", table, source=large)
    )


def test_labels_that_cannot_be_divided_or_learnt_are_refused() -> None:
    labs = [lab("few", ["monocyte"] * 3 + [None] * 9), lab("bare", [None] * 9)]
    with pytest.raises(InputError, match="few: 3 labelled images are fewer than 5 folds"):
        check_labels(labs, 5, ["few"])
    with pytest.raises(InputError, match="source 'else' is no lab here: give one of few, bare"):
        check_labels(labs, 3, ["else"])
    with pytest.raises(InputError, match="source 'bare' has no labels"):
        check_labels(labs, 3, ["bare"])
    check_labels(labs, 3, ["few"])


def test_only_the_images_that_were_stored_go_on(fitted: Path, labs: list[str]) -> None:
    store = CellStore.open(fitted / "cells")
    harbour, dune = read_domains(labs)
    gone = pd.concat([dune.table, pd.DataFrame({"path": ["gone.png"], "label": ["basophil"]})])
    used = readable([harbour, Domain("dune", dune.root, "manifest", gone)], store)
    assert [len(one) for one in used] == [30, 30]
    assert "basophil" not in used[1].classes
    with pytest.raises(InputError, match="other: not one of its 2 images could be read"):
        readable([lab("other", [None, None])], store)


def test_cells_are_numbered_by_the_order_of_the_labs() -> None:
    cells = pd.DataFrame({"domain": ["b", "a", "b"]})
    assert domain_index([lab("a", [None]), lab("b", [None])], cells).tolist() == [1, 0, 1]


def test_features_are_written_with_gaps_where_nothing_is_known(tmp_path: Path) -> None:
    cells = pd.DataFrame({"key": ["a/1", "a/2"], "path": ["1", "2"], "domain": "a", "label": ["monocyte", None]})
    cells = cells.assign(split=None, patient=["p", np.nan], cell_found=[True, False])
    write_features(tmp_path / "features.h5ad", np.ones((2, 3), np.float32), cells)
    back = anndata.read_h5ad(tmp_path / "features.h5ad")
    assert back.obs_names.tolist() == ["a/1", "a/2"]
    assert back.obs["label"].isna().tolist() == [False, True]
    assert back.obs["split"].isna().all()
    assert back.obs["patient"].tolist()[0] == "p"
    assert back.obs["cell_found"].tolist() == [True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["features.h5ad"]
