"""Work that is divided over processes which don't know each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorl.errors import InputError
from dorl.runtime.shards import Shard, ShardNotes, chosen, in_batches, shards_of

WORK = {"images": "a", "run": "b"}


def test_shards_are_whole_batches_and_together_everything() -> None:
    batches = in_batches(range(21), 4)
    parts = [list(shard.takes(batches)) for shard in shards_of(4)]
    assert parts[1] == [range(4, 8), range(20, 21)]
    assert sorted(item for part in parts for batch in part for item in batch) == list(range(21))
    assert list(Shard(9, 9).takes(batches)) == []


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="give i/n with i from 1 to n"):
        Shard.of_text(text)


def test_a_shard_and_joining_exclude_each_other() -> None:
    assert chosen(" 2/8", None) == Shard(2, 8)
    assert chosen(None, 8) is None
    with pytest.raises(InputError, match="give one of them"):
        chosen("1/2", 2)
    with pytest.raises(InputError, match="1 or more"):
        chosen(None, 0)


def finished(folder: Path, *numbers: int, count: int = 3) -> ShardNotes:
    notes = ShardNotes(folder, WORK)
    for number in numbers:
        notes.finish(Shard(number, count), alike={"precision": "float32"}, images=number)
    return notes


def test_notes_of_all_shards_come_in_their_order(tmp_path: Path) -> None:
    notes = finished(tmp_path / "shards", 3, 1, 2)
    assert [note["images"] for note in notes.joined(3)] == [1, 2, 3]
    notes.begin(Shard(2, 3))
    assert notes.done(Shard(2, 3)) is None
    notes.remove()
    assert not (tmp_path / "shards").exists()


def test_a_missing_shard_is_named_and_shards_of_another_number_are_told(tmp_path: Path) -> None:
    notes = finished(tmp_path, 1, 2)
    with pytest.raises(InputError, match=r"shard 3/3 is not done; give the same command with --shard 3/3 first"):
        notes.joined(3)
    with pytest.raises(InputError, match=r"shards 1/9, 2/9, 3/9 and 6 more are not done \(there are shards of 3\)"):
        notes.joined(9)
    (tmp_path / "3-of-3.json").write_text("{half", encoding="utf-8")
    with pytest.raises(InputError, match="shard 3/3 is not done"):
        notes.joined(3)


def test_shards_of_other_work_are_refused(tmp_path: Path) -> None:
    finished(tmp_path, 1, 2, 3)
    other = ShardNotes(tmp_path, {**WORK, "images": "others"})
    with pytest.raises(InputError, match=r"shard 1/3 is of other work \(images\);"):
        other.joined(3)
    assert other.done(Shard(1, 3)) is None


def test_shards_that_machines_computed_differently_are_refused(tmp_path: Path) -> None:
    notes = finished(tmp_path, 1, 2)
    notes.finish(Shard(3, 3), alike={"precision": "bfloat16"})
    with pytest.raises(InputError, match=r"shards 1/3 and 3/3 were not done alike \(precision\)"):
        notes.joined(3)
