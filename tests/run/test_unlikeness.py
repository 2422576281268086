from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.classification.unlike import Unlike
from dorl.errors import InputError
from dorl.run.unlikeness import load_unlike, save_unlike


def test_what_is_read_says_what_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[rng.integers(0, 2, 90)]
    X = rng.normal(size=(90, 8)) + 3 * (y == "a")[:, None]
    unlike = Unlike.fit(X, y)
    assert unlike is not None
    save_unlike(unlike, tmp_path / "unlike.safetensors")
    again = load_unlike(tmp_path / "unlike.safetensors")
    assert again is not None
    assert again.classes == ("a", "b")
    assert again.distance(X) == pytest.approx(unlike.distance(X), rel=1e-6)
    assert again.of_another_lab(X + 9) == unlike.of_another_lab(X + 9)


def test_no_file_is_no_answer_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    file = tmp_path / "unlike.safetensors"
    assert load_unlike(file) is None
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged; fit again"):
        load_unlike(file)
