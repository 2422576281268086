"""`dorl predict` in shards, each of which any machine may do; `test_shards.py` has those of `embed` and `count`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dorl.commands.predict import predict
from dorl.errors import InputError


@pytest.fixture
def many(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eighteen images of two labs, one of them damaged: three batches, the last one short; enough for a mix."""
    monkeypatch.setattr("dorl.run.looked.BATCH", 8)
    monkeypatch.setattr("dorl.run.model.MIN_MIX_CELLS", 12)
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("dune", "harbour"):
        for path in sorted((rendered / name / "images").iterdir())[:7]:
            shutil.copy(path, folder / f"{name}-{path.name}")
    for number, path in enumerate(sorted((rendered / "dune" / "images").iterdir())[:4]):
        shutil.copy(path, folder / f"again-{number}.png")
    (folder / "again-3.png").write_bytes((folder / "again-3.png").read_bytes()[:2000])
    return folder


def test_shards_joined_are_the_table_of_one_process(
    fitted: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, out = tmp_path / "alone.csv", tmp_path / "parts" / "out.csv"
    whole = predict(fitted, many, out=alone, sure=0.5)
    parts = [predict(fitted, many, out=out, shard=f"{number}/4") for number in (3, 1, 4, 2)]
    assert [part.images for part in parts] == [2, 7, 0, 8]
    assert not out.exists()
    predict(fitted, many, out=out, shard="1/4")
    assert "shard 1/4 is done already" in capsys.readouterr().err
    joined = predict(fitted, many, out=out, sure=0.5, join=4)
    assert out.read_bytes() == alone.read_bytes()
    made = [path.with_name(f"{path.name}.json").read_text(encoding="utf-8") for path in (alone, out)]
    assert made[1] == made[0].replace("alone.csv", "out.csv")
    assert joined == whole
    assert [path.name for path in out.parent.iterdir()] == ["out.csv", "out.csv.json"]
    assert "left out: again-3.png: damaged" in capsys.readouterr().err


def test_shards_that_do_not_fit_are_refused(fitted: Path, many: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(InputError, match="shards 1/2, 2/2 are not done"):
        predict(fitted, many, out=out, join=2)
    predict(fitted, many, out=out, shard="1/2")
    with pytest.raises(InputError, match="shard 2/2 is not done"):
        predict(fitted, many, out=out, join=2)
    predict(fitted, many, out=out, shard="2/2")
    with pytest.raises(InputError, match=r"shard 1/2 is of other work \(images\)"):
        predict(fitted, many.parent / "many" / "again-1.png", out=out, join=2)
    text = (run / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(text.replace("size = true", "size = false"), encoding="utf-8")
    with pytest.raises(InputError, match=r"shard 1/2 is of other work \(run\)"):
        predict(run, many, out=out, join=2)
    shutil.copy(many / "again-1.png", many / "again-2.png")
    with pytest.raises(InputError, match=r"again-2\.png has changed since shard 1/2 was done; .* --shard 1/2 again"):
        predict(fitted, many, out=out, join=2)
    predict(fitted, many, out=out, shard="1/2")
    assert predict(fitted, many, out=out, join=2).images == 17
    with pytest.raises(InputError, match="shards lie beside the table"):
        predict(fitted, many, out="/dev/stdout", shard="1/2")
