"""What the pages say to type: commands and Python, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: words before `dorl` that set the environment, or start it otherwise
_BEFORE = re.compile(r"^(?:[A-Z_]+=(?:\$\([^)]*\)|\S+)\s+)*dorl\s")


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Parameters
    ----------
    kind : {"python", "text"}
        By the language that is written behind the fence; indented blocks are text.
    text : str
    line : int
        Of the page, from 1.
    """

    kind: str
    text: str
    line: int

    def commands(self) -> list[list[str]]:
        """The words of each `dorl` command in it, without `dorl`; those that end in an ellipsis are left out."""
        whole = re.sub(r"\\\n\s*", " ", self.text)
        found = []
        for line in whole.splitlines():
            line = line.strip()
            match = _BEFORE.match(line)
            if match and "…" not in line:
                found.append(shlex.split(line[match.end() :], comments=True))
        return found


def blocks(page: Path) -> list[Block]:
    """All blocks of code, fenced and indented."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, began, held = None, 0, list[str]()
    before = ""
    for number, line in enumerate([*lines, ""], 1):
        if fence is not None:
            if line.strip() == "```":
                found.append(Block("python" if fence == "python" else "text", "\n".join(held), began))
                fence = None
            else:
                held.append(line)
        elif line.startswith("```"):
            fence, began, held = line[3:].strip(), number + 1, []
        elif line.startswith("    ") and (held or not before.strip() or before.startswith(("#", "    "))):
            began = began if held else number
            held.append(line[4:])
        elif held:
            found.append(Block("text", "\n".join(held), began))
            held = []
        if fence is None and not line.startswith("    "):
            held = []
        before = line
    return found
