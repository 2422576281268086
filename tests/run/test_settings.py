from __future__ import annotations

import inspect
from typing import Any

import pytest

from dorl.commands.fit import evaluate, fit
from dorl.errors import InputError
from dorl.run.settings import FitSettings


@pytest.mark.parametrize("function", [fit, evaluate])
def test_each_keyword_is_a_setting_of_the_same_default(function: Any) -> None:
    given = inspect.signature(function).parameters
    defaults = {name: parameter.default for name, parameter in given.items() if name not in ("labs", "out")}
    assert defaults.items() <= {name: field.default for name, field in FitSettings.model_fields.items()}.items()


def test_every_setting_is_a_keyword() -> None:
    known = {*inspect.signature(fit).parameters, *inspect.signature(evaluate).parameters}
    assert set(FitSettings.model_fields) <= known


def test_the_labs_and_the_folder_are_no_settings() -> None:
    assert FitSettings.of({"labs": ["a"], "out": "run", "folds": 3}) == FitSettings(folds=3)


@pytest.mark.parametrize(
    ("name", "value"), [("folds", "many"), ("classes", "neutrophil"), ("iterations", 1.5), ("segmenter", None)]
)
def test_a_setting_of_another_type_is_refused_in_one_line(name: str, value: object) -> None:
    with pytest.raises(
        InputError, match=f"^{name} is {value!r}: input should be|^{name} is {value!r}: 'str'"
    ) as caught:
        FitSettings.of({name: value})
    assert "\n" not in str(caught.value)
