"""What the API answers, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Health(BaseModel):
    """Whether the server works, and how much it has to do."""

    status: Literal["ok"] = "ok"
    version: str = Field(description="Of dorl.")
    waiting: int = Field(description="Images that wait to be looked at.")


class Class(BaseModel):
    """A class of the run, and the key that gives it on the page."""

    name: str
    key: str


class Model(BaseModel):
    """The run that looks at cells."""

    name: str = Field(description="Name of the run's folder.")
    version: str = Field(description="Changes with anything that decides what it says.")
    classes: list[Class]
    other_classes: list[str] = Field(description="Classes that a cell may be corrected to beside those of the run.")
    folders: list[str] = Field(description="Folders of the server that may be picked, by name.")
    limits: dict[str, int] = Field(description="On one upload: images, bytes, pixels.")
    facts: dict[str, Any] = Field(description="Classifier, labs, and how often it was right on held-out cells.")


class Accuracy(BaseModel):
    """Share of the classes that are likely to be right, and its 95 % interval; 0-1."""

    share: float
    low: float
    high: float


class LeftOut(BaseModel):
    """An image that can't be used, and why."""

    name: str
    reason: str


class Sample(BaseModel):
    """Images that were given together."""

    id: int
    name: str
    made: str = Field(description="UTC, ISO 8601.")
    model: str
    state: Literal["working", "done"]
    images: int
    looked_at: int
    unlike: int = Field(description="Cells unlike all training cells.")
    checked: int = Field(description="Cells that a person gave a class.")
    corrected: int = Field(description="Those of them that got another class than the classifier's.")
    without_cell: int = Field(description="Images in which no white cell was made out.")
    classes: dict[str, int]
    adapted: bool = Field(description="Whether the classifier adapted to these cells, without labels.")
    accuracy: Accuracy | None
    left_out: list[LeftOut]


class Cell(BaseModel):
    """A cell, and what there is to say of it."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    sample: int
    name: str
    class_: str = Field(alias="class", description="The likeliest by the classifier.")
    probability: float
    probabilities: dict[str, float]
    label: str | None = Field(description="The class that a person gave it.")
    found: bool = Field(description="Whether a white cell was made out.")
    confidence: float = Field(description="Of its outline, 0-1.")
    distance: float = Field(description="From the training cells; above 1 it is unlike all of them.")
    unlike: bool


class Neighbour(BaseModel):
    """A training cell near a cell; its picture is at /v1/training/ROW.jpg."""

    row: int
    label: str
    lab: str
    distance: float


class Correction(BaseModel):
    """A person's word on a cell, or, without a label, its taking back."""

    label: str | None
    predicted: str
    probability: float
    model: str
    made: str


class CellInFull(Cell):
    """A cell with its neighbours and the history of its corrections."""

    neighbours: list[Neighbour]
    corrections: list[Correction]


class CellsOfSample(BaseModel):
    """Some cells of a sample; `count` is how many there are with this filter."""

    sample: Sample
    count: int
    cells: list[Cell]


class Label(BaseModel):
    """A class of the taxonomy."""

    label: str


class Token(BaseModel):
    """What the server was started with."""

    token: str
