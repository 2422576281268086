"""Annotation files as text from others: of a bounded size, and with one line that says what is wrong."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dorl.domains.opening import opened_file
from dorl.errors import BadImageError, InputError


def read_text(path: Path) -> str:
    """A file's text, UTF-8. Raises InputError if it is empty, over 256 MB, or no text."""
    try:
        with opened_file(path) as file:
            return file.read().decode("utf-8-sig")
    except BadImageError as error:
        raise InputError(f"{error}; give another annotation file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: isn't UTF-8 text: export it again") from error


def read_json(path: Path) -> Any:
    """A JSON document. Raises InputError."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: isn't JSON ({error}): export it again") from error


def read_xml(path: Path) -> ElementTree.Element:
    """An XML document without a document type, whose entities could blow it up. Raises InputError."""
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{path}: has a document type; an annotation needs none: take it out")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: isn't XML ({error}): export it again") from error


@contextmanager
def understood(path: Path, tool: str) -> Iterator[None]:
    """What lacks a part, or has one of another kind, becomes an InputError that names the file and the tool."""
    try:
        yield
    except InputError:
        raise
    except BadImageError as error:
        raise InputError(f"{path}: {error}: export it again") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(f"{path}: isn't as {tool} writes it ({what}): export it again") from error


def text(value: object) -> str | None:
    """A word of a document; None where there is none."""
    found = " ".join(str(value).split()) if value is not None else ""
    return found or None
