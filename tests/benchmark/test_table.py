from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dorl.benchmark.jobs import answers_of
from dorl.benchmark.table import method_intervals, score_table


def asked(rows: list[int]) -> dict[str, object]:
    """What is known of some cells of a lab of 200, every second of which is of class b."""
    true = [row % 2 for row in rows]
    return {"rows": rows, "true": true, "units": rows, "by_patient": False, "classes": ["a", "b"]}


def test_fits_of_other_cells_are_joined_by_their_rows() -> None:
    found = answers_of([(asked([3, 5, 6]), [1, 0, 0]), (asked([6, 8]), [1, 0])])
    assert found.true.tolist() == [1, 1, 0, 0]
    assert found.predicted.tolist() == [[1, 0, 0, -1], [-1, -1, 1, 0]]
    assert found.right.tolist() == [1, 0, 0.5, 1]


def test_methods_are_compared_with_the_best_of_their_protocol_and_pair() -> None:
    rng = np.random.default_rng(0)
    rows = list(range(200))

    def fits(wrong: float, seeds: int) -> list[tuple[dict[str, object], list[int]]]:
        return [(asked(rows), [abs(row % 2 - int(rng.random() < wrong)) for row in rows]) for _ in range(seeds)]

    answers = {
        ("unseen", "s", "t", name): answers_of(fits(wrong, seeds))
        for name, wrong, seeds in (("good", 0.1, 3), ("alike", 0.11, 3), ("bad", 0.4, 1))
    }
    answers["transductive", "s", "t", "bad"] = answers["unseen", "s", "t", "bad"]
    table = method_intervals(answers)
    assert table[table["best"]].groupby("protocol").size().to_dict() == {"unseen": 1, "transductive": 1}
    known = table[table["protocol"] == "unseen"].set_index("method")
    assert known.at["bad", "told_apart"]
    assert known.at["bad", "p_holm"] >= known.at["bad", "p_bootstrap"]
    frame = pd.DataFrame(
        [
            {"method": name, "train": "s", "test": "t", "seed": 0, "accuracy": known.at[name, "accuracy"]}
            for name in ("good", "alike", "bad")
        ]
    )
    lines = score_table(frame, "accuracy", table[table["protocol"] == "unseen"]).splitlines()
    low, high = 100 * known.at["bad", "accuracy_low"], 100 * known.at["bad", "accuracy_high"]
    assert lines[-1].startswith(f"| bad | {100 * known.at['bad', 'accuracy']:.1f} ({low:.1f}–{high:.1f}) |")
    assert sum("≈" in line for line in lines) == 1
    assert high - low == pytest.approx(13.6, abs=1.5)  # 2 · 1.96 · √(0.4 · 0.6 / 200)
