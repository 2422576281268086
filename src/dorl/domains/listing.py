"""Every file below a folder: the images, and what is passed over by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dorl.domains.formats import SUFFIXES, why_not
from dorl.names import text_of

LEADS_OUT = "is a link that leads out of the folder given: put the file or folder itself there"

#: path and reason of what isn't read
Passed = tuple[str, str]


def image_files(root: Path, has_class: Callable[[str], bool] = lambda path: False) -> tuple[list[str], list[Passed]]:
    """POSIX paths, relative to `root`, of every image file below it; and what isn't read, and why.

    Hidden files and folders are passed over in silence, and so are notes and tables. Links are followed within `root`;
    a file that is reached in two ways is taken once, by the way through its class's folder if there is one.

    Parameters
    ----------
    root : Path
    has_class : callable
        Whether a path lies in a folder of a known class.
    """
    walk = _Walk(root)
    for folder, folders, names in os.walk(root, onerror=walk.failed, followlinks=True):
        place = Path(folder)
        folders[:] = [one for one in sorted(folders) if not one.startswith(".") and walk.enters(place / one)]
        for name in names:
            if not name.startswith("."):
                walk.add(place / name)
    return walk.once(has_class)


class _Walk:
    """What a walk through a folder has found so far."""

    def __init__(self, root: Path) -> None:
        self.root, self.top = root, root.resolve()
        self.places: dict[str, Path] = {}  # where each file found lies, links resolved
        self.passed: list[Passed] = []
        self.entered: set[Path] = set()  # folders reached by a link

    def failed(self, error: OSError) -> None:
        self._pass(Path(error.filename), f"can't be looked into ({error.strerror})")

    def enters(self, place: Path) -> bool:
        """Whether to look into a folder: of links, each target once, and none that the link lies in."""
        if not place.is_symlink():
            return True
        real = self._target(place)
        if real is None:
            return False
        if real in self.entered or place.parent.resolve().is_relative_to(real):
            self._pass(place, "is a link to a folder that is read already")
            return False
        self.entered.add(real)
        return True

    def add(self, place: Path) -> None:
        """Take a file, or say why not."""
        if place.suffix.lower() not in SUFFIXES:
            reason = why_not(place)
            if reason is not None:
                self._pass(place, reason)
        elif not place.is_symlink():
            own = place.parent.resolve() / place.name if self.entered else self.top / self._relative(place)
            self.places[self._relative(place)] = own
        elif (real := self._target(place)) is not None:
            self.places[self._relative(place)] = real

    def once(self, has_class: Callable[[str], bool]) -> tuple[list[str], list[Passed]]:
        """The files found, each once, and what was passed over; both sorted."""
        chosen: dict[Path, str] = {}
        for path, real in sorted(self.places.items()):
            own = real == self.top / path
            first = chosen.get(real)
            # the way through a class's folder wins, then the file itself
            if first is None or (has_class(path), own) > (has_class(first), real == self.top / first):
                chosen[real] = path
        kept = set(chosen.values())
        for path, real in self.places.items():
            if path not in kept:
                self.passed.append((path, f"is the same file as {text_of(chosen[real])}"))
        return sorted(kept), sorted(self.passed)

    def _relative(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    def _pass(self, place: Path, reason: str) -> None:
        self.passed.append((self._relative(place), reason))

    def _target(self, place: Path) -> Path | None:
        """Where a link leads, if that is below the folder given; else it is passed over."""
        try:
            real = place.resolve()
        except (OSError, RuntimeError):  # links in a circle
            real = None  # type: ignore[assignment]
        if real is None or real == place:  # newer Pythons follow a circle to itself
            self._pass(place, "is a link that leads to itself: put the file or folder itself there")
            return None
        if not real.is_relative_to(self.top):
            self._pass(place, LEADS_OUT)
            return None
        return real
