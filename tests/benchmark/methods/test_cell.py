from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dorl.benchmark.methods.cell import OfCells
from dorl.cells.views import Views

from .two_labs import TwoLabs

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def quick(**settings: Any) -> OfCells:
    return OfCells(**{"plain": 1, "restained": 1, **settings})


def test_it_learns_the_source_and_adapts_only_where_it_may(two_labs: TwoLabs, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = two_labs.source, two_labs.target
    monkeypatch.setattr("dorl.classification.views.MIN_ADAPTED_CELLS", 10)
    monkeypatch.setattr("dorl.classification.unlike.Unlike.of_another_lab", lambda self, X: True)
    (seen,) = quick().fit(source, [target], 0)
    (unseen,) = quick().fit(replace(source, unseen=True), [target], 0)  # a lab that isn't tested
    assert seen.setting == f"1 + 1 views, adapted to {target.lab}"
    assert unseen.setting == "1 + 1 views"
    for fitted in (seen, unseen):
        assert (fitted.predict(source.cells) == source.labels).mean() > 0.9
        assert set(fitted.predict(target)) <= set(source.classes)


def test_in_unseen_s_is_learnt_from_the_source_alone(two_labs: TwoLabs) -> None:
    source = replace(two_labs.source, unseen=True)
    (first,) = quick(classifiers=("LR",)).fit(source, [], 0)
    bundled = quick()._autoencoder(source.cells.backbone, 0)
    kept = bundled.alignment
    assert kept is not None
    bundled.forget_labs()
    bundled.align([quick()._described(source.cells, Views(1, 1), bundled)], plain=1)
    learnt = bundled.completed(quick()._described(source.cells, Views(1, 0), bundled))
    assert learnt.shape[2] == 16 + 1024
    assert (first.predict(source.cells) == source.labels).mean() > 0.7
    again = bundled.alignment
    assert again is not None
    assert not np.allclose(again.means, kept.means)


@pytest.mark.parametrize("less", [{"restained": 0}, {"references": False}, {"adapt": False}])
def test_each_part_can_be_left_out(two_labs: TwoLabs, less: dict) -> None:
    source, target = two_labs.source, two_labs.target
    (fitted,) = quick(**less).fit(source, [target], 0)
    assert (fitted.predict(source.cells) == source.labels).mean() > 0.8


@pytest.mark.parametrize("features", ["s", "description", "learnt"])
def test_classifiers_take_s_or_what_stands_in_its_place(two_labs: TwoLabs, features: Any) -> None:
    source, target = two_labs.source, two_labs.target
    method = quick(features=features, classifiers=("LR", "RF"))
    first, second = method.fit(source, [target], 0)
    assert (first.variant, second.variant) == ("LR", "RF")
    assert (first.predict(source.cells) == source.labels).mean() > 0.7
    assert (second.predict(source.cells) == source.labels).mean() > 0.9
    taken = method._described(target, Views(1, 0), method._autoencoder(target.backbone, 0))
    assert np.isfinite(taken).all()
    assert taken.shape[1:] == (1, 3 * 192 if features == "learnt" else 4 * (192 + 40 + 24))
