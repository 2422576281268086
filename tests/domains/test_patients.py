from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dorl.domains import Domain
from dorl.domains.patients import with_patients
from dorl.errors import InputError

PATHS = ["basophil/P01_1.png", "basophil/P01_2.png", "monocyte/P02_1.png", "monocyte/other.png"]


def lab(**columns: object) -> Domain:
    return Domain("one", Path("nowhere"), "folders", pd.DataFrame({"path": PATHS, **columns}))


@pytest.mark.parametrize("pattern", [r"P\d+", r"/(P\d+)_", r"(?P<patient>P\d+)_(\d)", r"(\d)?(?P<patient>P\d\d)"])
def test_the_named_group_counts_else_the_first_else_the_match(pattern: str) -> None:
    (found,) = with_patients([lab()], pattern)
    assert found.table["patient"].tolist() == ["P01", "P01", "P02", None]
    assert found.remarks == ("2 patients, of 3 images by their paths; 1 image without one",)


def test_patients_that_are_known_stay() -> None:
    (found,) = with_patients([lab(patient=["a", None, "b", "c"])], r"P\d+")
    assert found.table["patient"].tolist() == ["a", "P01", "b", "c"]
    assert with_patients([lab()], "")[0].table["patient"].isna().all()


@pytest.mark.parametrize(("pattern", "message"), [("(", "no regular expression"), ("X[0-9]", "found in no path")])
def test_a_pattern_that_can_t_be_used_is_told(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        with_patients([lab()], pattern)
    assert "\n" not in str(caught.value)
