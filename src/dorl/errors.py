"""The two errors that a user meets; each message is one line that says what is wrong and how to mend it."""

from __future__ import annotations


class DorlError(Exception):
    """Something failed while working (exit status 1)."""


class InputError(DorlError, ValueError):
    """What was given can't be used (exit status 2)."""


class BadImageError(DorlError):
    """One file is not a usable image; the run leaves it out, says so and goes on."""

    def without(self, path: object) -> str:
        """The message without the path that it begins with, for where that stands beside it anyway."""
        return str(self).removeprefix(f"{path}: ")
