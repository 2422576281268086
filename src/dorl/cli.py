"""The commands: each reads its arguments, calls one function of `dorl.pipeline`, and adds nothing of its own."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import dorl
from dorl.errors import DorlError, InputError
from dorl.memory import keep_memory
from dorl.processes import LOST, SUPERVISED, is_main, launch, lost_another, several

#: commands that several processes may do together
DIVISIBLE = ("embed", "fit", "evaluate")

app = typer.Typer(
    name="dorl",
    help="Features and classifiers of white blood cells that hold in another lab (DoRL, arXiv 2408.07467).\n\n"
    "A LAB is name=path or a path: a folder per class, a flat folder, a known data set, or a CSV or Parquet manifest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Labs = Annotated[list[str], typer.Argument(metavar="LAB...", help="name=path, or a path.")]
Out = Annotated[Path, typer.Option(help="Folder to write into: new, or of the same run interrupted.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Precision = Annotated[
    str, typer.Option(help="Of the segmenter: float32, bfloat16, int8 (with dorl[fast]), or auto by the processor.")
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; the GPU where there is one, by default.")]
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
    str | None, typer.Option(help="One trained elsewhere, in place of training: a run folder, or its file, or cae.mdl.")
]
Preset = Annotated[str, typer.Option(help="Autoencoder: published, small, or auto by the segmenter's width.")]
Epochs = Annotated[int | None, typer.Option(help="Of the autoencoder, in place of the preset's.")]
Accumulate = Annotated[
    int, typer.Option(help="Parts that a batch of the autoencoder's is computed in, for less memory.")
]
Processes = Annotated[int, typer.Option(help="That share the embedding and the autoencoder's training.")]
Iterations = Annotated[int | None, typer.Option(help="Limit on the autoencoder's iterations.")]
Classes = Annotated[
    str,
    typer.Option(help="With commas, for example neutrophil,lymphocyte: labels are taken up to these. All by default."),
]
ManyViews = Annotated[
    bool, typer.Option("--views/--no-views", help="Describe each cell in several views, for the classifier Views.")
]
Folds = Annotated[int, typer.Option(help="Of the cross-validation.")]
Classifier = Annotated[str | None, typer.Option(help="One of the run's classifiers; its default otherwise.")]
Adapt = Annotated[
    bool, typer.Option("--adapt/--no-adapt", help="Let the classifier adapt to a hundred cells or more of a new lab.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that dorl fit made.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("demo"),
    cells: Annotated[int, typer.Option(help="Cells of each rendered lab.")] = 130,
    iterations: Annotated[int, typer.Option(help="Of the autoencoder's training.")] = 60,
    seed: Seed = 0,
) -> None:
    """The whole road on three rendered labs, offline."""
    from dorl.pipeline import demo as run

    print(f"report: {run(out=out, cells=cells, iterations=iterations, seed=seed)}")


@app.command()
def inspect(
    labs: Labs,
    out: Annotated[Path, typer.Option(help="Folder for the figures and lists.")] = Path("inspection"),
) -> None:
    """What was read: layout, classes, sizes, bad files; grey-level and class figures."""
    from dorl.pipeline import inspect as run

    for lab in run(labs, out=out):
        print(lab.summary())
    print(f"figures: {out}")


@app.command()
def segment(
    lab: Annotated[str, typer.Argument(metavar="LAB", help="An image, a folder or a manifest.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks; those there already are kept.")],
    segmenter: Base = "tiny",
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw outlines, too: DIR/overlay/<stem>.png.")] = False,
    measures: Annotated[
        Path | None, typer.Option(help="CSV file to write: size, shape, colour and nucleus of each cell.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Side of a pixel in µm: measures in µm, too.")] = None,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Masks: DIR/<stem>.png, 0 and 255, at the image's own size; confidences in DIR/cells.csv."""
    from dorl.pipeline import segment as run

    run(
        lab,
        out=out,
        segmenter=segmenter,
        overlay=overlay,
        measures=measures,
        pixel_size=pixel_size,
        precision=precision,
        device=device,
    )


