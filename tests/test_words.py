from __future__ import annotations

import pytest

from dorl.words import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 folds"), (1, "1 fold"), (2, "2 folds")])
def test_a_noun_has_an_s_unless_there_is_one(number: int, text: str) -> None:
    assert counted(number, "fold") == text


def test_a_noun_may_have_another_plural_and_a_verb() -> None:
    assert counted(1, "class is", "classes are") == "1 class is"
    assert counted(3, "class is", "classes are") == "3 classes are"
