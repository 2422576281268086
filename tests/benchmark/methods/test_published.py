from __future__ import annotations

import numpy as np
import pytest

from dorl.benchmark.methods.cells import PublishedCells
from dorl.benchmark.methods.published import Published

from .two_labs import TwoLabs


def test_cells_of_several_labs_come_in_the_order_asked_for(two_labs: TwoLabs) -> None:
    cells = PublishedCells([two_labs.source.cells, two_labs.target])
    assert len(cells) == 60
    (crops,) = cells.batch([31, 2, 59, 0], "crops")
    np.testing.assert_array_equal(crops[[1, 3]], two_labs.source.cells.published([2, 0], "crops")[0])
    np.testing.assert_array_equal(crops[[0, 2]], two_labs.target.published([1, 29], "crops")[0])
    assert cells.domain.tolist() == [0] * 30 + [1] * 30


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("unseen", [False, True])
def test_autoencoder_and_classifiers(two_labs: TwoLabs, unseen: bool) -> None:
    method = Published(iterations=3, classifiers=("LR", "RF"), device="cpu")
    fitted = method.fit(two_labs.source, [] if unseen else [two_labs.target], seed=0)
    assert [one.variant for one in fitted] == ["LR", "RF"]
    assert fitted[0].setting.startswith("small autoencoder, 3 iterations")
    assert set(fitted[0].predict(two_labs.target)) <= set(two_labs.source.classes)
