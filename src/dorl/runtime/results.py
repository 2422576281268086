"""The files of a folder of results: each is that of the content asked for, and what isn't asked for is taken away.

A note beside them says which content each file is of. A file that a person changed, or another tool wrote, is never
removed or written over: it is used while its image is the same, and otherwise put aside into `EARLIER`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from dorl.files import atomic, digest_of, write_text
from dorl.names import composed, shortened
from dorl.runtime.progress import say

#: the note, a JSON line a file; and where files go that somebody else changed
NOTE, EARLIER = ".results.jsonl", "earlier"


@dataclass(frozen=True)
class _Noted:
    """What a file is of, its own digest, and whether it is as we wrote it."""

    name: str
    of: str
    digest: str
    own: bool = True


class Results:
    """Files of results below a folder, by their names relative to it.

    Parameters
    ----------
    out : Path
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._note = out / NOTE
        self._known: dict[str, _Noted] = {}
        self._ours: dict[str, set[str]] = {}  # every digest that we wrote under a name: a kill may leave an older file
        try:
            lines = self._note.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        for line in lines:
            try:
                noted = _Noted(**json.loads(line))
            except (ValueError, TypeError):  # the last line of a run that was killed
                continue
            self._hold(noted)

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.out / name

    def foreign(self, name: str, of: str) -> bool:
        """Whether a file of another hand lies there for this very content; one for another content is put aside.

        Parameters
        ----------
        name : str
        of : str
            Key of the content that the file would be of.
        """
        path, known = self.path(name), self._known.get(name)
        if not path.is_file():
            return False
        digest = digest_of(path)
        if digest in self._ours.get(name, ()):
            return False
        if known is not None and known.of != of:
            self.put_aside(name, "changed by hand, and its image isn't this one any more")
            return False
        self._add(_Noted(name, of, digest, own=False))
        return True

    def has(self, name: str, of: str) -> bool:
        """Whether our own file of this content lies there."""
        known = self._known.get(name)
        same = known is not None and known.own and known.of == of
        return same and known is not None and digest_of(self.path(name)) == known.digest

    def write(self, name: str, of: str, data: bytes) -> None:
        """Write a file and note what it is of, in this order of safety: the note first, then the file, whole."""
        path = self.path(name)
        with atomic(path) as temporary:
            temporary.write_bytes(data)
            self._add(_Noted(name, of, digest_of(temporary)))

    def tidy(self, asked: Collection[str]) -> None:
        """Take away files of ours that aren't asked for, and put aside those that somebody changed."""
        for name in sorted(self._known):
            if name in asked:
                continue
            path = self.path(name)
            if path.is_file():
                if digest_of(path) in self._ours.get(name, ()):
                    path.unlink()
                else:
                    self.put_aside(name, "changed by hand, and not asked for any more")
            del self._known[name]
        write_text(self._note, "".join(json.dumps(asdict(known)) + "\n" for known in self._known.values()))

    def discard(self) -> None:
        """Remove the note, where nothing was written."""
        self._note.unlink(missing_ok=True)

    def _add(self, noted: _Noted) -> None:
        if self._known.get(noted.name) == noted:
            return
        self._hold(noted)
        self.out.mkdir(parents=True, exist_ok=True)
        with self._note.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(noted)) + "\n")

    def _hold(self, noted: _Noted) -> None:
        self._known[noted.name] = noted
        if noted.own:
            self._ours.setdefault(noted.name, set()).add(noted.digest)

    def put_aside(self, name: str, why: str) -> None:
        """Move a file of another hand into `EARLIER`, and say why."""
        source, number = self.path(name), 1
        target = self.out / EARLIER / name
        while target.exists():
            number += 1
            target = (self.out / EARLIER / name).with_name(shortened(Path(name).stem, f"_{number}{source.suffix}"))
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        say(f"{name}: {why}: kept as {target.relative_to(self.out).as_posix()}")


def result_names(paths: Sequence[str]) -> list[str]:
    """PNG file names of the results of images: the stem, with the folders before it where the stem alone isn't unique.

    Names are text (`dorl.names`), at most as long as file systems allow, and differ by more than case or by how marks
    stand with letters, so that they stay apart on every system.
    """
    stems = [PurePosixPath(path).stem for path in paths]
    often = Counter(stems)
    names = [
        stem
        if often[stem] == 1
        else "_".join([*(part.rstrip(":") for part in PurePosixPath(path).parts[:-1] if part not in ("/", "..")), stem])
        for path, stem in zip(paths, stems, strict=True)
    ]
    # two files of one folder can still differ by their ending alone
    twice = Counter(names)
    names = [
        name if twice[name] == 1 else f"{name}_{PurePosixPath(path).suffix[1:]}"
        for path, name in zip(paths, names, strict=True)
    ]
    # a/x.png and a_x.png still come out alike, A.png and a.png do on some systems, and long names may once they are cut
    used: set[str] = set()
    given = []
    for name in names:
        file, number = shortened(name, ".png"), 1
        while (same := composed(file).casefold()) in used:
            number += 1
            file = shortened(name, f"_{number}.png")
        used.add(same)
        given.append(file)
    return given
