from __future__ import annotations

import numpy as np
import pytest

from dorl.benchmark.methods.selection import SCORERS, choose_on_source, choose_without_labels, split_source
from dorl.errors import InputError


def test_the_split_holds_out_every_common_class_and_learns_the_rest() -> None:
    numbers = np.array([0] * 8 + [1] * 12 + [2])
    learn, held = split_source(numbers, seed=0)
    assert sorted([*learn, *held]) == list(range(21))
    assert set(numbers[held]) == {0, 1}
    assert 20 in learn  # a single cell is learnt from
    with pytest.raises(InputError, match="too few source cells"):
        split_source(np.array([0, 0, 1]), seed=0)


def test_the_best_candidate_on_held_out_source_cells_is_taken() -> None:
    true = np.array(["a", "a", "b"])
    said = {1: np.array(["a", "b", "a"]), 2: true, 3: true}
    assert choose_on_source([1, 2, 3], said.__getitem__, true) == (2, [0.25, 1.0, 1.0])


@pytest.mark.parametrize("scorer", list(SCORERS))
def test_label_free_scorers_choose_without_the_targets_labels(scorer: str) -> None:
    skada = pytest.importorskip("skada", reason="of the extra 'benchmark'")
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, 90)
    centres = 3 * rng.normal(size=(3, 6))
    source, target = (
        (centres[classes] + rng.normal(size=(len(classes), 6))).astype(np.float32)
        for classes in (numbers, rng.integers(0, 3, 60))
    )
    seen = []

    def fit(strength: float, rows: np.ndarray) -> tuple[object, np.ndarray, np.ndarray]:
        seen.append(len(rows))
        model = skada.make_da_pipeline(LogisticRegression(C=strength))
        y = np.concatenate([numbers[rows], np.full(60, -1)])
        domain = np.concatenate([np.full(len(rows), 1), np.full(60, -2)])
        return model.fit(np.concatenate([source[rows], target]), y, sample_domain=domain), source, target

    best, chosen_by = choose_without_labels([1e-6, 1.0], fit, numbers, scorer=scorer, seed=0)
    assert best in (1e-6, 1.0)
    assert chosen_by == f"skada's {SCORERS[scorer]}"
    assert max(seen) < 90  # the scorer's source cells weren't learnt
    if scorer in ("dev", "entropy"):
        assert best == 1.0  # next to no weight at all says nothing of any cell


def test_one_candidate_needs_no_scorer() -> None:
    assert choose_without_labels([7], None, np.zeros(3, int), scorer="dev", seed=0)[0] == 7  # type: ignore[arg-type]