@app.command()
def finetune(
    labs: Labs,
    out: Out,
    segmenter: Base = "tiny",
    rank: Annotated[int, typer.Option(help="Of LoRA; 0 tunes all weights instead.")] = 4,
    epochs: Annotated[int, typer.Option(help="Of the fine-tuning.")] = 150,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--lr", help="At the end of the warm-up.")] = 1e-4,
    held_out: Annotated[float, typer.Option(help="Share of the images not trained on.")] = 0.2,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """LoRA-SAM from images with masks."""
    from dorl.pipeline import finetune as run

    run(
        labs,
        out=out,
        segmenter=segmenter,
        rank=rank,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        held_out=held_out,
        seed=seed,
        device=device,
    )


@app.command()
def embed(
    labs: Labs,
    out: Out,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    processes: Processes = 1,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Frozen features: an encoder's tokens averaged inside each cell's mask."""
    _divide(processes)
    from dorl.pipeline import embed as run

    run(labs, out=out, segmenter=segmenter, encoder=encoder, precision=precision, device=device)


@app.command()
def fit(
    labs: Labs,
    out: Out,
    source: Annotated[
        list[str] | None,
        typer.Option(help="A lab whose labels are learnt; may be given again. All by default."),
    ] = None,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    autoencoder: Autoencoder = None,
    views: ManyViews = True,
    classes: Classes = "",
    folds: Folds = 5,
    preset: Preset = "auto",
    epochs: Epochs = None,
    iterations: Iterations = None,
    accumulate: Accumulate = 1,
    processes: Processes = 1,
    seed: Seed = 0,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Segment, embed, train the autoencoder, extract features, train classifiers."""
    _divide(processes)
    from dorl.pipeline import fit as run

    run(
        labs,
        out=out,
        source=source,
        segmenter=segmenter,
        encoder=encoder,
        autoencoder=autoencoder,
        views=views,
        classes=_listed(classes),
        folds=folds,
        preset=preset,
        epochs=epochs,
        iterations=iterations,
        accumulate=accumulate,
        seed=seed,
        precision=precision,
        device=device,
    )


@app.command()
def evaluate(
    labs: Labs,
    out: Out,
    protocol: Annotated[
        list[str] | None, typer.Option(help="transductive (as published) or unseen; may be given again.")
    ] = None,
    segmenter: Base = "tiny",
    encoder: Encoder = None,
    autoencoder: Autoencoder = None,
    views: ManyViews = True,
    classes: Classes = "",
    folds: Folds = 5,
    preset: Preset = "auto",
    epochs: Epochs = None,
    iterations: Iterations = None,
    accumulate: Accumulate = 1,
    processes: Processes = 1,
    seed: Seed = 0,
    precision: Precision = "auto",
    device: Device = None,
) -> None:
    """The protocol: train on each lab, test on each; results.csv, table.md, figures, a report."""
    _divide(processes)
    from dorl.pipeline import evaluate as run

    run(
        labs,
        out=out,
        protocols=protocol or ["transductive"],
        segmenter=segmenter,
        encoder=encoder,
        autoencoder=autoencoder,
        views=views,
        classes=_listed(classes),
        folds=folds,
        preset=preset,
        epochs=epochs,
        iterations=iterations,
        accumulate=accumulate,
        seed=seed,
        precision=precision,
        device=device,
    )
    if is_main():
        print((out / "table.md").read_text(encoding="utf-8"))


@app.command()
def benchmark(
    labs: Labs,
    out: Out,
    source: Annotated[
        list[str] | None,
        typer.Option(help="A lab whose labels are learnt; may be given again. Each in turn by default."),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="transductive or unseen; may be given again. Both by default.")
    ] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="One row, or several with commas; may be given again. All by default.")
    ] = None,
    classes: Classes = "",
    per_class: Annotated[
        int | None, typer.Option(help="Source cells learnt from of each class; 400 in quick, 0 for all.")
    ] = None,
    profile: Annotated[str, typer.Option(help="quick (two cores, an hour) or full.")] = "quick",
    seeds: Annotated[int, typer.Option(help="Repetitions.")] = 3,
    folds: Folds = 5,
    own: Annotated[bool, typer.Option(help="Test on the source's held-out fold, too.")] = True,
    scorer: Annotated[
        str, typer.Option(help="Chooses settings without labels: dev, snd, entropy or circular.")
    ] = "dev",
    segmenter: Base = "tiny",
    unseen_segmenter: Annotated[
        list[str] | None,
        typer.Option(metavar="LAB=WEIGHTS", help="Weights trained without that lab, for unseen; may be given again."),
    ] = None,
    efficientnet_weights: Annotated[Path | None, typer.Option(help="ImageNet weights, a .pth file.")] = None,
    resnext_weights: Annotated[Path | None, typer.Option(help="ImageNet weights, a .pth file.")] = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """DoRL and what one would pick instead, on the same cells: results.csv, table.md."""
    from dorl.pipeline.benchmark import benchmark as run

    run(
        labs,
        out=out,
        source=source,
        protocols=protocol or ["transductive", "unseen"],
        rows=_listed(",".join(rows or [])),
        classes=_listed(classes),
        per_class=per_class,
        profile=profile,
        seeds=seeds,
        folds=folds,
        own=own,
        scorer=scorer,
        segmenter=segmenter,
        unseen_segmenter=unseen_segmenter or [],
        efficientnet_weights=efficientnet_weights,
        resnext_weights=resnext_weights,
        seed=seed,
        device=device,
    )
    print((out / "table.md").read_text(encoding="utf-8"))


