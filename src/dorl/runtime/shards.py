"""Work divided into shards: each is done by a process of its own, on any machine; one joins them when all are done.

A shard takes every n-th batch of the inputs, in batches as one process would have made them. So what is joined is what
one process would have written. A shard that is done leaves a note that says what its work was of, and joining asks for
the notes of all. What a shard makes lies beside its note, or is kept by content elsewhere.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dorl.errors import InputError
from dorl.files import write_json

T = TypeVar("T")

#: folder of shards in a folder of results, and ending of that beside a file of results
FOLDER = "shards"
#: shards named one by one in a message
MAX_NAMED = 3


@dataclass(frozen=True)
class Shard:
    """One of several parts of some work: number `number`, from 1, of `count`; as text ``2/8``."""

    number: int
    count: int

    @classmethod
    def of_text(cls, text: str) -> Shard:
        """Read ``i/n``. Raises InputError unless i is 1 to n."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"shard {text!r}: give i/n with i from 1 to n, for example 2/8")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """For files: ``2-of-8``."""
        return f"{self.number}-of-{self.count}"

    def takes(self, batches: Sequence[T]) -> Sequence[T]:
        """Every n-th of the batches of all inputs."""
        return batches[self.number - 1 :: self.count]


def shards_of(count: int) -> list[Shard]:
    """All shards of so many. Raises InputError for less than 1."""
    if count < 1:
        raise InputError(f"{count} shards: give the number of shards that were done, 1 or more")
    return [Shard(number, count) for number in range(1, count + 1)]


def in_batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Items, `size` at a time; the last ones may be fewer."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def chosen(shard: str | None, join: int | None, ray: str | None = None) -> Shard | None:
    """The shard that is asked for, if any. Raises InputError where two of the ways are asked for at once."""
    if sum(given is not None for given in (shard, join, ray)) > 1:
        raise InputError("--shard does a part, --join puts all together, --ray does both: give one of them")
    if join is not None:
        shards_of(join)
    return None if shard is None else Shard.of_text(shard)


class ShardNotes:
    """The notes of the shards of some work.

    Parameters
    ----------
    folder : Path
        Where they lie; made when the first is written.
    work : mapping of str to str
        What the work is of, for example digests of the list of images and of the model, by words for a message. Shards
        of other work aren't joined.
    """

    def __init__(self, folder: Path, work: Mapping[str, str]) -> None:
        self.folder, self._work = folder, dict(work)

    def place(self, shard: Shard, ending: str = "") -> Path:
        """Where what a shard makes lies: ``2-of-8`` and an ending."""
        return self.folder / f"{shard.name}{ending}"

    def done(self, shard: Shard) -> dict[str, Any] | None:
        """What a shard of this very work has noted; None where it isn't done."""
        note = self._read(shard)
        return note if note is not None and note["work"] == self._work else None

    def begin(self, shard: Shard) -> None:
        """Take away the note of a shard that is done again."""
        self.place(shard, ".json").unlink(missing_ok=True)

    def finish(self, shard: Shard, *, alike: Mapping[str, str] | None = None, **more: Any) -> None:
        """Note that a shard is whole.

        Parameters
        ----------
        shard : Shard
        alike : mapping of str to str, optional
            What has to be the same in all shards, though it needn't be so where they are joined, by words for a
            message.
        **more : plain values
            What joining wants to know.
        """
        write_json(self.place(shard, ".json"), {"work": self._work, "alike": dict(alike or {}), **more})

    def joined(self, count: int) -> list[dict[str, Any]]:
        """The notes of all shards, in their order.

        Raises
        ------
        InputError
            If one is missing, or was done of other work, or they don't agree.
        """
        shards = shards_of(count)
        notes = {shard: self._read(shard) for shard in shards}
        if missing := [str(shard) for shard in shards if notes[shard] is None]:
            raise InputError(
                f"{self.folder}: {_listed(missing)} not done{self._others(count)}; give the same command with "
                f"--shard {missing[0]} first"
            )
        found = [note for note in notes.values() if note is not None]
        for shard, note in zip(shards, found, strict=True):
            if other := _different(note["work"], self._work):
                raise InputError(
                    f"{self.folder}: shard {shard} is of other work ({other}); do it again, or join with the "
                    "images, the run and the options that it was done with"
                )
            if other := _different(note["alike"], found[0]["alike"]):
                raise InputError(
                    f"{self.folder}: shards {shards[0]} and {shard} were not done alike ({other}); do one of them "
                    "again, on a machine like the other's"
                )
        return found

    def remove(self) -> None:
        """Remove the folder of shards, which have been joined."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, shard: Shard) -> dict[str, Any] | None:
        try:
            note = json.loads(self.place(shard, ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(note, dict) and all(isinstance(note.get(name), dict) for name in ("work", "alike"))
        return note if whole else None

    def _others(self, count: int) -> str:
        """That shards of other numbers are there."""
        numbers = {match[1] for path in self.folder.glob("*-of-*.json") if (match := _NAME.fullmatch(path.name))}
        other = sorted(int(number) for number in numbers if int(number) != count)
        return f" (there are shards of {' and of '.join(map(str, other))})" if other else ""


_NAME = re.compile(r"\d+-of-(\d+)\.json")


def _listed(shards: Sequence[str]) -> str:
    more = len(shards) - MAX_NAMED
    named = ", ".join(shards[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"shard {named} is" if len(shards) == 1 else f"shards {named} are"


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Names of what differs, as text."""
    return ", ".join(name for name in other if one.get(name) != other[name])
