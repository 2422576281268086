"""A page's folder that another run takes over: no correction is lost, and no class gets another's probability."""

from __future__ import annotations

import csv
import io
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dorl.serving.database import _FIELDS, _TABLES

from .asking import send, send_fields
from .standin import CLASSES, StandIn, grey

Take = Callable[..., TestClient]
OTHERS = ["smudge_cell", "basophil", "eosinophil"]


@pytest.fixture
def take(opened: Take) -> Take:
    """Let a run take the folder over; gives a client."""
    return partial(opened, alone=True)


@pytest.mark.parametrize("picked", [False, True])
def test_a_correction_in_a_field_outlives_the_next_run(take: Take, folder: Path, tmp_path: Path, picked: bool) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    for name in ("a.png", "b.png"):
        (lab / name).write_bytes(grey(100, "PNG"))
    client = take(StandIn(), allowed={"lab": lab})
    files = [(path.name, path.read_bytes()) for path in sorted(lab.iterdir())]
    told = (client.post("/v1/folders/lab/fields?wait=30") if picked else send_fields(client, *files)).json()
    sample, cell = told["sample"]["id"], told["cells"][1]["id"]
    assert client.put(f"/v1/cells/{cell}/label", json={"label": "smudge_cell"}).status_code == 204
    client.__exit__(None, None, None)
    with sqlite3.connect(folder / "page.sqlite") as connection:  # as if the server had stopped before the end
        connection.execute("UPDATE samples SET done = 0")
    connection.close()
    another = StandIn("two", OTHERS)
    client = take(another, allowed={"lab": lab})
    _wait(client, sample)
    found = client.get(f"/v1/cells/{cell}").json()
    assert found["label"] == "smudge_cell"
    assert [(one["label"], one["model"]) for one in found["corrections"]] == [("smudge_cell", "one")]
    # the other field was searched once more, and all cells are the new run's
    assert another.searched == 1
    told = client.get(f"/v1/samples/{sample}/cells").json()
    assert (told["count"], told["sample"]["left_out"]) == (4, [])
    assert {cell["class"] for cell in told["cells"]} == {"basophil"}
    assert all(list(cell["probabilities"]) == OTHERS for cell in told["cells"])


def test_probabilities_keep_the_names_of_their_classes(take: Take) -> None:
    told = send(take(StandIn()), ("a.png", grey(20, "PNG"))).json()
    sample, cell = told["sample"]["id"], told["cells"][0]
    assert cell["probabilities"] == {"basophil": 0.8, "eosinophil": 0.1, "monocyte": 0.1}
    client = take(StandIn("two", OTHERS))
    assert client.get(f"/v1/samples/{sample}/cells").json()["cells"] == [cell]
    assert client.get(f"/v1/cells/{cell['id']}").json()["probabilities"] == cell["probabilities"]
    row = next(csv.DictReader(io.StringIO(client.get(f"/v1/samples/{sample}/cells.csv").text)))
    assert [row[name] for name in OTHERS] == ["", "0.8", "0.1"]


def test_of_an_earlier_dorl_only_the_same_run_has_probabilities(take: Take, folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "page.sqlite") as connection:
        connection.executescript(_TABLES + _FIELDS)
        for model in ("one", "two"):
            connection.execute(
                "INSERT INTO samples (name, made, folder, model, done) VALUES ('old', 'then', 'x', ?, 1)", (model,)
            )
        connection.execute(
            "INSERT INTO cells (sample, name, file, bytes, class, probability, probabilities, distance, found, "
            "confidence, neighbours) SELECT id, 'a', 'a', 1, 'monocyte', 0.8, '[0.1, 0.1, 0.8]', 0, 1, 1, '[]' "
            "FROM samples"
        )
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    client = take(StandIn("one"))
    told = [client.get(f"/v1/samples/{sample}/cells").json()["cells"][0]["probabilities"] for sample in (1, 2)]
    assert told == [dict(zip(CLASSES, [0.1, 0.1, 0.8], strict=True)), {}]


def _wait(client: TestClient, sample: int) -> None:
    for _ in range(600):
        if client.get(f"/v1/samples/{sample}").json()["state"] == "done":
            return
        time.sleep(0.02)
    raise AssertionError("the sample isn't done")
