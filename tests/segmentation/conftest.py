"""Settings of these tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _small_networks(one_thread: None) -> None:
    """All of them run on one thread."""
