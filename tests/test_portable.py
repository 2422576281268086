"""Nothing in the package needs POSIX: it is imported and works on Windows, too."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from dorl import files, tensorfiles

SOURCE = Path(__file__).parents[1] / "src" / "dorl"
#: modules that Windows lacks
MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
#: attributes of `os`, `signal` and `socket` that Windows lacks
NAMES = {
    *(
        "fork",
        "forkpty",
        "geteuid",
        "getuid",
        "getgid",
        "getpgid",
        "killpg",
        "setsid",
        "mkfifo",
        "mknod",
        "nice",
        "uname",
    ),
    *("statvfs", "chown", "pread", "pwrite", "sendfile", "wait3", "wait4", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK"),
    *("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "alarm", "setitimer", "pthread_kill"),
    *("AF_UNIX", "sched_getaffinity", "sysconf"),
}
#: calls that stand behind a question whether the system has them
ASKED = {("runtime/memory.py", "sysconf"), ("runtime/processes.py", "sched_getaffinity")}


def parsed() -> list[tuple[str, ast.Module]]:
    found = sorted(SOURCE.rglob("*.py"))
    return [(path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in found]


def needs(tree: ast.AST) -> set[str]:
    """What of POSIX a module names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} & MODULES
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {node.attr} & NAMES if node.value.id in ("os", "signal", "socket") else set()
            # os.rename fails on Windows where the new name is taken
            found |= {"os.rename"} if (node.value.id, node.attr) == ("os", "rename") else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {"/tmp"} if node.value.startswith("/tmp") else set()
    return found


def test_the_scan_finds_what_it_looks_for() -> None:
    code = "import fcntl\nfrom resource import getrusage\nos.fork()\nos.rename(a, b)\nat = '/tmp/x'\nos.replace(a, b)"
    assert needs(ast.parse(code)) == {"fcntl", "resource", "fork", "os.rename", "/tmp"}


def test_nothing_that_windows_lacks_is_named() -> None:
    named = {(module, name) for module, tree in parsed() for name in needs(tree)}
    assert named == ASKED


def test_text_files_are_opened_with_an_encoding() -> None:
    """The default is UTF-8 on Linux, and a code page on Windows."""
    bare = []
    for module, tree in parsed():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name, given = node.func.attr, {word.arg for word in node.keywords}
            if name in ("read_text", "write_text") and "encoding" not in given:
                bare.append(f"{module}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize("version", [(3, 10)])
def test_the_source_is_of_the_oldest_python(version: tuple[int, int]) -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=version)


def test_a_pipe_is_written_where_blocking_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(os, "set_blocking")
    files.write_text("/dev/stdout", "whole")
    assert capfd.readouterr().out == "whole"


def test_a_name_that_torch_cannot_open_is_copied_where_links_are_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*words: object, **options: object) -> None:
        raise OSError("A required privilege is not held by the client")

    (tmp_path / "a").write_bytes(b"tensors")
    monkeypatch.setattr(tensorfiles, "_is_utf8", lambda path: False)
    monkeypatch.setattr(Path, "symlink_to", forbidden)
    with tensorfiles.utf8_name(tmp_path / "a") as name:
        assert name != tmp_path / "a"
        assert name.read_bytes() == b"tensors"
