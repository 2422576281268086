"""Arguments and options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dorl.errors import InputError
from dorl.names import composed
from dorl.runtime.processes import launch, several

Labs = Annotated[
    list[str], typer.Argument(metavar="LAB...", help="name=path, or a path; a URL such as s3://bucket/lab, too.")
]
Out = Annotated[Path, typer.Option(help="Folder to write into: new, or of the same run interrupted.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Precision = Annotated[
    str, typer.Option(help="Of the segmenter: float32, bfloat16, int8 (with dorl[fast]), or auto by the processor.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the GPU where there is one, by default.")]
Base = Annotated[
    str,
    typer.Option(
        "--segmenter",
        help="tiny, sam-vit-b (or -l, -h), sam2.1-hiera-tiny, a hub's id, an adapter or .pth file, or a folder.",
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="dinobloom-s (or -b, -l) or its .pth file: take its tokens, and the segmenter's masks."),
]
Autoencoder = Annotated[
    str | None,
    typer.Option(help="One trained elsewhere, in place of training: tiny, a run folder, its file, or cae.mdl."),
]
Preset = Annotated[
    str, typer.Option(help="Of the published autoencoder: published, small, or auto by the segmenter's width.")
]
Epochs = Annotated[int | None, typer.Option(help="Of the autoencoder, in place of the preset's.")]
Accumulate = Annotated[
    int, typer.Option(help="Parts that a batch of the autoencoder's is computed in, for less memory.")
]
Processes = Annotated[int, typer.Option(help="That share the embedding and the autoencoder's training.")]
Iterations = Annotated[
    int | None, typer.Option(help="Of the autoencoder; 0 takes it as it is, and learns nothing of what the labs share.")
]
Classes = Annotated[
    str,
    typer.Option(help="With commas, for example neutrophil,lymphocyte: labels are taken up to these. All by default."),
]
MaskValue = Annotated[
    str,
    typer.Option(
        help="The cell's value in the masks, for example 255, or 128,255; by default what differs from outside."
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="cell: each cell cut out, at common references; published: whole images, as in the paper; or auto."
    ),
]
ManyViews = Annotated[
    bool, typer.Option("--views/--no-views", help="Let classifiers learn from restained views of each cell, too.")
]
Folds = Annotated[int, typer.Option(help="Of the cross-validation.")]
PatientFrom = Annotated[
    str,
    typer.Option(
        metavar="REGEX",
        help="Finds the patient in an image's path: its first group, or all of it. Patients lie on one side of a fold.",
    ),
]
Classifier = Annotated[str | None, typer.Option(help="One of the run's classifiers; its default otherwise.")]
Adapt = Annotated[
    bool, typer.Option("--adapt/--no-adapt", help="Let the classifier adapt to a hundred cells or more of a new lab.")
]
Expect = Annotated[
    str,
    typer.Option(
        metavar="MIX",
        help="Mix of classes to expect: blood, marrow, source (as learnt), a CSV file (class,share), or none.",
    ),
]
ExpectOfRun = Annotated[
    str | None,
    typer.Option(
        metavar="MIX",
        help="Mix of classes to expect: blood, marrow, source (as learnt), a CSV file (class,share), or none; "
        "as the run was fitted by default.",
    ),
]
Sure = Annotated[
    float | None,
    typer.Option(help="Give a class of the tree that has this probability, 0-1: an ancestor where none finer has it."),
]
Reject = Annotated[bool, typer.Option("--reject", help="Leave the class empty of cells unlike all those learnt.")]
OneShard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do the I-th of N parts of the inputs, each of which any machine may do; --join N puts all together.",
    ),
]
Join = Annotated[
    int | None,
    typer.Option(metavar="N", help="Put N shards together, all other options as they were: the result of one process."),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Let a Ray cluster do shards, and put them together; auto for that of this machine (with dorl[ray]).",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that dorl fit made, or hub:owner/name.")]


def divide(processes: int) -> None:
    """Start the same command in several processes, and leave with their exit status; nothing for one, or in these."""
    if processes != 1 and not several():
        raise typer.Exit(launch(sys.argv[1:], processes))


def numbers(text: str, what: str = "mask value", example: str = "255, or 128,255") -> list[float]:
    """Numbers between commas, of an option that is called `what` where it is wrong. Raises InputError."""
    try:
        return [float(word) for word in listed(text)]
    except ValueError:
        raise InputError(f"{what} {text!r}: give numbers, for example {example}") from None


def listed(text: str | list[str] | None) -> list[str]:
    """Words between commas, of an option that may be given again, too; letters and marks as in labs' names."""
    words = text if isinstance(text, list) else [text or ""]
    return [composed(word.strip()) for one in words for word in one.split(",") if word.strip()]
