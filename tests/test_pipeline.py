"""Names of version 0.1 are found for one more release, with a warning."""

from __future__ import annotations

import pytest

import dorl
from dorl import pipeline


@pytest.mark.parametrize("name", sorted(pipeline._MODULES))
def test_an_old_name_is_the_new_one_and_warns(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"dorl\.pipeline\.{name} is dorl\..*\.{name} now"):
        found = getattr(pipeline, name)
    assert found.__module__ == f"dorl.{pipeline._MODULES[name]}"


def test_what_dorl_itself_gives_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    for name in dorl.__all__:
        assert getattr(dorl, name)
    assert not [warning for warning in recwarn if "dorl.pipeline" in str(warning.message)]


def test_a_name_that_never_stood_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing
