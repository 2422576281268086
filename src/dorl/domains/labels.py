"""What a label in a table, or a folder's name, says of the class; a doubtful one is told, not guessed."""

from __future__ import annotations

import unicodedata

from dorl.taxonomy import NODES, parse_label

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
