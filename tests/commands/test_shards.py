"""`embed` and `count` in shards, each of which any machine may do; `test_predict_shards.py` has those of `predict`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dorl.commands.count import count
from dorl.commands.embed import embed
from dorl.errors import InputError


def contents(folder: Path, *without: str) -> dict[str, bytes]:
    """Every file below a folder by its name, but for what lies in some folders."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "writing.lock"]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if name.split("/")[0] not in without}


@pytest.fixture(scope="module")
def embedded(broken: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process embeds."""
    out = tmp_path_factory.mktemp("alone") / "out"
    embed(broken, out=out)
    return out


@pytest.fixture(scope="module")
def broken(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two labs of 14 and 13 images, of which one is damaged: four batches over both."""
    folder = tmp_path_factory.mktemp("labs")
    for name, images in (("harbour", 14), ("dune", 13)):
        (folder / name).mkdir()
        for path in sorted((rendered / name / "images").iterdir())[:images]:
            shutil.copy(path, folder / name)
    damaged = folder / "harbour" / "010.png"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    return [f"{name}={folder / name}" for name in ("harbour", "dune")]


def test_shards_of_cells_joined_are_the_store_and_the_features_of_one_process(
    embedded: Path, broken: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for number in (5, 2, 1, 4, 3):
        assert embed(broken, out=out, shard=f"{number}/5") is None
    with pytest.raises(InputError, match=r"shards 1/2, 2/2 are not done \(there are shards of 5\)"):
        embed(broken, out=out, join=2)
    with pytest.raises(InputError, match=r"shard 1/5 is of other work \(images\)"):
        embed(broken[:1], out=out, join=5)
    embed(broken, out=out, shard="2/5")  # as a cluster does that lost its answer
    assert contents(out).keys() >= {"shards/5-of-5.json", "shards/1-of-5/views.bin"}
    capsys.readouterr()
    embed(broken, out=out, join=5)
    assert contents(out) == contents(embedded)
    assert "left out: harbour/010.png: damaged" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds cells already"):
        embed(broken, out=out, shard="2/5")


def test_an_image_that_changed_after_its_shard_is_refused(broken: list[str], tmp_path: Path) -> None:
    lab, out = tmp_path / "lab", tmp_path / "out"
    lab.mkdir()
    for path in sorted(Path(broken[0].split("=")[1]).iterdir())[:3]:
        shutil.copy(path, lab)
    embed([f"lab={lab}"], out=out, shard="1/1")
    shutil.copy(lab / "002.png", lab / "001.png")
    with pytest.raises(InputError, match=r"lab/001\.png has changed since it was embedded"):
        embed([f"lab={lab}"], out=out, join=1)
    embed([f"lab={lab}"], out=out, shard="1/1")
    assert len(embed([f"lab={lab}"], out=out, join=1)) == 3


def test_several_processes_do_no_shard(broken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="leave --processes out"):
        embed(broken, out=tmp_path / "out", shard="1/2")


def test_shards_of_fields_joined_are_the_count_of_one_process(
    smear: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, alone, out = tmp_path / "fields", tmp_path / "alone", tmp_path / "out"
    shutil.copytree(smear, fields)
    shutil.copy(fields / "two.png", fields / "three.png")  # four in a folder: their rulers depend on each other
    (fields / "cut.png").write_bytes((fields / "one.png").read_bytes()[:3000])
    whole = count([fields], out=alone, run=fitted, sure=0.5)
    with pytest.raises(InputError, match="shards 1/3, 2/3, 3/3 are not done"):
        count([fields], out=out, run=fitted, join=3)
    for number in (2, 3, 1, 2):
        assert not len(count([fields], out=out, run=fitted, shard=f"{number}/3").cells)
    assert {path.name for path in out.iterdir()} == {".found", "shards"}
    with pytest.raises(InputError, match=r"shard 1/3 is of other work \(fields\)"):
        count([fields / "one.png"], out=out, run=fitted, join=3)
    with pytest.raises(InputError, match="holds a count with other settings"):
        count([fields], out=out, run=fitted, join=3, red_cell=30)
    joined = count([fields], out=out, run=fitted, sure=0.5, join=3)
    names = {path.relative_to(alone) for path in alone.rglob("*")}
    assert {path.relative_to(out) for path in out.rglob("*")} == names
    assert contents(out, ".found", ".results.jsonl") == contents(alone, ".found", ".results.jsonl")
    assert joined.lines() == whole.lines()
    assert [path for path, _ in joined.left_out] == [path for path, _ in whole.left_out]


def test_a_field_that_changed_after_its_shard_is_refused(smear: Path, tmp_path: Path) -> None:
    fields, out = tmp_path / "fields", tmp_path / "out"
    fields.mkdir()
    shutil.copy(smear / "one.png", fields / "one.png")
    count([fields], out=out, shard="1/1")
    shutil.copy(smear / "two.png", fields / "one.png")
    with pytest.raises(InputError, match=r"one\.png has changed since its shard was done"):
        count([fields], out=out, join=1)


@pytest.mark.slow
def test_a_slide_is_a_part_of_a_shard(slides: Path, tmp_path: Path) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    count([slides / "slide.svs"], out=alone)
    for number in (1, 2):
        count([slides / "slide.svs"], out=out, shard=f"{number}/2")
    count([slides / "slide.svs"], out=out, join=2)
    assert contents(out, ".found", ".results.jsonl") == contents(alone, ".found", ".results.jsonl")
