"""Every page: its commands are understood, its Python compiles, its links lead somewhere."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import typer

from .pages import PAGES, ROOT, blocks

NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def command() -> Any:
    from dorl.cli import app

    return typer.main.get_command(app)


def understood(words: list[str]) -> None:
    """Read a command's words as `dorl` does, without running it."""
    group = command()
    with group.make_context("dorl", words[:1], resilient_parsing=True) as context:
        name, found, _ = group.resolve_command(context, words[:1])
        if found is None:
            raise ValueError(f"No such command {words[0]!r}")
        found.make_context(name, words[1:], parent=context).close()


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_page_are_understood(name: str) -> None:
    for block in blocks(ROOT / name):
        for words in block.commands():
            try:
                understood(words)
            except Exception as error:
                said = error.format_message() if hasattr(error, "format_message") else str(error)
                pytest.fail(f"{name}:{block.line}: dorl {' '.join(words)}: {said}")


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        understood(["inspect", "ours=/images/ours", "--no-such-option"])
    with pytest.raises(Exception, match="No such command"):
        understood(["no-such-command"])


def test_the_commands_are_found() -> None:
    found = [words for block in blocks(ROOT / "README.md") for words in block.commands()]
    assert [words[0] for words in found] == ["inspect", "evaluate", "fit", "predict", "benchmark"]
    assert found[4][-1] == "measured"  # over lines that are joined


@pytest.mark.parametrize("name", NAMES)
def test_the_python_of_a_page_compiles(name: str) -> None:
    for block in blocks(ROOT / name):
        if block.kind == "python":
            compile(block.text, f"{name}:{block.line}", "exec")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub write them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    made = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
        made.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return made


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_no_link_within_the_project_is_dead(name: str) -> None:
    page = ROOT / name
    dead = []
    text = re.sub(r"^```.*?^```|^ {4}[^\n]*|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*")
        if path.suffix in (".md", ".ipynb")
    ]
    assert pages
    assert [page for page in pages if not re.search(rf"[ ]{re.escape(page)}$", navigation, re.M)] == []
