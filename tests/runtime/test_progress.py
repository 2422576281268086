"""Progress as plain lines, and as a bar on a terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dorl.runtime import progress
from dorl.runtime.progress import say, track


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_say_leaves_standard_output_free(capsys: pytest.CaptureFixture[str]) -> None:
    say("two labs")
    assert capsys.readouterr() == ("", "two labs\n")


def test_every_item_comes_in_order() -> None:
    assert list(track(iter(range(100)), total=100, what="counting")) == list(range(100))
    assert list(track([], total=0, what="counting")) == []


def test_a_quick_loop_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    list(track(range(100), total=100, what="counting"))
    assert capsys.readouterr() == ("", "")


def test_plain_lines_say_how_far_and_how_long(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(10), total=10, what="embedding cells"):
        clock.now += 8
    out, lines = capsys.readouterr()
    assert out == ""
    assert lines.splitlines() == [
        "embedding cells: 3/10, about 56 s left",
        "embedding cells: 6/10, about 32 s left",
        "embedding cells: 9/10, about 8 s left",
        "embedding cells: 10/10 in 80 s",
    ]


def test_a_run_that_goes_on_counts_what_was_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(4), total=104, what="embedding cells", done=100):
        clock.now += 15
    assert capsys.readouterr().err.splitlines() == [
        "embedding cells: 102/104, about 30 s left",
        "embedding cells: 104/104 in 60 s",
    ]


def test_an_error_in_the_loop_is_not_called_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def items() -> Iterator[int]:
        yield 1
        clock.now += 5
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(track(items(), total=2, what="reading"))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pty")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        seen = list(track("abc", total=5, what="embedding cells", done=2))
    shown = b""
    with contextlib.suppress(OSError):  # the end of what was shown, on Linux
        while part := os.read(master, 4096):
            shown += part
    os.close(master)
    assert seen == ["a", "b", "c"]
    assert b"embedding cells" in shown
    assert b"5/5" in shown


def test_an_item_may_stand_for_several(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track([[1] * 8, [1] * 8, [1] * 4], total=20, what="embedding cells", size=len):
        clock.now += 21
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0].split(" in ")[0] for line in lines] == [f"embedding cells: {n}/20" for n in (8, 16, 20)]
