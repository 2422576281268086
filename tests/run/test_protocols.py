from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dorl.commands.fit import evaluate
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.run.features import Represented
from dorl.run.folder import read_config
from dorl.run.protocols import check_protocols, lab_features, run_protocols, trainable

TWO = ["monocyte"] * 8 + ["eosinophil"] * 8


def lab(name: str, labels: Sequence[str | None]) -> Domain:
    paths = [f"{i}.png" for i in range(len(labels))]
    return Domain(name, Path("nowhere"), "flat", pd.DataFrame({"path": paths, "label": labels}))


def represented(labs: list[Domain], published: Path) -> Represented:
    """Labs with made-up features: monocytes lie apart from the rest."""
    cells = pd.concat([one.table.assign(domain=one.name) for one in labs], ignore_index=True)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(cells), 4)) + 6 * (cells["label"] == "monocyte").to_numpy()[:, None]
    nothing: Any = None
    config = read_config(published)
    return Represented(labs, config, nothing, cells, features.astype(np.float32), nothing, {}, nothing)


def test_what_cannot_be_run_is_refused_before_any_work() -> None:
    labelled, bare, single = lab("a", TWO), lab("b", [None] * 9), lab("c", ["basophil"] * 9)
    with pytest.raises(InputError, match="'magic' is unknown: give transductive or unseen"):
        check_protocols(["magic"], [labelled])
    with pytest.raises(InputError, match="no protocol given"):
        check_protocols([], [labelled])
    with pytest.raises(InputError, match="no lab has labels of two classes"):
        check_protocols(["transductive"], [bare, single])
    with pytest.raises(InputError, match="two labs with labels"):
        check_protocols(["unseen"], [labelled, bare])
    check_protocols(["transductive"], [labelled, bare])
    check_protocols(["transductive", "unseen"], [labelled, single])


def test_a_lab_of_one_class_is_tested_on_only_and_one_without_labels_not_at_all(published: Path) -> None:
    labs = [lab("a", TWO), lab("single", ["monocyte"] * 5), lab("bare", [None] * 5)]
    assert trainable(labs) == ["a"]
    result = run_protocols(represented(labs, published))
    assert set(zip(result.results["train"], result.results["test"], strict=True)) == {("a", "a"), ("a", "single")}
    assert len(result.results) == 2 * 6 * 2
    assert result.results["accuracy"].mean() > 0.9
    assert "single: has a single class: tested on, not trained on." in result.notes


def test_features_are_dealt_to_their_labs(published: Path) -> None:
    made = represented([lab("a", TWO), lab("b", ["basophil", None])], published)
    dealt = lab_features(made, ["b"])
    assert list(dealt) == ["b"]
    np.testing.assert_array_equal(dealt["b"].X, made.features[16:])
    assert dealt["b"].y.tolist() == ["basophil", None]


@pytest.mark.slow
def test_unseen_lab_rows_stand_beside_the_published_ones(labs: list[str], tmp_path: Path) -> None:
    results = evaluate(labs, out=tmp_path / "e", protocols=["transductive", "unseen"], iterations=3, folds=2)
    unseen = results[results["method"] == "DoRL (unseen lab)"]
    assert set(zip(unseen.train, unseen.test, strict=True)) == {("harbour", "dune"), ("dune", "harbour")}
    assert "DoRL (unseen lab)-RF" in (tmp_path / "e" / "table.md").read_text()
    kept = {path: CrossDomainAutoencoder.load(path).alignment for path in tmp_path.rglob("autoencoder.safetensors")}
    assert len(kept) == 3
    for path, alignment in kept.items():  # a bundled lab may be the tested one
        assert alignment is not None
        assert bool(alignment.known) == (path.parent == tmp_path / "e")


def test_one_lab_is_left_out_of_several_that_are_learnt_together(published: Path) -> None:
    fine = ["neutrophil_banded"] * 8 + ["monocyte"] * 8
    labs = [lab("a", TWO), lab("b", fine), lab("c", ["neutrophil"] * 8 + ["monocyte"] * 8)]
    made = represented(labs, published)
    made.config = made.config.model_copy(update={"protocols": ["left-out"]})
    result = run_protocols(made)
    assert set(zip(result.results["train"], result.results["test"], strict=True)) == {
        ("b+c", "a"),
        ("a+c", "b"),
        ("a+b", "c"),
    }
    # b's banded neutrophils and c's neutrophils are learnt as neutrophils, and eosinophils of a aren't known to them
    assert set(result.answers["b+c", "a", "DoRL (one lab left out)", "LR"].classes) == {"monocyte"}
    assert set(result.results["method"]) == {"DoRL (one lab left out)"}
    with pytest.raises(InputError, match="'left-out' needs three labs"):
        check_protocols(["left-out"], labs[:2])


def test_a_split_that_can_t_be_followed_is_refused_before_any_work() -> None:
    labelled = lab("a", TWO)
    with pytest.raises(InputError, match="a: its column split leaves 0 labelled cells to test"):
        check_protocols(["transductive"], [labelled], split=True)
