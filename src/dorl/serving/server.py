"""What the routes of the page work with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dorl.serving.cells import Cells
from dorl.serving.database import Database
from dorl.serving.fields import Fields
from dorl.serving.limits import Limits
from dorl.serving.recogniser import Recogniser
from dorl.serving.store import Samples
from dorl.serving.uploads.intake import Place, Places, Upload
from dorl.serving.worker import Worker

#: in the page's folder
DATABASE, SAMPLES = "page.sqlite", "samples"
#: what tempfile calls a zip that is taken away
EXPORTS = "tmp????????.zip"


@dataclass
class Server:
    """The parts of one page.

    Attributes
    ----------
    folder : Path
        Of the page; nothing is written anywhere else.
    recogniser : Recogniser
    limits : Limits
    token : str or None
        Asked for where it is given.
    allowed : mapping of str to Path
        Folders of the server whose images may be picked, by name.
    receiving : int
        Uploads that come in at the moment.
    """

    folder: Path
    recogniser: Recogniser
    limits: Limits
    token: str | None
    allowed: Mapping[str, Path]
    receiving: int = 0
    database: Database = field(init=False)
    samples: Samples = field(init=False)
    cells: Cells = field(init=False)
    fields: Fields = field(init=False)
    places: Places = field(init=False)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(self.folder / DATABASE)
        self.samples, self.cells, self.fields = Samples(self.database), Cells(self.database), Fields(self.database)
        self.places = Places(self.folder / SAMPLES, self.allowed)
        self.worker = Worker(self.samples, self.fields, self.places, self.recogniser)

    def tidy(self) -> None:
        """Remove what uploads, and zips that were taken away, left when they broke off with the server."""
        self.places.samples.mkdir(exist_ok=True)
        known = self.samples.folders()
        for folder in self.places.samples.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        for path in self.folder.glob(EXPORTS):
            path.unlink(missing_ok=True)

    def enter(self, name: str, upload: Upload, place: Place, *, fields: bool) -> int:
        """Enter a sample, of smear fields or of single cells, and have it looked at; its number."""
        model = self.recogniser
        sample = self.samples.add(name, upload, place, model.version, model.classes, fields=fields)
        self.worker.add(sample)
        return sample

    def drop(self, sample: int) -> bool:
        """Forget a sample and remove its uploaded images; False if there is no such sample."""
        place = self.samples.drop(sample)
        if place is not None and place.folder:
            shutil.rmtree(self.places.samples / place.folder, ignore_errors=True)
        return place is not None
