"""Images as a run's classifier takes them, batch by batch: looked at here, or read from what shards have written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dorl.domains import Domain
from dorl.domains.gathering import read_batches
from dorl.errors import InputError
from dorl.files import atomic
from dorl.run.model import BATCH, DoRL
from dorl.runtime.kept import content_key
from dorl.runtime.progress import say, track
from dorl.runtime.shards import Shard, ShardNotes, shards_of
from dorl.runtime.training import prefetch
from dorl.words import counted

#: ending of what a shard writes
PART = ".parquet"
#: images whose contents are compared at the same time
READERS = 8


@dataclass(frozen=True)
class Looked:
    """A batch of images.

    Attributes
    ----------
    paths : list of M str
        Of the images that could be read.
    inputs : array of shape (M, …)
        As `DoRL.inputs` gives them; without any image of shape (0,).
    confidence : float64 array of shape (M,)
        Of each cell's outline, 0 where no cell was found.
    left_out : list of (str, str)
        Path and reason of the others.
    """

    paths: list[str]
    inputs: np.ndarray
    confidence: np.ndarray
    left_out: list[tuple[str, str]]


def look(model: DoRL, lab: Domain, shard: Shard | None = None, *, what: str = "looking at images") -> Iterator[Looked]:
    """What the classifier takes of a lab's images, or of a shard's, a batch at a time; `what` is for the progress."""
    for batch in read_batches(lab, size=BATCH, what=what, shard=shard):
        read = [(path, image) for path, image in batch if not isinstance(image, str)]
        inputs, confidence = model.inputs([image for _, image in read]) if read else (np.empty(0), np.empty(0))
        left_out = [(path, image) for path, image in batch if isinstance(image, str)]
        yield Looked([path for path, _ in read], inputs, confidence, left_out)


class LookedShards:
    """Shards of images that are looked at for `predict`; called with one, it does that one.

    Parameters
    ----------
    model : DoRL
    lab : Domain
        All images.
    folder : Path
        Of the shards.
    """

    def __init__(self, model: DoRL, lab: Domain, folder: Path) -> None:
        self.model, self.lab = model, lab
        made_by = [model.segmenter.digest(), model.autoencoder.digest(), model.config.method]
        work = {
            "images": content_key(lab.table["path"].tolist()),
            "run": content_key(*made_by, model.config.views.model_dump()),
        }
        self.notes = ShardNotes(folder, work)

    def __call__(self, shard: Shard) -> None:
        """Look at a shard's images and write what was found; one that is whole stays as it is."""
        place = self.notes.place(shard, PART)
        if self.notes.done(shard) is not None and self._changed(place) is None:
            say(f"shard {shard} is done already: {place}")
            return
        self.notes.begin(shard)
        images, written = self._write(place, look(self.model, self.lab, shard))
        alike = {"precision": self.model.segmenter.precision}
        self.notes.finish(shard, alike=alike, **written)
        say(f"shard {shard}: {counted(images, 'image')} looked at: {place}")

    def joined(self, count: int) -> Iterator[Looked]:
        """What all shards have written, in the order of the lab.

        Raises
        ------
        InputError
            If a shard is missing, or of other images or another run, or an image has changed since.
        """
        notes = self.notes.joined(count)
        for shard in shards_of(count):
            if (changed := self._changed(self.notes.place(shard, PART))) is not None:
                raise InputError(
                    f"{changed} since shard {shard} was done; give the same command with --shard {shard} again"
                )
        written = [self.written(shard) for shard in shards_of(count)]
        batches = sum(note["batches"] for note in notes)
        for number in track(range(batches), total=batches, what="joining shards"):
            looked = next(written[number % count])
            for path, reason in looked.left_out:
                say(f"left out: {path}: {reason}")
            yield looked

    def written(self, shard: Shard) -> Iterator[Looked]:
        """What a shard that is done has written, a batch at a time."""
        import pyarrow.parquet as pq

        note = self.notes.done(shard) or {}
        with pq.ParquetFile(self.notes.place(shard, PART)) as file:
            for number in range(file.num_row_groups):
                yield _looked(file.read_row_group(number).to_pylist(), note)

    def _write(self, place: Path, batches: Iterator[Looked]) -> tuple[int, dict[str, Any]]:
        """Write batches, a row group each; how many images could be read, and what the note says of the file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = {"path": pa.string(), "content": pa.string(), "reason": pa.string(), "confidence": pa.float64()}
        schema = pa.schema({**names, "inputs": pa.binary()})
        count = 0
        note: dict[str, Any] = {"batches": 0, "type": "", "shape": [0]}
        with atomic(place) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for looked in batches:
                found: list[tuple[Any, ...]] = [(path, None, *values) for path, *values in _each(looked)]
                found += [(path, reason, None, None) for path, reason in looked.left_out]
                rows = [(path, self.lab.source.digest(path), *values) for path, *values in found]
                writer.write_table(pa.table(list(zip(*rows, strict=True)), schema=schema), row_group_size=len(rows))
                if looked.paths:
                    note |= {"type": looked.inputs.dtype.str, "shape": list(looked.inputs.shape[1:])}
                note["batches"] += 1
                count += len(looked.paths)
        return count, note

    def _changed(self, place: Path) -> str | None:
        """What isn't as it was when a shard was done, as the beginning of a sentence."""
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(place, columns=["path", "content"]).to_pydict()
        except (OSError, ValueError):
            return f"{place} is damaged"
        contents = prefetch(self.lab.source.digest, table["path"], workers=READERS, ahead=4 * READERS)
        pairs = zip(table["path"], table["content"], contents, strict=True)
        return next((f"{path} has changed" for path, content, now in pairs if now != content), None)


def _each(looked: Looked) -> Iterator[tuple[str, float, bytes]]:
    """Path, confidence and inputs of each image."""
    for path, confidence, inputs in zip(looked.paths, looked.confidence.tolist(), looked.inputs, strict=True):
        yield path, confidence, inputs.tobytes()


def _looked(rows: Sequence[dict[str, Any]], note: dict[str, Any]) -> Looked:
    read = [row for row in rows if row["reason"] is None]
    held = b"".join(row["inputs"] for row in read)
    inputs = np.frombuffer(held, note["type"]).reshape(len(read), *note["shape"]) if read else np.empty(0)
    return Looked(
        [row["path"] for row in read],
        inputs,
        np.array([row["confidence"] for row in read], np.float64),
        [(row["path"], row["reason"]) for row in rows if row["reason"] is not None],
    )
