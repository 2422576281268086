"""The classes that a user asks for, and labels taken up to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dorl.domains import Domain
from dorl.errors import InputError
from dorl.taxonomy import NODES, SharedLevel


def check_classes(classes: Sequence[str]) -> SharedLevel | None:
    """The level of the classes that were asked for; None for all classes, as the labs name them."""
    for name in classes:
        if name not in NODES:
            raise InputError(f"class {name!r} is unknown: give some of {', '.join(NODES)}")
    level = SharedLevel(tuple(sorted(set(classes))))
    for name in level.classes:
        others = SharedLevel(tuple(other for other in level.classes if other != name))
        if above := others.project(name):
            raise InputError(f"class {name!r} is a kind of {above!r}: give one of the two")
    if len(level.classes) == 1:
        raise InputError(f"classes are {level.classes[0]!r} alone: give two or more")
    return level if level.classes else None


def at_level(lab: Domain, level: SharedLevel | None) -> Domain:
    """A lab whose labels are taken up to the classes of `level`; images of other classes count as unlabelled."""
    if level is None:
        return lab
    return replace(lab, table=lab.table.assign(label=level.project_all(lab.labels)))
