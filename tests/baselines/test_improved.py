from __future__ import annotations

import numpy as np
import pytest

from dorl.baselines.improved import Improved
from dorl.views import Views

from .two_labs import TwoLabs

pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_learns_the_source_and_adapts_only_where_it_may(two_labs: TwoLabs, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = two_labs.source, two_labs.target
    monkeypatch.setattr("dorl.classification.views.FEWEST", 10)
    monkeypatch.setattr("dorl.classification.views.UNLIKE", 0.0)
    seen, unseen = (Improved(restained=1).fit(source, targets, 0)[0] for targets in ([target], []))
    assert seen.setting == f"2 + 1 views, adapted to {target.lab}"
    assert unseen.setting == "2 + 1 views"
    for fitted in (seen, unseen):
        assert (fitted.predict(source.cells) == source.labels).mean() > 0.9
        assert set(fitted.predict(target)) <= set(source.classes)
    assert (seen.predict(source.cells) == unseen.predict(source.cells)).all()


@pytest.mark.parametrize("less", [{"restained": 0}, {"references": False}, {"parts": False}, {"adapt": False}])
def test_each_part_can_be_left_out(two_labs: TwoLabs, less: dict) -> None:
    source, target = two_labs.source, two_labs.target
    method = Improved(**{"plain": 1, "restained": 1, **less})
    (fitted,) = method.fit(source, [target], 0)
    widths = {True: 4, False: 1}
    assert method._views(target, Views(method.plain, 0)).shape[2] == widths[method.parts] * (192 + 40 + 24)
    assert (fitted.predict(source.cells) == source.labels).mean() > 0.8


def test_the_same_seed_gives_the_same_predictions(two_labs: TwoLabs) -> None:
    source, target = two_labs.source, two_labs.target
    first, second = (Improved(restained=1).fit(source, [target], 4)[0].predict(target) for _ in range(2))
    assert np.array_equal(first, second)
