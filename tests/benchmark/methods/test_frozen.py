from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from dorl.benchmark.methods.frozen import Frozen, PerLab

from .two_labs import TwoLabs


@dataclass
class Rescaled:
    """A lab whose tokens are on another scale."""

    store: object

    def __len__(self) -> int:
        return len(self.store)  # type: ignore[arg-type]

    def batch(self, indices: np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        arrays = self.store.batch(indices, *names)  # type: ignore[attr-defined]
        return tuple(
            3 * array.astype(np.float32) + 2 if name == "tokens" else array
            for name, array in zip(names, arrays, strict=True)
        )


def test_frozen_features_hold_from_lab_to_lab_and_need_no_target(two_labs: TwoLabs) -> None:
    (fitted,) = Frozen().fit(two_labs.source, [], seed=0)
    assert two_labs.right(fitted.predict(two_labs.target)) > 0.4  # five equal classes
    assert fitted.chosen_by == "source validation"
    assert fitted.setting.startswith("C=")
    (again,) = Frozen().fit(two_labs.source, [two_labs.target], seed=0)
    np.testing.assert_array_equal(fitted.predict(two_labs.target), again.predict(two_labs.target))


def test_standardising_per_lab_undoes_a_labs_scale(two_labs: TwoLabs) -> None:
    pytest.importorskip("skada", reason="of the extra 'benchmark'")
    other = replace(two_labs.target, square=Rescaled(two_labs.target.square))  # type: ignore[arg-type]
    method = PerLab(strengths=(0.1,))
    (plain,) = method.fit(two_labs.source, [two_labs.target], seed=0)
    (scaled,) = method.fit(two_labs.source, [other], seed=0)
    assert two_labs.right(plain.predict(two_labs.target)) > 0.4
    assert (plain.predict(two_labs.target) == scaled.predict(other)).mean() > 0.9
    # statistics are those of the whole lab, so that a cell's class doesn't depend on what it is asked with
    assert plain.predict(two_labs.target.take([3]))[0] == plain.predict(two_labs.target)[3]
