from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dorl.commands.serve import allowed_folders, listen, serve
from dorl.errors import InputError


def test_folders_are_allowed_by_name(tmp_path: Path) -> None:
    assert allowed_folders([f"new={tmp_path}"]) == {"new": tmp_path.resolve()}
    for given in ("new", f"={tmp_path}", f"a/b={tmp_path}", "new=", f"new={tmp_path / 'none'}"):
        with pytest.raises(InputError, match="--allow"):
            allowed_folders([given])
    with pytest.raises(InputError, match="given twice"):
        allowed_folders([f"new={tmp_path}", f"new={tmp_path}"])


def test_an_address_that_is_taken_or_is_none_is_told_at_once() -> None:
    with listen("127.0.0.1", 0) as first:
        with pytest.raises(InputError, match="give another --host or --port"):
            listen("127.0.0.1", first.getsockname()[1])
        assert first.family == socket.AF_INET
    for host, port in (("no.such.host.invalid", 0), ("127.0.0.1", 70_000)):
        with pytest.raises(InputError, match=r"--port|listen on"):
            listen(host, port)


def test_what_can_not_be_served_is_refused_before_any_work(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DORL_TOKEN", raising=False)
    with pytest.raises(InputError, match="no such folder"):
        serve(tmp_path / "none")
    with pytest.raises(InputError, match="DORL_TOKEN"):
        serve(fitted, host="0.0.0.0", out=tmp_path / "page")
    with pytest.raises(InputError, match="1 or more"):
        serve(fitted, max_images=0, out=tmp_path / "page")
    monkeypatch.setenv("DORL_TOKEN", "short")
    with pytest.raises(InputError, match="16 characters"):
        serve(fitted, out=tmp_path / "page")
    assert list(tmp_path.iterdir()) == []
