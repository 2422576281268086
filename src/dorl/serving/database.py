"""The page's SQLite database: one file, one connection, a lock around it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from dorl.errors import InputError

_TABLES = """
CREATE TABLE samples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    made TEXT NOT NULL,             -- ISO 8601, UTC
    folder TEXT NOT NULL,           -- within samples/; empty for a folder of the server
    allowed TEXT,                   -- the name of that folder
    model TEXT NOT NULL,            -- version of the run that looks at it
    done INTEGER NOT NULL DEFAULT 0,
    adapted INTEGER NOT NULL DEFAULT 0,
    accuracy TEXT                   -- JSON: share, low, high
);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sample INTEGER NOT NULL REFERENCES samples(id) ON DELETE CASCADE,
    name TEXT NOT NULL,             -- as its sender called it
    file TEXT NOT NULL,             -- within the sample's folder
    bytes INTEGER NOT NULL,
    class TEXT,                     -- null until it was looked at
    probability REAL,
    probabilities TEXT,             -- JSON, in the order of the classes of the run that looked at it
    distance REAL,
    found INTEGER,
    confidence REAL,
    neighbours TEXT,                -- JSON
    inputs BLOB,
    label TEXT                      -- the class that a person gave it
);
CREATE INDEX cells_of_sample ON cells(sample);
CREATE INDEX cells_to_look_at ON cells(sample) WHERE class IS NULL;
CREATE TABLE pictures (
    cell INTEGER NOT NULL REFERENCES cells(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    data BLOB NOT NULL,             -- JPEG
    PRIMARY KEY (cell, kind)
);
CREATE TABLE left_out (
    sample INTEGER NOT NULL REFERENCES samples(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX left_out_of_sample ON left_out(sample);
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cell INTEGER NOT NULL REFERENCES cells(id) ON DELETE CASCADE,
    label TEXT,                     -- null where a correction was taken back
    predicted TEXT NOT NULL,
    probability REAL NOT NULL,
    model TEXT NOT NULL,
    made TEXT NOT NULL
);
CREATE INDEX corrections_of_cell ON corrections(cell);
"""
_FIELDS = """
ALTER TABLE samples ADD COLUMN fields INTEGER NOT NULL DEFAULT 0;  -- whether its images are smear fields
CREATE TABLE fields (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sample INTEGER NOT NULL REFERENCES samples(id) ON DELETE CASCADE,
    name TEXT NOT NULL,             -- as its sender called it
    file TEXT NOT NULL,             -- within the sample's folder, or the server's
    bytes INTEGER NOT NULL,
    width INTEGER,                  -- null until it was searched
    height INTEGER,
    red_cell REAL,                  -- pixels; null where none could be measured
    image BLOB,                     -- JPEG, reduced
    outlined BLOB                   -- JPEG, reduced
);
CREATE INDEX fields_of_sample ON fields(sample);
ALTER TABLE cells ADD COLUMN field INTEGER REFERENCES fields(id) ON DELETE CASCADE;  -- null for an image of one cell
ALTER TABLE cells ADD COLUMN box TEXT;                                               -- JSON: xmin, ymin, xmax, ymax
ALTER TABLE cells ADD COLUMN touches_border INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cells_of_field ON cells(field);
"""
_CLASSES = """
ALTER TABLE samples ADD COLUMN model_classes TEXT;  -- JSON: the classes of the run that looks at it; null if unknown
"""
_CONTENTS = """
ALTER TABLE cells ADD COLUMN content TEXT;  -- digest of the file that was looked at; null if unknown
"""
_NO_CLASS = """
ALTER TABLE cells ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;  -- whether it was looked at
UPDATE cells SET seen = class IS NOT NULL;
UPDATE cells SET class = NULL, probability = NULL, probabilities = NULL WHERE found = 0;  -- no cell, no class
DROP INDEX cells_to_look_at;
CREATE INDEX cells_to_look_at ON cells(sample) WHERE seen = 0;
CREATE TABLE corrections_made (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cell INTEGER NOT NULL REFERENCES cells(id) ON DELETE CASCADE,
    label TEXT,                     -- null where a correction was taken back
    predicted TEXT,                 -- null where no cell was found
    probability REAL,
    model TEXT NOT NULL,
    made TEXT NOT NULL
);
INSERT INTO corrections_made SELECT id, cell, label, predicted, probability, model, made FROM corrections;
DROP TABLE corrections;
ALTER TABLE corrections_made RENAME TO corrections;
CREATE INDEX corrections_of_cell ON corrections(cell);
"""
_MIX = """
ALTER TABLE samples ADD COLUMN mix TEXT;  -- JSON: share of each class that probabilities are corrected by; null if none
"""
_ERRORS = """
ALTER TABLE samples ADD COLUMN errors TEXT;  -- JSON: what a differential's intervals rest on; null until it is done
"""
#: what makes each version of the tables of the one before
_STEPS = (_TABLES, _FIELDS, _CLASSES, _CONTENTS, _NO_CLASS, _MIX, _ERRORS)
#: version of the tables
FORMAT = len(_STEPS)


class Database:
    """A connection that threads may share.

    Parameters
    ----------
    path : Path
        Made where there is none, and brought up to date where an earlier dorl made it. No other process can open it
        while this one has it.

    Raises
    ------
    InputError
        If it is of another version, damaged, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=1, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            for setting in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "foreign_keys = ON",
            ):
                self._connection.execute(f"PRAGMA {setting}")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            steps = " ".join(_STEPS[version:]) + f" PRAGMA user_version = {FORMAT};" if 0 <= version < FORMAT else ""
            self._connection.executescript(f"BEGIN IMMEDIATE; {steps} COMMIT;")  # takes the lock
        except sqlite3.Error as error:
            self._connection.close()
            if "locked" in str(error):
                raise InputError(f"{path.parent}: another dorl serve works in it; give another --out") from error
            raise InputError(f"{path}: damaged ({error}); restore it, or give another --out") from error
        if not 0 <= version <= FORMAT:
            self._connection.close()
            raise InputError(f"{path}: of version {version}, this dorl reads up to {FORMAT}; give another --out")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; what is done with it is kept as a whole or not at all."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()


def now() -> str:
    """The time, UTC, to the second: ``2026-01-31T12:00:00Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
