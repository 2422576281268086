"""Folders of counts as they lie on disk: those that were written before are gone on with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.errors import InputError
from dorl.files import png
from dorl.run.countfolder import FieldStore, FoundField
from dorl.segmentation.fieldcells import FieldCell
from dorl.segmentation.ruler import Ruler

SOURCE = {"run": "r", "reach": 2}
#: what version 0.1 keeps the cells and the ruler of the content "c1" under
FIELD, RULER = "e4051b90b9a654f4851cf3910c82d939", "7a935a725c0e793d17dc14ceb5c565d0"
CELL = FieldCell((2, 1, 5, 4), np.ones((3, 3), bool), 0.75, touches_border=True)


def written(out: Path) -> Path:
    """A folder as version 0.1 wrote it, but for the pictures."""
    (out / ".found").mkdir(parents=True)
    (out / ".found" / "source.json").write_text(json.dumps(SOURCE))
    np.savez(
        out / ".found" / f"{FIELD}.npz",
        size=(9, 6),
        red_cell=np.nan,
        boxes=[CELL.box],
        confidence=[CELL.confidence],
        touches_border=[True],
        inputs=np.zeros((1, 0), np.float16),
        labels=np.pad(np.ones((3, 3), np.uint16), ((1, 2), (2, 4))),
        details=np.zeros((2, 3), np.float16),
    )
    np.savez(out / ".found" / f"{RULER}.npz", shape=[6, 9, 3], ruler=[7.5, 0.5, np.nan])
    return out


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FieldStore]:
    """Opens a folder, which is told of one field, "a", and its content."""

    def open_folder(out: Path, content: str = "c1") -> FieldStore:
        monkeypatch.setattr("dorl.run.countfolder.digest_of", lambda path: content)
        store = FieldStore.open(out, SOURCE)
        store.name_all([("a", Path("a.jpg"))])
        return store

    return open_folder


def same(found: FoundField | None) -> None:
    assert found is not None
    assert (found.path, found.size, found.red_cell) == ("a", (9, 6), None)
    assert found.boxes.tolist() == [[2, 1, 5, 4]]
    assert (found.confidence.tolist(), found.touches_border.tolist()) == ([0.75], [True])
    assert found.inputs.shape == (1, 0)


def test_a_folder_of_before_is_gone_on_with(tmp_path: Path, opened: Callable[..., FieldStore]) -> None:
    store = opened(written(tmp_path / "counted"))
    same(store.get("a"))
    drawn = np.asarray(Image.open(io.BytesIO((store.out / "masks" / "a.png").read_bytes())))
    np.testing.assert_array_equal(drawn, store.labels("a"))  # a mask that was lost is drawn again
    assert store.ruler("a") == ((6, 9, 3), Ruler(7.5, 0.5, None))
    assert store.lacks("a", ["monocyte"])
    store.draw("a", ["monocyte"], np.zeros((6, 9, 3), np.uint8))
    assert not store.lacks("a", ["monocyte"])
    assert store.lacks("a", ["basophil"])
    store.tidy(["a"])
    assert (store.out / "annotated" / "a.png").exists()
    store.tidy([])
    assert not (store.out / "masks" / "a.png").exists()
    assert opened(store.out, "c2").get("a") is None


def test_what_is_written_now_is_what_was_written_before(tmp_path: Path, opened: Callable[..., FieldStore]) -> None:
    before, store = written(tmp_path / "before"), opened(tmp_path / "counted")
    same(store.put("a", (9, 6), None, [CELL], None, np.zeros((2, 3))))
    store.put_ruler("a", (6, 9, 3), Ruler(7.5, 0.5, None))
    names = sorted(path.name for path in (store.out / ".found").iterdir())
    assert names == sorted(path.name for path in (before / ".found").iterdir())
    for name in (FIELD, RULER):
        with np.load(store.out / ".found" / f"{name}.npz") as now, np.load(before / ".found" / f"{name}.npz") as then:
            assert sorted(now.files) == sorted(then.files)
            for key in now.files:
                np.testing.assert_array_equal(now[key], then[key])
    assert (store.out / "masks" / "a.png").read_bytes() == png(store.labels("a"))


def test_other_settings_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a count with other settings \\(reach\\)"):
        FieldStore.open(written(tmp_path / "counted"), {**SOURCE, "reach": 3})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").touch()
    with pytest.raises(InputError, match="is not empty and holds no count"):
        FieldStore.open(tmp_path / "other", SOURCE)
