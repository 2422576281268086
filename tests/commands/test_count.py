"""`dorl count` on fields put together from rendered cells."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.commands.count import CELLS, FIELDS, count
from dorl.domains import read_image
from dorl.errors import InputError
from dorl.run import fieldrepeats, fieldsearch
from dorl.run.countfolder import FOUND
from dorl.run.differentials import ALL, REVIEW, SAMPLES, WHITE
from dorl.runtime.kept import Kept
from dorl.segmentation.ruler import Ruler


@pytest.fixture(scope="module")
def counted(smear: Path, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished count with a run; don't change it."""
    out = tmp_path_factory.mktemp("counted") / "out"
    count([smear], out=out, run=fitted)
    return out


@pytest.fixture
def again(counted: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(counted, tmp_path / "out"))


def test_a_field_that_has_changed_is_searched_again(again: Path, smear: Path, fitted: Path, tmp_path: Path) -> None:
    fields = Path(shutil.copytree(smear, tmp_path / "fields"))
    count([fields], out=tmp_path / "changed")
    before = pd.read_csv(tmp_path / "changed" / "fields.csv")
    shutil.copy(fields / "two.png", fields / "one.png")
    count([fields], out=tmp_path / "changed")
    after = pd.read_csv(tmp_path / "changed" / "fields.csv").set_index("path")
    one, two = (after.loc[(fields / f"{name}.png").as_posix(), "cells"] for name in ("one", "two"))
    assert one == two
    assert len(after) == len(before)


def test_the_tables_agree_with_the_masks_and_each_other(counted: Path, smear: Path) -> None:
    cells, fields, counts = (pd.read_csv(counted / f"{name}.csv") for name in ("cells", "fields", "counts"))
    assert tuple(cells) == CELLS
    assert tuple(fields) == FIELDS
    assert len(fields) == 4
    assert fields["cells"].iloc[:3].between(3, 5).all()
    assert fields["cells"].iloc[3] == 0
    assert Path(fields["path"].iat[0]).is_file()
    assert fields["cells"].sum() == len(cells) == counts["cells"].iat[-1] == counts["cells"].iloc[:-2].sum()
    assert counts["class"].tolist()[-2:] == [WHITE, ALL]
    white = counts[counts["group"] == "leukocyte"].iloc[:-1]
    assert white["share"].sum() == pytest.approx(1, abs=1e-3)
    for low, high in (("low", "high"), ("low_with_errors", "high_with_errors")):
        assert (white[low] <= white["share"]).all()
        assert (white["share"] <= white[high]).all()
    assert cells["probability"].between(0, 1).all()
    assert set(cells["class"]) <= set(counts["class"])
    assert cells["counted"].all()
    samples, review = (pd.read_csv(counted / f"{name}.csv") for name in ("samples", "review"))
    assert tuple(samples) == SAMPLES
    assert tuple(review) == REVIEW
    of_all = samples[samples["class"] == ALL].set_index("sample")["cells"]
    assert of_all.to_dict() == {
        folder.as_posix(): int((cells["sample"] == folder.as_posix()).sum()) for folder in (smear, smear / "again")
    }
    assert set(" ".join(review["reason"]).split()) <= {"unlike", "unsure", "immature", "edge"}
    names = {path.name for path in (counted / "masks").iterdir()}
    assert len(names) == 4
    assert names == {path.name for path in (counted / "annotated").iterdir()}
    labels = np.asarray(Image.open(counted / "masks" / "two.png"))
    own = cells[cells["path"] == (smear / "two.png").as_posix()]
    assert labels.max() == len(own) > 0
    for number, row in enumerate(own.itertuples(), start=1):
        rows, columns = np.nonzero(labels == number)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
            row.xmin,
            row.ymin,
            row.xmax,
            row.ymax,
        )


