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


class Count(BaseModel):
    """Cells of a class, their share of the leukocytes, and its 95 % intervals; null where there is no leukocyte.

    Of the group "apart" (erythroblasts, smudge cells, cells unlike all training cells) it is cells over leukocytes.
    """

    model_config = ConfigDict(populate_by_name=True)

    class_: str = Field(alias="class")
    group: Literal["leukocyte", "apart"]
    cells: int
    share: float | None
    low: float | None = Field(description="By counting so few cells alone (Wilson).")
    high: float | None
    low_with_errors: float | None = Field(description="With the classifier's errors; null where these aren't known.")
    high_with_errors: float | None


class Sample(BaseModel):
    """Images that were given together."""

    id: int
    name: str
    made: str = Field(description="UTC, ISO 8601.")
    model: str
    state: Literal["working", "done"]
    kind: Literal["cells", "fields"] = Field(description="Whether its images show one cell each, or are smear fields.")
    images: int = Field(description="Images of single cells: those given, or those found in the fields until now.")
    looked_at: int
    fields: int
    fields_searched: int
    unlike: int = Field(description="Cells unlike all training cells.")
    checked: int = Field(description="Cells that a person gave a class.")
    corrected: int = Field(description="Those of them that got another class than the classifier's.")
    without_cell: int = Field(description="Images in which no white cell was found; they have no class.")
    classes: dict[str, int] = Field(description="Cells of each class, by a person's word where there is one.")
    differential: list[Count] = Field(
        description="Of fields alone: every class, by a person's word where there is one, leukocytes first."
    )
    adapted: bool = Field(description="Whether the classifier adapted to these cells, without labels.")
    accuracy: Accuracy | None
    mix: dict[str, float] | None = Field(
        description="Share of each class, estimated of all its cells, by which probabilities are corrected; 0-1."
    )
    left_out: list[LeftOut]


class Cell(BaseModel):
    """A cell, and what there is to say of it."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    sample: int
    name: str
    class_: str | None = Field(
        alias="class", description="The likeliest by the classifier; null where no white cell was found."
    )
    probability: float | None = Field(description="Of that class; null where no white cell was found.")
    probabilities: dict[str, float] = Field(
        description="By the classes of the run that looked at it; empty where no white cell was found, and where those "
        "classes aren't known any more."
    )
    label: str | None = Field(description="The class that a person gave it.")
    node: str | None = Field(description="The finest node of the tree of classes that is 90 % sure; null likewise.")
    found: bool = Field(description="Whether a white cell was found.")
    confidence: float = Field(description="Of its outline, 0-1; 0 where no white cell was found.")
    field: int | None = Field(description="The smear field in which it was found.")
    box: tuple[int, int, int, int] | None = Field(description="xmin, ymin, xmax, ymax in the field; pixels.")
    touches_border: bool = Field(description="Whether the field's edge cuts it.")
    distance: float = Field(description="How unlike the training cells it is; above 1 it is unlike all of them.")
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
    predicted: str | None
    probability: float | None
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


class SmearField(BaseModel):
    """A smear field that was searched."""

    id: int
    name: str
    width: int
    height: int
    red_cell: float | None = Field(description="Diameter of a red cell in pixels; null where none could be measured.")
    cells: int


class Label(BaseModel):
    """A class of the taxonomy."""

    label: str


class Token(BaseModel):
    """What the server was started with."""

    token: str
