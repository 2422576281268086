"""Results kept by content: given back as they were, and removed from the oldest on once there are too many."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dorl.runtime.kept import READING, Kept, code_digest, content_key


def filled(folder: Path, *keys: str) -> None:
    """Results of 1,000 random bytes each, an hour apart, the first the oldest."""
    kept = Kept(folder)
    for hour, key in enumerate(keys):
        kept.put(key, values=np.random.default_rng(hour).integers(0, 256, 1000, np.uint8))
        os.utime(kept.place(key), (1e9 + 3600 * hour,) * 2)


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_key_changes_with_each_part() -> None:
    keys = {content_key("mask", {"a": 1}, "x"), content_key("mask", {"a": 2}, "x"), content_key("mask", {"a": 1}, "y")}
    assert len(keys) == 3
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})


def test_what_was_put_is_given_back_and_nothing_where_it_is_damaged(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "new")
    assert kept.get("a") is None
    kept.put("a", mask=np.eye(3, dtype=bool), confidence=0.5)
    found = kept.get("a")
    assert found is not None
    np.testing.assert_array_equal(found["mask"], np.eye(3, dtype=bool))
    assert kept.get("a", "confidence") == {"confidence": 0.5}
    assert kept.get("a", "other") is None
    kept.place("a").write_bytes(kept.place("a").read_bytes()[:50])
    assert kept.get("a") is None


def test_the_oldest_go_first_once_there_are_too_many(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", "c", "d")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert Kept(tmp_path, limit=size).tidy() == 0
    assert Kept(tmp_path, limit=size * 5 // 8).tidy() == 2
    assert names(tmp_path) == {"c", "d"}


def test_what_is_asked_for_stays_however_much_it_is(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", "c", "d")
    kept = Kept(tmp_path, limit=0)
    assert kept.get("a") is not None
    kept.put("e", values=np.arange(1000))
    assert kept.tidy() == 3
    assert names(tmp_path) == {"a", "e"}


def test_what_was_asked_for_lately_is_not_the_oldest(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", "c")
    Kept(tmp_path).get("a")
    assert Kept(tmp_path, limit=2000).tidy() == 2
    assert names(tmp_path) == {"a"}


@pytest.mark.posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_be_read_only_gives_what_it_holds(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    tmp_path.chmod(0o500)
    assert Kept(tmp_path).get("a") is not None
    tmp_path.chmod(0o700)


def test_code_has_a_digest_and_a_module_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    first = code_digest(["dorl.errors", *READING])
    assert first == code_digest(["dorl.errors", *READING]) != code_digest(READING)
    monkeypatch.setattr("dorl.__version__", "another")
    assert code_digest(["dorl.errors", *READING]) != first
    with pytest.raises(ModuleNotFoundError, match=r"dorl\.no_such"):
        code_digest(["dorl.no_such"])