@app.command()
def predict(
    run: RunFolder,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="An image, a folder or a manifest.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    classifier: Classifier = None,
    adapt: Adapt = True,
    device: Device = None,
) -> None:
    """Classes of new images: path, class, probability, and every class's probability."""
    from dorl.pipeline import predict as predict_images

    predict_images(run, images, out=out, classifier=classifier, adapt=adapt, device=device)


@app.command()
def count(
    fields: Annotated[
        list[str], typer.Argument(metavar="FIELD...", help="Images of smear fields, or folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into: new, or of the same count.")],
    run: Annotated[
        Path | None, typer.Option(help="A folder that dorl fit made: its classifier says what each cell is.")
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="Without a run; tiny by default.")] = None,
    red_cell: Annotated[
        float | None, typer.Option(help="Diameter of a red cell in pixels; measured in each field by default.")
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option("--adapt/--no-adapt", help="Let the classifier adapt to a hundred cells or more of a new lab."),
    ] = True,
    device: Device = None,
) -> None:
    """Every white cell of smear fields, and a differential count: cells.csv, counts.csv, annotated pictures."""
    from dorl.pipeline import count as run_count

    counts = run_count(
        fields, out=out, run=run, segmenter=segmenter, red_cell=red_cell, adapt=adapt, device=device
    ).counts
    for name, cells, share, low, high in counts.itertuples(index=False, name=None):
        print(f"{cells:6d}  {name}" + (f"  {share:.1%} ({low:.1%} to {high:.1%})" if share == share else ""))


@app.command()
def suggest(
    run: RunFolder,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="An image, a folder or a manifest.")],
    out: Annotated[Path, typer.Option(help="CSV file to write, in the images' folder or above it.")],
    n: Annotated[int, typer.Option("--n", help="How many cells.")] = 50,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """The cells whose labels would help most, as a manifest whose column label waits to be filled in."""
    from dorl.pipeline import suggest as run_suggest

    run_suggest(run, images, out=out, n=n, seed=seed, device=device)


@app.command()
def serve(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(help="Folder for uploads and corrections; RUN-page beside the run by default.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; with another than this machine's a token is asked for.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="A folder whose images may be picked; may be given again."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Asked for on the page and in the API; or set DORL_TOKEN, which no list shows.")
    ] = None,
    classifier: Classifier = None,
    adapt: Adapt = True,
    max_images: Annotated[int, typer.Option(help="Of one upload.")] = 5000,
    max_megabytes: Annotated[int, typer.Option(help="Of one upload.")] = 1024,
    device: Device = None,
) -> None:
    """A web page and a JSON API: see each cell's class and what it rests on, correct it, export."""
    from dorl.pipeline import serve as run_server

    run_server(
        run,
        out=out,
        host=host,
        port=port,
        allow=allow or [],
        token=token,
        classifier=classifier,
        adapt=adapt,
        max_images=max_images,
        max_megabytes=max_megabytes,
        device=device,
    )


