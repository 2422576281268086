"""The zip of a sample: what goes into it, and what of it is left where the server stopped meanwhile."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

from fastapi.testclient import TestClient

from dorl.serving.app import make_app

from .asking import ADDRESS, png
from .standin import StandIn


def test_a_file_of_before_1980_is_taken_away(folder: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "old.png").write_bytes(png(16, 16))
    os.utime(lab / "old.png", (0, 0))
    with TestClient(make_app(StandIn(), folder, allowed={"lab": lab}), base_url=ADDRESS) as client:
        sample = client.post("/v1/folders/lab/cells", params={"wait": 30}).json()["sample"]["id"]
        answer = client.get(f"/v1/samples/{sample}/lab.zip")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("images/00001.png") == png(16, 16)


def test_what_an_export_left_is_removed(folder: Path) -> None:
    folder.mkdir()
    (folder / "tmpab12_cd3.zip").write_bytes(b"half a zip")
    (folder / "mine.zip").write_bytes(b"kept")
    with TestClient(make_app(StandIn(), folder), base_url=ADDRESS):
        pass
    assert not (folder / "tmpab12_cd3.zip").exists()
    assert (folder / "mine.zip").exists()
