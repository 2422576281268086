"""Work that was stopped goes on, and what fails takes nothing else with it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from dorl.errors import InputError
from dorl.serving.app import make_app
from dorl.serving.database import Database
from dorl.serving.model import RunRecogniser
from dorl.serving.recogniser import SeenCell

from .asking import send

Serve = Callable[..., TestClient]


def test_an_unfinished_sample_goes_on_with_the_next_server(
    serve: Serve, images: list[Path], recogniser: RunRecogniser, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    files = [(path.name, path.read_bytes()) for path in images[:10]]
    sample = send(client, *files, wait=0).json()["sample"]["id"]
    client.__exit__(None, None, None)  # ends after the cells at hand
    left = folder / "samples" / "left-over"
    left.mkdir()
    client = serve()
    assert not left.exists()
    for _ in range(600):
        told = client.get(f"/v1/samples/{sample}").json()
        if told["state"] == "done":
            break
        time.sleep(0.05)
    assert (told["looked_at"], told["model"]) == (10, recogniser.version)


def test_one_cell_does_not_wait_for_a_zip(client: TestClient, images: list[Path]) -> None:
    many = send(client, *((path.name, path.read_bytes()) for path in images), wait=0).json()["sample"]["id"]
    assert send(client, ("one.png", images[0].read_bytes())).json()["sample"]["state"] == "done"
    assert client.get(f"/v1/samples/{many}").json()["state"] == "working"


def test_cells_that_fail_are_left_out_and_the_next_work(
    client: TestClient, images: list[Path], recogniser: RunRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(images: Sequence[np.ndarray]) -> list[SeenCell]:
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr(recogniser, "look", broken)
        answer = send(client, ("a.png", images[0].read_bytes()))
    assert answer.status_code == 400
    assert "a.png: failed while working (RuntimeError)" in answer.json()["detail"]
    assert send(client, ("a.png", images[0].read_bytes())).status_code == 200


def test_a_sample_that_is_removed_while_it_is_looked_at_stops(client: TestClient, images: list[Path]) -> None:
    sample = send(client, *((path.name, path.read_bytes()) for path in images), wait=0).json()["sample"]["id"]
    assert client.delete(f"/v1/samples/{sample}").status_code == 204
    assert send(client, ("a.png", images[0].read_bytes())).status_code == 200
    assert client.get("/v1/health").json()["waiting"] == 0
    assert client.get(f"/v1/samples/{sample}").status_code == 404


def test_a_folder_is_one_servers_alone(serve: Serve, recogniser: RunRecogniser, folder: Path) -> None:
    client = serve()
    with pytest.raises(InputError, match="another dorl serve"):
        make_app(recogniser, folder)
    client.__exit__(None, None, None)
    Database(folder / "page.sqlite").close()


def test_a_database_of_another_kind_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "page.sqlite").write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(InputError, match="damaged"):
        Database(folder / "page.sqlite")
    (folder / "page.sqlite").unlink()
    with sqlite3.connect(folder / "page.sqlite") as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(InputError, match="of version 9"):
        Database(folder / "page.sqlite")