def test_cells_at_an_edge_are_left_out_on_request(smear: Path, tmp_path: Path) -> None:
    image, path = np.asarray(Image.open(smear / "two.png")), tmp_path / "cut.png"
    Image.fromarray(image[image.shape[0] // 4 :]).save(path)  # through the upper two cells
    kept, left = (count([path], out=tmp_path / "out", edge=edge) for edge in (True, False))
    cut = kept.cells["touches_border"].astype(bool)
    assert 0 < cut.sum() < len(cut)
    assert kept.cells["counted"].all()
    assert (left.cells["counted"] == ~cut).all()
    assert kept.counts["cells"].iat[-1] - left.counts["cells"].iat[-1] == cut.sum()


def test_a_cell_in_two_fields_that_overlap_is_counted_once(
    smear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.concatenate([np.asarray(Image.open(smear / name)) for name in ("one.png", "two.png")], axis=1)
    width = image.shape[1]
    fields = tmp_path / "fields"
    fields.mkdir()
    for name, left in (("left", 0), ("right", width // 4)):
        Image.fromarray(image[:, left : left + 3 * width // 4]).save(fields / f"{name}.png")
    Image.fromarray(image).save(tmp_path / "whole.png")
    result = count([fields], out=tmp_path / "out")
    whole = count([tmp_path / "whole.png"], out=tmp_path / "all")
    twice = result.cells["same_as"] != ""
    assert twice.sum() > 0
    assert (result.cells["counted"] == ~twice).all()
    assert (~twice).sum() == len(whole.cells)
    assert result.counts["cells"].iat[-1] == len(whole.cells)
    assert f"{twice.sum()} cells stand in two fields" in capsys.readouterr().err


def test_a_field_that_lies_in_two_folders_is_counted_once(
    smear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        shutil.copy(smear / "one.png", tmp_path / folder / f"{folder}.png")
    result = count([tmp_path / "first", tmp_path / "second"], out=tmp_path / "out")
    half = len(result.cells) // 2
    assert half > 0
    assert result.cells["counted"].tolist() == [True] * half + [False] * half
    assert "second.png is the same file as" in capsys.readouterr().err


def test_absolute_counts_are_those_of_one_sample(
    smear: Path, again: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = count([smear / "one.png", smear / "two.png"], out=again, run=fitted, wbc=10)
    white = result.counts[result.counts["group"] == "leukocyte"].iloc[:-1]
    assert white["absolute"].tolist() == pytest.approx((10 * white["share"]).tolist())
    assert white["absolute_high"].tolist() == pytest.approx((10 * white["high_with_errors"]).tolist())
    assert "laboratories report them of 100 or more" in capsys.readouterr().err
    with pytest.raises(InputError, match="--wbc 10: the fields are of 2 samples"):
        count([smear], out=again, run=fitted, wbc=10)
    with pytest.raises(InputError, match="--wbc 0: give the leukocytes in 10⁹/l"):
        count([smear], out=again, run=fitted, wbc=0)
    for option in ({"sure": 0.9}, {"reject": True}, {"expect": "blood"}):
        with pytest.raises(InputError, match=f"--{next(iter(option))}: needs classes; give --run RUN, a folder"):
            count([tmp_path], out=tmp_path / "none", **option)
    with pytest.raises(InputError, match="--wbc: needs classes; give --run"):
        count([smear], out=tmp_path / "new", wbc=6)


def test_a_manual_differential_stands_beside_it(
    smear: Path, again: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manual = tmp_path / "manual.csv"
    manual.write_text("sample,class,cells\nagain,Lymphocytes,60\nagain,Segs,140\n")
    count([smear], out=again, run=fitted, manual=manual)
    comparison, agreement = (pd.read_csv(again / f"{name}.csv") for name in ("comparison", "agreement"))
    assert set(comparison["sample"]) == {(smear / "again").as_posix()}
    assert (comparison["manual_of"] == 200).all()
    assert set(agreement["class"]) == set(comparison["class"])
    said = capsys.readouterr().err
    assert "by Rümke's 95 % limits" in said
    assert f"of {len(comparison)} would differ" in said


def test_a_manifest_tells_the_patient_of_each_field(smear: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(smear, tmp_path / "fields"))
    manifest = folder / "fields.csv"
    patients = (("one.png", "p1"), ("two.png", "p2"), ("again/one.png", "p1"))
    manifest.write_text("\n".join(["image,patient", *(",".join(row) for row in patients)]))
    result = count([manifest], out=tmp_path / "out")
    assert set(result.samples["sample"]) == {"p1", "p2"}
    assert result.samples["cells"].sum() == len(result.cells)


def test_without_a_run_cells_are_found_and_have_no_class(smear: Path, tmp_path: Path) -> None:
    result = count([smear / "two.png", smear / "zz-empty.png", smear / "two.png"], out=tmp_path / "out")
    assert len(result.fields) == 2
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert 3 <= len(cells) <= 5
    assert cells[["class", "probability"]].isna().all(axis=None)
    assert pd.read_csv(tmp_path / "out" / "counts.csv")["class"].tolist() == [ALL]


def test_an_interrupted_count_ends_as_one_that_was_not(
    smear: Path, counted: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, calls = fieldsearch.search, []

    def stopping(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return find(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fieldsearch, "search", stopping)
    with pytest.raises(KeyboardInterrupt):
        count([smear], out=tmp_path / "out", run=fitted)
    assert not (tmp_path / "out" / "cells.csv").exists()
    done = len(list((tmp_path / "out" / ".found").glob("*.npz")))
    assert 1 <= done < 4
    calls.extend([1] * 3)  # past the one that stops
    before = len(calls)
    count([smear], out=tmp_path / "out", run=fitted)
    assert len(calls) - before == 4 - done
    for name in ("cells", "fields", "counts"):
        left, right = (pd.read_csv(folder / f"{name}.csv") for folder in (counted, tmp_path / "out"))
        pd.testing.assert_frame_equal(left, right, atol=1e-3)


def test_a_second_start_searches_new_fields_alone_and_mends_what_is_damaged(
    smear: Path, again: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, same = tmp_path / "new.png", tmp_path / "same.png"
    Image.open(smear / "two.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(new)
    shutil.copy(smear / "two.png", same)  # was searched already, under another name
    damaged = next(path for path in (again / ".found").glob("*.npz") if not len(np.load(path)["boxes"]))
    damaged.write_bytes(b"damaged")
    (again / "annotated" / "zz-empty.png").unlink()
    untouched = next((again / "annotated").glob("*one*")).stat().st_mtime_ns
    find, seen = fieldsearch.search, []
    monkeypatch.setattr(fieldsearch, "search", lambda *a, **o: seen.append(1) or find(*a, **o))
    result = count([smear, new, same], out=again, run=fitted)
    assert len(seen) == 2
    assert len(result.fields) == 6
    assert (again / "annotated" / "zz-empty.png").exists()
    assert next((again / "annotated").glob("*one*")).stat().st_mtime_ns == untouched


def test_pictures_are_those_of_the_fields_listed(smear: Path, tmp_path: Path) -> None:
    fields = [tmp_path / folder / "f.png" for folder in ("p1", "p2")]
    for path, name in zip(fields, ("one.png", "two.png"), strict=True):
        path.parent.mkdir()
        shutil.copy(smear / name, path)
    out = tmp_path / "out"
    count(fields[:1], out=out)
    count(fields, out=out)
    for folder in ("annotated", "masks"):
        names = sorted(path.name for path in (out / folder).iterdir())
        assert len(names) == 2
        assert [name[-8:] for name in names] == ["p1_f.png", "p2_f.png"]
    count(fields[1:], out=out)
    for folder in ("annotated", "masks"):
        assert [path.name for path in (out / folder).iterdir()] == ["f.png"]
    cells = pd.read_csv(out / "cells.csv")
    assert np.asarray(Image.open(out / "masks" / "f.png")).max() == len(cells)


def test_what_cannot_be_read_is_left_out_and_told(
    smear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    shutil.copy(smear / "two.png", folder)
    (folder / "cut.png").write_bytes((smear / "one.png").read_bytes()[:3000])
    (folder / "empty.png").touch()
    result = count([folder], out=tmp_path / "out")
    assert len(result.fields) == 1
    assert len(result.left_out) == 2
    said = capsys.readouterr().err
    assert "left out: empty.png: the file is empty" in said
    assert "cut.png: damaged or truncated" in said


def test_fields_whose_colours_are_wrong_are_told_and_not_counted_as_empty(
    smear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    image = read_image(smear / "one.png")
    Image.fromarray(image).save(folder / "right.png")
    Image.fromarray(image).convert("L").save(folder / "grey.png")
    shutil.copy(smear / "zz-empty.png", folder)
    result = count([folder], out=tmp_path / "out")
    assert sorted(Path(path).name for path in result.fields["path"]) == ["right.png", "zz-empty.png"]
    assert "grey.png: is grey, and nuclei are found by the colour of their dye" in capsys.readouterr().err
    with pytest.raises(InputError, match="not one field could be counted"):
        count([folder / "grey.png"], out=tmp_path / "grey")


def test_wrong_input_is_refused_in_a_line(smear: Path, again: Path, fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no field given"):
        count([], out=tmp_path / "new")
    with pytest.raises(InputError, match="red cell is 0: give the diameter"):
        count([smear], out=tmp_path / "new", red_cell=0)
    with pytest.raises(InputError, match="--run or --segmenter, not both"):
        count([smear], out=tmp_path / "new", run=fitted, segmenter="tiny")
    with pytest.raises(InputError, match="lies among the fields"):
        count([smear], out=smear / "out")
    with pytest.raises(InputError, match=r"other settings \(described\)"):
        count([smear], out=again)
    with pytest.raises(InputError, match=r"other settings \(red_cell\)"):
        count([smear], out=again, run=fitted, red_cell=40)
    with pytest.raises(InputError, match="holds one of the fields"):
        count([again / "annotated" / "two.png"], out=again, run=fitted)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no count"):
        count([smear], out=tmp_path / "mine")
    assert not (tmp_path / "new").exists()
    assert not (smear / "out").exists()


def test_what_is_kept_has_a_limit_and_what_is_asked_for_stays(
    smear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.run.countfolder.Kept", partial(Kept, limit=0))
    fields, out = [smear / "one.png", smear / "two.png", smear / "zz-empty.png"], tmp_path / "out"
    count(fields[:2], out=out)
    count(fields[1:], out=out)
    assert len(list((out / FOUND).glob("*.npz"))) == 2
    monkeypatch.setattr(fieldsearch, "search", None)  # nothing is searched again
    assert len(count(fields[1:], out=out).fields) == 2


def test_a_field_whose_ruler_is_in_doubt_takes_that_of_its_folder(
    smear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(picture: np.ndarray) -> Ruler:
        return Ruler(60.0, 0.9, 60.0) if picture.std() > 10 else Ruler(12.8, 0.0, 50.0)

    monkeypatch.setattr(fieldsearch, "measure", measured)
    fields = tmp_path / "fields"
    fields.mkdir()
    for number in range(3):
        Image.open(smear / "two.png").rotate(180 * (number % 2)).save(fields / f"{number}.png", compress_level=number)
    Image.fromarray(np.full_like(np.asarray(Image.open(smear / "two.png")), 220)).save(fields / "empty.png")
    reads = []
    monkeypatch.setattr(fieldsearch, "read_image", lambda path: reads.append(path) or read_image(path))
    monkeypatch.setattr(fieldrepeats, "read_image", None)
    result = count([fields], out=tmp_path / "out")
    assert result.fields["red_cell"].tolist() == [60.0] * 4
    assert len(reads) == len(set(reads)) == 4  # measured, searched and laid over each other, and read once
    Image.open(smear / "two.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(fields / "new.png")
    assert count([fields], out=tmp_path / "out").fields["red_cell"].tolist() == [60.0] * 5
    assert len(reads) == 5  # what was measured isn't measured again


def test_annotated_fields_are_drawn_in_even_light_on_request(smear: Path, tmp_path: Path) -> None:
    image = np.asarray(Image.open(smear / "two.png"))
    dimmed = image * np.linspace(0.6, 1, image.shape[1])[:, None]
    path = tmp_path / "dimmed.png"
    Image.fromarray(dimmed.astype(np.uint8)).save(path)
    drawn = []
    for even_light in (False, True):
        count([path], out=tmp_path / "out", even_light=even_light)
        (picture,) = (tmp_path / "out" / "annotated").iterdir()
        drawn.append(np.asarray(Image.open(picture)).astype(float))
    left, right = (
        [float(np.percentile(one[:, part], 90)) for part in (slice(0, 60), slice(-60, None))] for one in drawn
    )
    assert left[1] - left[0] > 50
    assert abs(right[1] - right[0]) < 15
