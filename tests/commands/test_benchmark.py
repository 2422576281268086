from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.benchmark.jobs import Plan, Watch, plan
from dorl.benchmark.labs import Lab, draw, embed_lab, prepare_lab
from dorl.benchmark.methods import ROWS, Cells, Fitted, Row, Source
from dorl.benchmark.table import MEAN, score_table
from dorl.commands.benchmark import benchmark
from dorl.domains import read_domain
from dorl.domains.rendered import random_style, render_cell
from dorl.errors import InputError
from dorl.taxonomy import SharedLevel

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Spy:
    """Calls every cell what the source calls most, and keeps what it was shown."""

    level: int = 1
    shown: ClassVar[list[tuple[Source, list[Cells], int]]] = []
    stop_at: ClassVar[list[int]] = []

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        if self.stop_at and len(self.shown) == self.stop_at[0]:
            raise KeyboardInterrupt
        self.shown.append((source, list(targets), seed))
        most = source.classes[int(np.bincount(source.numbers).argmax())]
        return [Fitted(lambda cells: np.full(len(cells), most, object), variant="most", setting="none")]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    Spy.shown.clear()
    Spy.stop_at.clear()
    for sees in ("source", "target", "labs"):
        row = Row(f"spy-{sees}", f"Spy of {sees}", lambda options: Spy(), sees=sees, code=())  # type: ignore[arg-type]
        monkeypatch.setitem(ROWS, row.name, row)
    return Spy


