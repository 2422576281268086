from __future__ import annotations

import numpy as np
import pytest

from dorl.benchmark.methods.adaptation import Adapted

from .two_labs import TwoLabs

pytest.importorskip("skada", reason="of the extra 'benchmark'")
pytest.importorskip("skorch", reason="of the extra 'benchmark'")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["DANN", "MCC"])
def test_a_target_is_adapted_to_without_its_labels(two_labs: TwoLabs, name: str) -> None:
    method = Adapted(name, candidates=((0.1, False), (0.1, True)), epochs=8, batch_size=8)
    (fitted,) = method.fit(two_labs.source, [two_labs.target], seed=0)
    assert two_labs.right(fitted.predict(two_labs.target)) > 0.3  # five equal classes
    assert (fitted.predict(two_labs.source.cells) == two_labs.source.labels).mean() > 0.6
    assert fitted.chosen_by == "skada's DeepEmbeddedValidation"
    assert fitted.setting.startswith("weight 0.1, standardised ")
    (again,) = method.fit(two_labs.source, [two_labs.target], seed=0)
    np.testing.assert_array_equal(fitted.predict(two_labs.target), again.predict(two_labs.target))


def test_a_lab_smaller_than_a_batch_is_adapted_to(two_labs: TwoLabs) -> None:
    method = Adapted("MCC", candidates=((1.0, False),), epochs=1, batch_size=64)
    (fitted,) = method.fit(two_labs.source, [two_labs.target.take(range(5))], seed=0)
    assert len(fitted.predict(two_labs.target)) == 30
    assert fitted.chosen_by == "fixed beforehand"
