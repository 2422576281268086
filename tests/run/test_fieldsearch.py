"""Reading fields once between measuring and searching, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.run import fieldsearch
from dorl.run.fieldsearch import Pictures


@pytest.fixture
def fields(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(150, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    read = fieldsearch.read_image
    monkeypatch.setattr(fieldsearch, "read_image", lambda path: found.append(path) or read(path))
    return found


def test_a_field_that_is_held_is_read_once_and_given_away(fields: list[Path], reads: list[Path]) -> None:
    pictures = Pictures()
    first = pictures.take(fields[0], hold=True)
    again = pictures.take(fields[0])
    assert first[0] is again[0]
    assert first[1].shape == (60, 80, 3)
    assert len(reads) == 1
    pictures.take(fields[0])  # it was given away
    assert len(reads) == 2


def test_what_is_held_is_bounded_and_room_is_given_back(fields: list[Path], reads: list[Path]) -> None:
    pictures = Pictures(room=2 * 60 * 80 * 3)  # of one field and its picture in even light
    for path in fields[:2]:
        pictures.take(path, hold=True)
    pictures.take(fields[1])
    assert reads == [fields[0], fields[1], fields[1]]
    pictures.take(fields[0])
    pictures.take(fields[2], hold=True)
    pictures.take(fields[2])
    assert reads[3:] == [fields[2]]