@app.command("import")
def import_(
    sam: Annotated[Path, typer.Option(help="sam_vit_b*.pth, or l or h.")],
    adapter: Annotated[Path, typer.Option(help="The authors' LoRA file, lora_sam.pth.")],
    cae: Annotated[Path, typer.Option(help="The authors' autoencoder, cae.mdl.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    mean: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Of the input, RGB, 0-255; the published one otherwise.")
    ] = None,
    std: Annotated[tuple[float, float, float] | None, typer.Option(help="Likewise, the standard deviation.")] = None,
    device: Device = None,
) -> None:
    """A run folder from the published weights."""
    from dorl.pipeline import import_official

    import_official(sam=sam, adapter=adapter, cae=cae, out=out, mean=mean, std=std, device=device)


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Folder for lora_sam.pth and cae.mdl.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Folder for segmenter.onnx and encoder.onnx.")] = None,
) -> None:
    """A run's segmenter and autoencoder in the published layouts, as ONNX, or both."""
    from dorl.pipeline import export_official, export_onnx

    if out is None and onnx is None:
        raise InputError("nothing to write: give --out for the published layouts, --onnx for ONNX, or both")
    for folder, write in ((out, export_official), (onnx, export_onnx)):
        for path in [] if folder is None else write(run, out=folder):
            print(path)


@app.command()
def report(run: RunFolder) -> None:
    """One self-contained HTML file, made anew from what lies in the folder."""
    from dorl.pipeline import write_run_report

    print(write_run_report(run))


def _divide(processes: int) -> None:
    """Start the same command in several processes, and leave with their exit status; nothing for one, or in these."""
    if processes != 1 and not several():
        raise typer.Exit(launch(sys.argv[1:], processes))


def _listed(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _version(show: bool) -> None:
    if show:
        print(f"dorl {dorl.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options of every command; `main` takes --debug out before, so that it may stand anywhere."""
    if several() and context.invoked_subcommand not in DIVISIBLE:
        raise InputError(f"{context.invoked_subcommand} is done by one process; {', '.join(DIVISIBLE)} take several")


def main() -> None:
    """Run a command: exit 0 done, 1 failed while working, 2 wrong input, 130 stopped."""
    keep_memory()
    atexit.register(gc.freeze)  # looking for garbage among all that was imported would take two seconds at the end
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"] or ["--help"]
    try:
        status = app(words, prog_name="dorl", standalone_mode=False)  # typer turns an interrupt into 130
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if lost_another(error):
            if SUPERVISED not in os.environ:
                print(
                    "dorl: another process has ended; the same command goes on from the last checkpoint",
                    file=sys.stderr,
                )
            sys.stderr.flush()
            os._exit(LOST)  # what is left of the group would wait for the other
        if hasattr(error, "format_message"):  # wrong usage; older typers raise click's error, newer ones their own
            print(f"dorl: {_usage(error)}", file=sys.stderr)
            sys.exit(2)
        if debug:
            raise
        kind = 2 if isinstance(error, InputError) else 1
        text = str(error) if isinstance(error, DorlError) else f"{type(error).__name__}: {error}"
        hint = "" if isinstance(error, DorlError) else " (give --debug for where it happened)"
        print(f"dorl: {' '.join(text.split())}{hint}", file=sys.stderr)
        sys.exit(kind)
    if status == 130 and is_main() and SUPERVISED not in os.environ:
        print("stopped; the same command goes on from here", file=sys.stderr)
    sys.exit(status or 0)


def _usage(error: Any) -> str:
    """A usage error as one line that ends with where to read more."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "dorl"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"
