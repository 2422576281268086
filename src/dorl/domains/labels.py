"""What a label in a table, or a folder's name, says of the class; a doubtful one is told, not guessed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from dorl.taxonomy import NODES, WBCBENCH_CODES, parse_label

#: different codes of WBCBench 2026 that a table must have, and nothing else, to be read by them
_CODES = 3

#: what stands in tables where nothing is known
_NOTHING = frozenset(
    {
        *("nan", "na", "n/a", "<na>", "nil", "none", "null", "nat", "unknown", "undefined", "unclear"),
        *("#n/a", "n.a.", "n. a.", "(blank)", "blank", "tbd", "todo", "unsure", "uncertain", "indeterminate"),
        *("-", "--", ".", "?", "??", "???"),
    }
)
_DOUBT = str.maketrans("", "", "?¿")


def class_of(text: str) -> str | None:
    """The class that a label or a folder means; None where it isn't known, or has a question mark."""
    if text in NODES:
        return text
    return None if _plain(text) != _plain(text).translate(_DOUBT) else parse_label(text)


def wbcbench_codes(labels: Iterable[object]) -> tuple[dict[str, str], list[str]]:
    """Classes of the codes of WBCBench 2026 where a table's labels are such codes alone, and a remark; else nothing."""
    found = {text for label in labels if isinstance(label, str) and (text := label.strip())}
    if len(found) < _CODES or not found <= set(WBCBENCH_CODES):
        return {}, []
    return WBCBENCH_CODES, [
        "classes are taken from the labels' codes, as in WBCBench 2026; name classes if they differ"
    ]


def doubtful(text: str, what: str = "label") -> str | None:
    """What is wrong with a label that stands for no class, or for one with a question mark; None for other names."""
    if _plain(text) in _NOTHING:
        return f"{what} {text!r} may stand for none: leave it empty, or name a class"
    return f"{what} {text!r} is uncertain: name a class, or leave it empty" if uncertain(text) else None


def uncertain(text: str) -> bool:
    """Whether a label names a class and has a question mark."""
    plain = _plain(text)
    return plain != plain.translate(_DOUBT) and parse_label(plain.translate(_DOUBT)) is not None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).strip().casefold()
