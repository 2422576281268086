from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dorl.baselines.cell import OfCells
from dorl.cells.views import Views

from .two_labs import TwoLabs

pytestmark = pytest.mark.usefixtures("one_thread")


def quick(**settings: Any) -> OfCells:
    return OfCells(**{"plain": 1, "restained": 1, "iterations": 0, **settings})


def test_it_learns_the_source_and_adapts_only_where_it_may(two_labs: TwoLabs, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = two_labs.source, two_labs.target
    monkeypatch.setattr("dorl.classification.views.FEWEST", 10)
    monkeypatch.setattr("dorl.classification.views.UNLIKE", 0.0)
    seen, unseen = (quick().fit(source, targets, 0)[0] for targets in ([target], []))
    assert seen.setting == f"1 + 1 views, adapted to {target.lab}"
    assert unseen.setting == "1 + 1 views"
    for fitted in (seen, unseen):
        assert (fitted.predict(source.cells) == source.labels).mean() > 0.9
        assert set(fitted.predict(target)) <= set(source.classes)
    assert (seen.predict(source.cells) == unseen.predict(source.cells)).all()


def test_the_autoencoder_is_tuned_on_labs_that_may_be_looked_at(two_labs: TwoLabs) -> None:
    source, target = two_labs.source, two_labs.target
    method = quick(iterations=2, features="learnt")
    bundled, tuned = (method._autoencoder(labs, 0) for labs in ([source.cells], [source.cells, target]))
    assert bundled.digest() != tuned.digest()
    assert tuned.digest() == method._autoencoder([source.cells, target], 0).digest()


@pytest.mark.parametrize("less", [{"restained": 0}, {"references": False}, {"adapt": False}])
def test_each_part_can_be_left_out(two_labs: TwoLabs, less: dict) -> None:
    source, target = two_labs.source, two_labs.target
    (fitted,) = quick(**less).fit(source, [target], 0)
    assert (fitted.predict(source.cells) == source.labels).mean() > 0.8


@pytest.mark.parametrize("features", ["s", "learnt"])
def test_classifiers_take_s_or_what_the_blocks_make_of_a_cell(two_labs: TwoLabs, features: Any) -> None:
    source, target = two_labs.source, two_labs.target
    method = quick(features=features, classifiers=("LR", "RF"))
    first, second = method.fit(source, [target], 0)
    assert (first.variant, second.variant) == ("LR", "RF")
    assert (first.predict(source.cells) == source.labels).mean() > 0.9
    taken = method._features(target, Views(1, 0), method._autoencoder([source.cells], 0))
    assert np.isfinite(taken).all()
    assert taken.shape[1:] == (1, {"s": 4 * (192 + 2 * (40 + 24)), "learnt": 3 * 192}[features])