@pytest.fixture(scope="module")
def three(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The two rendered labs, and a third of other class names."""
    place = Path(shutil.copytree(rendered / "dune", tmp_path_factory.mktemp("third") / "coarse"))
    table = pd.read_csv(place / "manifest.csv")
    table["label"] = table["label"].replace({"neutrophil_segmented": "neutrophil", "lymphocyte_typical": "lymphocyte"})
    table.to_csv(place / "manifest.csv", index=False)
    paths = {"harbour": rendered / "harbour", "dune": rendered / "dune", "coarse": place}
    return [f"{name}={path / 'manifest.csv'}" for name, path in paths.items()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, so that cells are embedded once."""
    return tmp_path_factory.mktemp("benchmark")


def run(labs: list[str], out: Path, *rows: str, **more: Any) -> pd.DataFrame:
    return benchmark(labs, out=out, **{"rows": rows, "source": ["harbour"], "seeds": 2, "folds": 3, **more})


def test_every_pair_is_measured_and_results_are_cached(three: list[str], out: Path) -> None:
    first = run(three, out, "frozen")
    assert first.groupby(["protocol", "train", "test"]).size().to_dict() == {
        (protocol, "harbour", test): 2
        for protocol in ("transductive", "unseen")
        for test in ("coarse", "dune", "harbour")
    }
    assert first["accuracy"].between(0, 1).all()
    assert first[first["test"] == "dune"]["accuracy"].mean() > 0.4  # five equal classes
    # the tree of classes: a lab that says neutrophil gets right answers, too
    both = first[first["protocol"] == "unseen"].groupby("test")["accuracy"].mean()
    assert both["coarse"] == both["dune"]
    assert set(first[first["test"] == "coarse"]["classes"]) == {
        "eosinophil erythroblast lymphocyte monocyte neutrophil"
    }
    assert set(first["chosen_by"]) == {"source validation"}
    assert not first["cached"].any()
    assert (first["peak_mb"] > 50).all()
    again = run(three, out, "frozen")
    assert again["cached"].all()
    pd.testing.assert_frame_equal(first.drop(columns="cached"), again.drop(columns="cached"))
    text = (out / "table.md").read_text()
    assert f"| method | harbour→dune | harbour→coarse | harbour→harbour | {MEAN} |" in text
    assert "seen by the backbone" in text
    assert "In brackets: the 95 % interval" in text
    intervals = pd.read_csv(out / "intervals.csv")
    means = again.groupby(["protocol", "test"])["accuracy"].mean()
    for row in intervals.to_dict("records"):
        assert row["accuracy"] == pytest.approx(means[row["protocol"], row["test"]])
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert set(intervals["drawn"]) == {"patients"}
    assert (again["macro_f1_low"] <= again["macro_f1"]).all()
    assert pd.read_csv(out / "results.csv")["cached"].all()
    assert not [path for path in out.rglob("*") if ".part" in path.name]


def test_no_method_is_shown_a_targets_label_or_in_unseen_a_target(three: list[str], out: Path, spy: type[Spy]) -> None:
    run(three, out, "spy-source", "spy-target", "spy-labs", seeds=1)
    shown = [[cells.lab for cells in targets] for _, targets, _ in spy.shown]
    # for all; for each tested lab; for all other labs, and again for "unseen"
    assert shown == [[], ["dune"], ["coarse"], ["dune", "coarse"], []]
    for source, targets, _ in spy.shown:
        assert source.cells.lab == "harbour"
        for number, cells in enumerate(targets, start=1):
            assert cells.domain == number
            assert not hasattr(cells, "labels")
            assert list(cells.square.table.columns) == ["key", "size"]  # type: ignore[attr-defined]
    results = pd.read_csv(out / "results.csv")
    assert set(results[results["protocol"] == "unseen"]["row"]) == {"spy-source", "spy-labs"}


def test_a_lab_that_is_not_tested_is_looked_at_in_both_protocols_without_its_copies(
    three: list[str], out: Path, spy: type[Spy], tmp_path: Path
) -> None:
    kept = tmp_path / "more"
    kept.mkdir()
    for number, kind in enumerate(("monocyte", "basophil", "eosinophil")):
        rng = np.random.default_rng(number)
        Image.fromarray(render_cell(kind, random_style(rng), rng, size=96).image).save(kept / f"{number}.png")
    tested = read_domain(three[1].split("=")[1])
    Image.fromarray(tested.load(0)).save(kept / "copy.png")
    results = run([three[0], three[1]], out, "spy-source", "spy-labs", seeds=1, seed=41, unlabelled=[f"more={kept}"])
    shown = [[cells.lab for cells in targets] for _, targets, _ in spy.shown]
    assert shown == [[], ["dune", "more"], ["more"]]
    assert [source.unseen for source, _, _ in spy.shown] == [True, False, True]
    assert len(spy.shown[-1][1][0]) == 3  # without the copy of a tested image
    assert set(results["test"]) == {"harbour", "dune"}


def test_a_targets_labels_change_scores_and_nothing_that_is_learnt(
    three: list[str], out: Path, spy: type[Spy], tmp_path: Path
) -> None:
    run(three[:2], out, "spy-target", seeds=1, seed=21)
    place = Path(shutil.copytree(Path(three[1].split("=")[1]).parent, tmp_path / "dune"))
    table = pd.read_csv(place / "manifest.csv")
    table["label"] = table["label"].to_numpy()[::-1]
    table.to_csv(place / "manifest.csv", index=False)
    run([three[0], f"dune={place / 'manifest.csv'}"], out, "spy-target", seeds=1, seed=21)
    (one, before, _), (other, after, _) = spy.shown
    np.testing.assert_array_equal(one.cells.rows, other.cells.rows)
    np.testing.assert_array_equal(before[0].rows, after[0].rows)  # no label decides over what is seen
    for names in (("tokens",), ("crops",)):
        np.testing.assert_array_equal(before[0].batch(range(5), *names)[0], after[0].batch(range(5), *names)[0])


def test_settings_data_and_seed_are_in_the_key_of_the_cache(
    three: list[str], out: Path, spy: type[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(three[:2], out, "spy-source", seeds=1, per_class=2)
    assert not first["cached"].any()
    assert run(three[:2], out, "spy-source", seeds=1, per_class=2)["cached"].all()
    assert not run(three[:2], out, "spy-source", seeds=1, per_class=3)["cached"].any()
    assert not run(three[:2], out, "spy-source", seeds=1, per_class=2, seed=5)["cached"].any()
    row = Row("spy-source", "Spy", lambda options: Spy(level=2), sees="source", code=())
    monkeypatch.setitem(ROWS, "spy-source", row)
    assert not run(three[:2], out, "spy-source", seeds=1, per_class=2)["cached"].any()
    (path,) = {
        path
        for path in (out / "cache").glob("spy-source-*.json")
        if json.loads(path.read_text())["key"]["settings"]["level"] == 2
    }
    path.write_text("{")  # damaged: made again
    assert not run(three[:2], out, "spy-source", seeds=1, per_class=2)["cached"].any()


def test_cells_that_other_code_made_are_made_anew(
    three: list[str], out: Path, spy: type[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(three[:2], out, "spy-source", seeds=1, seed=31)
    before = {path.name for path in (out / "cells").iterdir()}
    monkeypatch.setattr("dorl.benchmark.labs.code_digest", lambda modules: "other code")
    monkeypatch.setattr("dorl.benchmark.jobs.code_digest", lambda modules: "other code")
    assert not run(three[:2], out, "spy-source", seeds=1, seed=31)["cached"].any()
    new = {path.name for path in (out / "cells").iterdir()} - before
    assert len(new) == 2


def test_an_interrupted_benchmark_goes_on(three: list[str], out: Path, spy: type[Spy]) -> None:
    spy.stop_at.append(1)
    with pytest.raises(KeyboardInterrupt):
        run(three[:2], out, "spy-labs", seeds=2, seed=11)
    spy.stop_at.clear()
    results = run(three[:2], out, "spy-labs", seeds=2, seed=11)
    assert results[results["seed"] == 11]["cached"].any()
    assert not results[results["seed"] == 12]["cached"].any()


def test_weights_trained_without_a_lab_serve_that_lab_only(
    three: list[str], out: Path, spy: type[Spy], tmp_path: Path
) -> None:
    from dorl.segmentation import Segmenter
    from dorl.segmentation.checkpoints import save_base

    network = Segmenter.load("tiny", device="cpu")
    network.mean = (120.0, 110.0, 100.0)
    save_base(network, tmp_path / "other.safetensors", card={}, half=False)
    results = run(
        three,
        out,
        "spy-source",
        seeds=1,
        protocols=["unseen"],
        unseen_segmenter=[f"dune={tmp_path / 'other.safetensors'}"],
    )
    told = results.set_index("test")["backbone"]
    assert told["dune"] == "not seen by the backbone"
    assert told["coarse"].startswith("seen by the backbone")
    assert len(spy.shown) == 2  # the source is embedded by both


def test_classes_that_are_asked_for_are_learnt_and_compared(three: list[str], out: Path, spy: type[Spy]) -> None:
    results = run(three, out, "spy-target", seeds=1, classes=["neutrophil", "lymphocyte", "monocyte"])
    for source, targets, _ in spy.shown:
        assert source.classes == ["lymphocyte", "monocyte", "neutrophil"]
        assert len(targets[0]) == 30  # all images, since which are of these classes isn't known
    assert set(results["classes"]) == {"lymphocyte monocyte neutrophil"}
    assert set(results[results["test"] != "harbour"]["cells"]) == {18}


def test_source_cells_are_drawn_by_class_and_the_fold_is_never_learnt(labs: list[str]) -> None:
    domain = read_domain(labs[0].split("=")[1])
    domain = replace(domain, table=domain.table.assign(patient=None))
    lab = prepare_lab(domain, SharedLevel(("lymphocyte", "neutrophil")), only_source=True)
    assert len(lab.domain) == 12
    held_out = []
    for number in range(3):
        learn, held = draw(lab, per_class=3, folds=3, number=number, seed=number, first=0)
        assert not set(learn) & set(held)
        assert pd.Series(lab.labels[learn]).value_counts().to_dict() == {"lymphocyte": 3, "neutrophil": 3}
        held_out += held.tolist()
    assert sorted(held_out) == list(range(12))


def test_a_patient_lies_on_one_side_of_a_source_fold(labs: list[str]) -> None:
    lab = prepare_lab(read_domain(labs[0].split("=")[1]), None, only_source=True)
    patients = lab.domain.table["patient"].to_numpy(object)
    assert len(set(patients)) == 3
    for number in range(3):
        learn, held = draw(lab, per_class=None, folds=3, number=number, seed=number, first=0)
        assert not set(patients[learn]) & set(patients[held])


def test_jobs_serve_both_protocols_where_they_may(spy: type[Spy]) -> None:
    rows = [(ROWS["spy-source"], 2), (ROWS["spy-target"], 1)]
    jobs = plan(rows, Plan(["a", "b"], ["a", "b", "c"], ["transductive", "unseen"], {"": "x"}))
    assert len(jobs) == 2 * 2 + 2 * 2
    (first, *_) = jobs
    assert set(first.tests) == {"a", "b", "c"}
    assert {protocol for protocol, _ in first.claims} == {"transductive", "unseen"}
    apart = plan(rows[:1], Plan(["a"], ["a", "b", "c"], ["unseen"], {"": "x", "b": "y"}, own=False))
    assert sorted((job.segmenter, job.tests, job.number) for job in apart) == [
        *[("x", ("c",), number) for number in (0, 1)],
        *[("y", ("b",), number) for number in (0, 1)],
    ]


def test_a_row_whose_package_is_missing_is_left_out_or_refused(
    three: list[str], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dorl.commands.benchmark.ROWS", {"frozen": ROWS["frozen"], "dann": ROWS["dann"]})
    monkeypatch.setattr("dorl.commands.benchmark.importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs skada, skorch: pip install 'dorl\[benchmark\]'"):
        run(three, tmp_path / "new", "dann")
    assert not (tmp_path / "new").exists()


def test_the_peak_of_memory_is_that_of_the_time_watched() -> None:
    with Watch() as before:
        pass
    with Watch() as watch:
        held = np.frombuffer(mmap.mmap(-1, 240_000_000), np.uint8)  # not from what was given back before
        held[:] = 1
    assert watch.seconds > 0
    if before.peak is not None and watch.peak is not None:
        assert watch.peak - before.peak > 0.5 * held.nbytes / 2**20


@pytest.mark.slow
def test_rows_that_see_all_labs_run_in_both_protocols(
    three: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dorl.benchmark.methods.cfe import AECFE
    from dorl.benchmark.methods.published import Published

    small = {
        "ae-cfe": AECFE(iterations=2, batch_size=6),
        "dorl-published": Published(iterations=2, classifiers=("LR",)),
    }
    for name, method in small.items():
        monkeypatch.setitem(ROWS, name, replace(ROWS[name], build=lambda options, method=method: method))
    results = run(three[:2], tmp_path / "out", *small)
    assert set(results["method"]) == {"AE-CFE, RF", "DoRL as published, LR"}
    assert set(results["protocol"]) == {"transductive", "unseen"}
    assert set(results["seed"]) == {0}  # the quick profile
    text = (tmp_path / "out" / "table.md").read_text()
    assert "little training and one seed for: AE-CFE; DoRL as published." in text
    assert results[results["protocol"] == "transductive"]["target"].unique().tolist() == ["dune"]
    assert results[results["protocol"] == "unseen"]["target"].unique().tolist() == [""]


@pytest.mark.slow
@pytest.mark.parametrize("row", ["bc-sam", "frozen-per-lab", "mcc"])
def test_rows_run_as_registered(three: list[str], tmp_path: Path, row: str) -> None:
    for module in ROWS[row].needs:
        pytest.importorskip(module, reason="of the extra 'benchmark'")
    results = run(three[:2], tmp_path / "out", row, seeds=1, protocols=["transductive"])
    assert set(results["test"]) == {"harbour", "dune"}
    assert results["accuracy"].between(0, 1).all()


def test_the_mean_over_targets_leaves_the_own_lab_out_and_the_best_is_bold() -> None:
    def row(method: str, test: str, seed: int, score: float) -> dict[str, object]:
        return {"method": method, "train": "a", "test": test, "seed": seed, "accuracy": score}

    frame = pd.DataFrame(
        [
            # fitted anew for each target: two numbers of the own lab a seed, which count as one
            *[row("one", "a", seed, score) for seed in (0, 1) for score in (1.0, 0.5)],
            *[row("one", "b", seed, 0.5 + 0.2 * seed) for seed in (0, 1)],
            *[row("one", "c", seed, 0.1) for seed in (0, 1)],
            row("two", "b", 0, 0.4),
            row("two", "c", 0, 0.4),
        ]
    )
    head, _, one, two = score_table(frame, "accuracy").splitlines()
    assert head == f"| method | a→b | a→c | a→a | {MEAN} |"
    assert one == "| one | **60.0 ± 10.0** | 10.0 ± 0.0 | **75.0 ± 0.0** | 35.0 ± 5.0 |"
    assert two == "| two | 40.0 | **40.0** | – | **40.0** |"


def test_cells_are_embedded_once(three: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dorl.segmentation import Segmenter

    lab = prepare_lab(read_domain(three[0].split("=")[1], name="harbour"), None, only_source=False)
    lab = Lab(lab.domain.take(range(5)), lab.labels[:5])
    network = Segmenter.load("tiny", device="cpu")
    one = embed_lab(lab, network, tmp_path, whole=False)
    assert one.whole is None
    assert one.backbone is network
    monkeypatch.setattr(Segmenter, "__call__", lambda *_: pytest.fail("embedded again"))
    again = embed_lab(lab, network, tmp_path, whole=False)
    np.testing.assert_array_equal(one.batch(range(5), "crops")[0], again.batch(range(5), "crops")[0])
