from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dorl.domains import Domain
from dorl.errors import InputError
from dorl.run.classes import at_level, check_classes


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["neutrophil", "griffin"], "class 'griffin' is unknown: give some of"),
        (["monocyte"], "classes are 'monocyte' alone: give two or more"),
        (["neutrophil", "neutrophil_banded"], "'neutrophil_banded' is a kind of 'neutrophil': give one of the two"),
    ],
)
def test_classes_that_can_not_be_learnt_together_are_refused(classes: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_classes(classes)


def test_labels_are_taken_up_to_the_classes_and_others_count_as_unknown() -> None:
    labels = ["neutrophil_banded", "monocyte", "erythroblast", None, "neutrophil"]
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(5)], "label": labels})
    lab = Domain("mine", Path("nowhere"), "flat", table)
    taken = at_level(lab, check_classes(["neutrophil", "monocyte"]))
    assert taken.labels.tolist() == ["neutrophil", "monocyte", None, None, "neutrophil"]
    assert taken.classes == ("monocyte", "neutrophil")
    assert at_level(lab, check_classes([])) is lab
