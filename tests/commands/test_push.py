"""A run is put on the hub and used from there, against a stand-in on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorl.commands.predict import predict
from dorl.commands.push import push
from dorl.errors import DorlError, InputError
from dorl.reporting.report import write_run_report
from dorl.run.model import DoRL
from dorl.segmentation import Segmenter
from hub_server import TOKEN, Hub, Repository


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_a_run_is_pushed_and_predicts_from_the_hub_as_from_its_folder(
    hub: Hub, logged_in: None, fitted: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = push(fitted, "someone/cells", licence="apache-2.0")
    told = capsys.readouterr().err
    repository = hub.repositories["someone/cells"]
    assert repository.private
    assert place == f"hub:someone/cells@{repository.head}"
    held = repository.commits[repository.head]
    assert "autoencoder.safetensors" in told
    assert "private where it is new" in told
    assert not [name for name in held if name.startswith(("cells/", "figures/")) or name == "report.html"]
    assert str(rendered).encode() not in b"".join(held.values())
    image = rendered / "dune" / "images" / "000.png"
    predict(fitted, image, out=tmp_path / "own.csv")
    predict("hub:someone/cells", image, out=tmp_path / "hub.csv")
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "hub.csv").read_bytes()
    assert Segmenter.load("hub:someone/cells").digest() == Segmenter.load(fitted).digest()
    again = DoRL.from_pretrained("someone/cells", revision=repository.head, local_files_only=True)
    assert again.classes_ == DoRL.load(fitted).classes_
    with pytest.raises(InputError, match="the report is written into the run's folder"):
        write_run_report(Path("hub:someone/cells"))


def test_a_later_push_takes_the_earlier_one_s_place(hub: Hub, logged_in: None, run: Path) -> None:
    hub.repositories["someone/cells"] = repository = Repository({"cells/crops.bin": b"cells", "LICENSE": b"mine"})
    revision = push(run, "someone/cells")
    assert revision is not None
    held = repository.commits[repository.head]
    assert "cells/crops.bin" not in held
    assert held["LICENSE"] == b"mine"
    push(run, "someone/cells", cells=True)
    assert "cells/crops.bin" in repository.commits[repository.head]


def test_nothing_goes_before_it_was_agreed_to(hub: Hub, logged_in: None, fitted: Path) -> None:
    assert push(fitted, "someone/cells", agreed=lambda: False) is None
    assert hub.asked == []


def test_what_can_not_be_pushed_is_said_in_one_line(
    hub: Hub, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        (fitted, "cells", "no name of a run on the hub"),
        (fitted, "someone/cells@v1", "the hub gives the revision"),
        (tmp_path / "nothing", "someone/cells", "no such folder"),
        (Path("hub:someone/cells"), "someone/other", "is on the hub already"),
        (fitted, "someone/cells", r"the hub refused it \(401\); log in with: hf auth login"),
    ]
    for run, repository, match in cases:
        with pytest.raises(InputError, match=match) as caught:
            push(run, repository)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DorlError, match="the hub can't be reached") as other:
        push(fitted, "someone/cells")
    assert "\n" not in str(other.value)
