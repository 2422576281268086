from __future__ import annotations

from pathlib import Path

import pytest

from dorl.commands.verify import verify
from dorl.errors import InputError


def test_a_fresh_run_would_be_the_same_again_and_says_what_was_changed(run: Path, tmp_path: Path) -> None:
    assert verify(run) == []
    (run / "results.csv").write_text("")
    assert verify(run) == ["results.csv: changed since it was written"]
    with pytest.raises(InputError, match="no such folder"):
        verify(tmp_path / "nothing")
