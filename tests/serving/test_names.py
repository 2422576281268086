"""Names of any letters, through an upload, a zip, a folder of the server, and out again."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dorl.domains import read_domain
from dorl.names import printable
from dorl.serving.app import make_app
from dorl.serving.uploads.multipart import MAX_NAME_LENGTH, clean_name, sent_name

from .asking import ADDRESS, png
from .standin import StandIn, grey

NAMES = (
    "plain.png",
    "bär.png",
    "ba\u0308r.png",
    "日本.png",
    "Ωmega.png",
    "🩸 cell.png",
    "a;b=c.png",
    'quo"te.png',
    "back\\slash.png",
    "x:1.png",
    " leading.png",
    "=1+1.png",
    "-1.png",
    "50%25.png",
    "é" * 120 + ".png",
)


#: any name that a browser sends: a quote is written otherwise, and so are backslashes and control characters
SENT = st.text(
    st.characters(exclude_characters='/\\%"', exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40
).filter(lambda name: not name.startswith("."))


def uploaded(client: TestClient, *files: tuple[bytes, bytes]) -> list[str]:
    """Send files under names of any bytes, as a browser does; gives the names that are shown."""
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n\r\n' + data + b"\r\n"
        for name, data in files
    ]
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/cells", params={"wait": 30}, content=b"".join(parts) + b"--x--\r\n", headers=headers)
    assert answer.status_code == 200, answer.text
    return [cell["name"] for cell in answer.json()["cells"]]


@pytest.fixture
def page(folder: Path, tmp_path: Path) -> TestClient:
    """A page that may take the folder ``lab``."""
    (tmp_path / "lab").mkdir()
    with TestClient(make_app(StandIn(), folder, allowed={"lab": tmp_path / "lab"}), base_url=ADDRESS) as client:
        yield client  # type: ignore[misc]


def test_each_file_of_an_upload_is_shown_under_its_own_name(page: TestClient) -> None:
    sent = [(name.replace('"', "%22").encode(), png(16, 16)) for name in NAMES]
    assert uploaded(page, *sent) == list(NAMES)
    assert uploaded(page, (b"caf\xe9.png", png(16, 16)), (b"", png(16, 16))) == ["caf\\xe9.png", "image"]


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(SENT, min_size=1, max_size=4))
def test_names_over_unicode_come_through_an_upload_and_a_zip(page: TestClient, names: list[str]) -> None:
    sent = [(name.replace('"', "%22").encode(), grey(20, "PNG")) for name in names]
    assert uploaded(page, *sent) == [clean_name(name) for name in names]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(f"{number}/{name}.png", grey(20, "PNG"))
    shown = [clean_name(f"{number}/{name}.png") for number, name in enumerate(names)]
    assert uploaded(page, (b"slide.zip", made.getvalue())) == shown


def test_each_image_of_a_zip_is_shown_under_its_own_name(page: TestClient) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in NAMES:
            archive.writestr(name, png(16, 16))
    assert uploaded(page, (b"slide.zip", made.getvalue())) == list(NAMES)
    # packers that write UTF-8 and don't say so
    unsaid = made.getvalue().replace(b"\x14\x00\x00\x08\x00\x00", b"\x14\x00\x00\x00\x00\x00")
    assert unsaid != made.getvalue()
    assert "bär.png" in uploaded(page, (b"slide.zip", unsaid))


@pytest.mark.posix
def test_a_folder_of_the_server_is_shown_and_taken_away_again(page: TestClient, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    for name in NAMES:
        (lab / name).write_bytes(png(16, 16))
    (lab / os.fsdecode(b"caf\xe9.png")).write_bytes(png(16, 16))
    told = page.post("/v1/folders/lab/cells", params={"wait": 30}).json()
    shown = [cell["name"] for cell in told["cells"]]
    assert sorted(shown) == sorted([*NAMES, "caf\\xe9.png"])
    for cell in told["cells"]:
        assert page.put(f"/v1/cells/{cell['id']}/label", json={"label": "monocyte"}).status_code == 204
    sample = told["sample"]["id"]
    table = page.get(f"/v1/samples/{sample}/cells.csv").text
    assert "\n'=1+1.png," in table
    assert "\n'-1.png," in table
    assert len(pd.read_csv(io.StringIO(table))) == len(shown)
    archive = zipfile.ZipFile(io.BytesIO(page.get(f"/v1/samples/{sample}/lab.zip").content))
    archive.extractall(tmp_path / "taken")
    taken = read_domain(tmp_path / "taken" / "manifest.csv")
    assert taken.labels.tolist() == ["monocyte"] * len(shown)
    assert taken.left_out.empty


def test_an_image_that_changed_after_its_label_is_not_taken_away_with_it(page: TestClient, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    for name in ("a.png", "b.png"):
        (lab / name).write_bytes(png(16, 16))
    told = page.post("/v1/folders/lab/cells", params={"wait": 30}).json()
    page.put(f"/v1/cells/{told['cells'][0]['id']}/label", json={"label": "monocyte"})
    (lab / "a.png").write_bytes(png(20, 20))
    answer = page.get(f"/v1/samples/{told['sample']['id']}/lab.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["images/00002.png", "manifest.csv", "left_out.csv"]
        assert archive.read("left_out.csv").decode().splitlines()[1] == "a.png,has changed since it was looked at"


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_any_name_is_shown_as_one_line(name: str) -> None:
    shown = clean_name(name)
    shown.encode()
    assert shown == printable(shown)
    assert 0 < len(shown) <= MAX_NAME_LENGTH
    assert clean_name(shown) == shown or "\\" in shown


@given(st.text(st.characters(exclude_characters='\0\r\n"\\%', exclude_categories=["Cs"]), min_size=1))
def test_a_name_is_what_the_sender_wrote(name: str) -> None:
    for sent in (f'form-data; name="files"; filename="{name}"', f'form-data; filename="{name}"; name="files"'):
        if '"; ' not in name:
            assert sent_name(sent.encode()) == name


@given(st.binary())
def test_no_header_ends_an_upload(header: bytes) -> None:
    name = sent_name(header)
    if name is not None:
        clean_name(name).encode()
    assert clean_name(quote(header))
