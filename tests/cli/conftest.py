"""Settings of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import typer.main


@pytest.fixture(autouse=True, scope="module")
def _commands_made_once() -> Iterator[None]:
    """Typer makes all commands anew, the same, each time that one is run: a third of the time of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield
