"""Runs on the hub: names, what is fetched, the cache, and what can go wrong, against a stand-in on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorl.errors import InputError
from dorl.runtime.hub import located, refuse_on_hub, repository_of, title_of
from hub_server import TOKEN, Hub, Repository

FILES = {"config.toml": b"format = 1\n", "classifiers/lr.skops": b"weights", "README.md": b"card"}


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert located(tmp_path) == tmp_path
    assert title_of(tmp_path / "run") == "run"
    assert title_of("hub:someone/cells@v1") == "cells"


@pytest.mark.parametrize(
    "name", ["hub:", "hub:cells", "hub:a/b/c", "hub:../cells", "hub:a/b@", "hub:a/b@../../etc", "hub:a b/c"]
)
def test_a_wrong_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match="give") as caught:
        repository_of(name)
    assert "\n" not in str(caught.value)


def test_only_files_that_hold_no_code_are_fetched(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"setup.py": b"code", "model.pkl": b"code", "report.html": b"<script>", "classifiers/lr.pkl": b"code"}
    hub.repositories["someone/cells"] = Repository({**FILES, **odd})
    folder = located("hub:someone/cells")
    assert content(folder) == FILES
    assert not [path for path in hub.asked if any(name in path for name in odd)]
    commit = hub.repositories["someone/cells"].head
    assert f"hub:someone/cells@{commit} gives the same again" in capsys.readouterr().err


def test_a_revision_stays_what_it_was(hub: Hub) -> None:
    repository = hub.repositories["someone/cells"] = Repository(FILES)
    first = repository.head
    repository.commit({**FILES, "README.md": b"another"})
    assert content(located(f"hub:someone/cells@{first}"))["README.md"] == b"card"
    assert content(located("hub:someone/cells"))["README.md"] == b"another"


def test_what_was_fetched_once_needs_no_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["someone/cells"] = Repository(FILES)
    folder = located("hub:someone/cells")
    asked = len(hub.asked)
    assert located("hub:someone/cells", local_files_only=True) == folder
    assert located(f"hub:someone/cells@{folder.name}", local_files_only=True) == folder
    assert len(hub.asked) == asked
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert located("hub:someone/cells") == folder


def test_a_private_repository_needs_a_token(hub: Hub) -> None:
    hub.repositories["someone/cells"] = Repository(FILES, private=True)
    with pytest.raises(InputError, match="or a private one; check the name, or log in with: hf auth login"):
        located("hub:someone/cells")
    assert content(located("hub:someone/cells", token=TOKEN)) == FILES


def test_what_is_not_there_is_said_in_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["someone/cells"] = Repository(FILES)
    hub.repositories["someone/else"] = Repository({"README.md": b"another model"})
    cases = {
        "hub:nobody/cells": "no such repository",
        "hub:someone/cells@v9": "no such revision",
        "hub:someone/else": "holds no run of dorl",
    }
    for name, match in cases.items():
        with pytest.raises(InputError, match=match) as caught:
            located(name)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"not in the hub's cache, and the hub gave nothing \(\w+\); go online once"):
        located("hub:someone/never-fetched")


def test_nothing_is_written_into_a_run_of_the_hub(tmp_path: Path) -> None:
    refuse_on_hub(tmp_path, "the report")
    with pytest.raises(InputError, match="the report is written into the run's folder; save the run"):
        refuse_on_hub("hub:someone/cells", "the report")
