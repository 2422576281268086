"""Folders of masks as they lie on disk: those that were written before are gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dorl.errors import InputError
from dorl.files import digest_of, png
from dorl.run.maskfolder import MaskNotes
from dorl.segmentation.cell import FoundCell

SOURCE = {"segmenter": "tiny", "digest": "d"}
#: what version 0.1 keeps the mask of the content "c1" under
MASK = "495cf2e41cec44e769fd718cab3583f9"


def cell() -> FoundCell:
    mask = np.zeros((9, 12), bool)
    mask[1:4, 2:8] = True
    return FoundCell(mask, 0.9)


def written(out: Path) -> Path:
    """A folder as version 0.1 wrote it, byte by byte but for the arrays' compression."""
    (out / ".kept").mkdir(parents=True)
    (out / ".source.json").write_text(json.dumps({"format": 2, **SOURCE}))
    np.savez(out / ".kept" / f"{MASK}.npz", mask=cell().mask, confidence=0.9)
    data = png(cell().mask.astype(np.uint8) * 255)
    (out / "a.png").write_bytes(data)
    note = {"name": "a.png", "of": "c1", "digest": digest_of(out / "a.png"), "own": True}
    (out / ".results.jsonl").write_text(json.dumps(note) + "\n")
    return out


def test_a_folder_of_before_is_gone_on_with(tmp_path: Path) -> None:
    out = written(tmp_path / "masks")
    notes = MaskNotes.open(out, SOURCE)
    known = notes.known("a.png", "c1", (12, 9))
    assert known is not None
    found, foreign = known
    assert not foreign
    assert found.confidence == 0.9
    np.testing.assert_array_equal(found.mask, cell().mask)
    stamp = (out / "a.png").stat().st_mtime_ns
    notes.show("a.png", "c1", found)
    assert (out / "a.png").stat().st_mtime_ns == stamp  # it is there already
    notes.finish([], ["a.png"], None, None)
    assert (out / "a.png").exists()
    notes.finish([], [], None, None)  # ours, and not asked for any more
    assert not (out / "a.png").exists()


def test_what_is_written_now_is_what_was_written_before(tmp_path: Path) -> None:
    out, before = tmp_path / "masks", written(tmp_path / "before")
    MaskNotes.open(out, SOURCE).add("a.png", "c1", cell())
    for name in (".source.json", ".results.jsonl"):
        now, then = ((place / name).read_text() for place in (out, before))
        assert [json.loads(now)] == [json.loads(then)]
    assert [path.name for path in (out / ".kept").iterdir()] == [f"{MASK}.npz"]
    assert (out / "a.png").read_bytes() == (before / "a.png").read_bytes()


def test_a_mask_of_another_size_and_one_of_another_hand(tmp_path: Path) -> None:
    notes = MaskNotes.open(written(tmp_path / "masks"), SOURCE)
    assert notes.known("b.png", "c1", (9, 12)) is None
    assert notes.known("b.png", "", (12, 9)) is None
    grey = np.where(cell().mask, 130, 120).astype(np.uint8)
    (notes.out / "a.png").write_bytes(png(grey))
    known = notes.known("a.png", "c1", (12, 9))
    assert known is not None
    assert known[1]
    np.testing.assert_array_equal(known[0].mask, cell().mask)


def test_masks_of_other_weights_are_refused(tmp_path: Path) -> None:
    out = written(tmp_path / "masks")
    with pytest.raises(InputError, match="made by another segmenter"):
        MaskNotes.open(out, {**SOURCE, "digest": "e"})
    (out / ".source.json").write_text(json.dumps({"format": 1, **SOURCE}))
    with pytest.raises(InputError, match="of an earlier dorl"):
        MaskNotes.open(out, SOURCE)
