from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dorl.errors import InputError
from dorl.serving.security import check_token, is_loopback

from .asking import ADDRESS, send

TOKEN = "a-token-that-is-long-enough"
Serve = Callable[..., TestClient]


def test_with_another_address_a_token_is_asked_for() -> None:
    check_token("127.0.0.1", None)
    check_token("::1", None)
    check_token("0.0.0.0", TOKEN)
    for host in ("0.0.0.0", "192.168.1.2", "::", "lab.example"):
        with pytest.raises(InputError, match="set a token"):
            check_token(host, None)
    for token in ("short", "ü" * 20, "a\n" * 10):
        with pytest.raises(InputError, match="16 characters"):
            check_token("127.0.0.1", token)
    assert not is_loopback("127.0.0.1.evil.example")


def test_a_name_that_was_made_to_lead_here_is_refused(client: TestClient) -> None:
    for host in ("evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[::1"):
        answer = client.get("/v1/model", headers={"host": host})
        assert answer.status_code == 400, host
        assert "localhost only" in answer.json()["detail"]
    for host in ("localhost:9000", "127.0.0.1:1", "[::1]:8000"):
        assert client.get("/v1/model", headers={"host": host}).status_code == 200


def test_pages_of_other_hosts_change_nothing(client: TestClient, images: list[Path]) -> None:
    cell = send(client, ("a.png", images[0].read_bytes())).json()["cells"][0]["id"]
    place = f"/v1/cells/{cell}/label"
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.put(place, json={"label": "monocyte"}, headers=headers).status_code == 403
        assert client.post("/v1/cells", files={"files": b"x"}, headers=headers).status_code == 403
        assert client.delete("/v1/samples/1", headers=headers).status_code == 403
    assert client.get(f"/v1/cells/{cell}").json()["label"] is None
    own = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
    assert client.put(place, json={"label": "monocyte"}, headers=own).status_code == 204


def test_without_the_token_nothing_is_shown(serve: Serve, images: list[Path]) -> None:
    client = serve(token=TOKEN)
    for path in ("/v1/model", "/v1/samples", "/v1/openapi.json", "/v1/cells/1/image.jpg"):
        answer = client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert send(client, ("a.png", images[0].read_bytes())).status_code == 401
    assert client.get("/v1/model", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/v1/model", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    # a network's name leads here where a token protects
    headers = {"authorization": f"Bearer {TOKEN}", "host": "lab.example:8000"}
    assert client.get("/v1/model", headers=headers).status_code == 200
    assert client.get("/").status_code == client.get("/v1/health").status_code == 200


def test_the_page_gets_a_cookie_for_the_token(serve: Serve) -> None:
    client = serve(token=TOKEN)
    assert client.post("/v1/session", json={"token": "wrong"}).status_code == 401
    answer = client.post("/v1/session", json={"token": TOKEN})
    assert answer.status_code == 204
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert TOKEN not in said
    assert client.get("/v1/model").status_code == 200
    client.cookies.clear()
    assert client.get("/v1/model", headers={"cookie": f"dorl={TOKEN}"}).status_code == 401
