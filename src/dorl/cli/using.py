"""Commands that use a run: on new cells, fields, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dorl.cli.app import app
from dorl.cli.options import (
    Adapt,
    Classifier,
    Device,
    ExpectOfRun,
    Join,
    OneShard,
    OnRay,
    Reject,
    RunFolder,
    Seed,
    Sure,
)
from dorl.runtime.memory import without_collection


@app.command()
def predict(
    run: RunFolder,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES...", help="Images, folders or manifests; URLs (s3://, https://, ...), too."),
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write; /dev/stdout or a pipe, too.")],
    classifier: Classifier = None,
    adapt: Adapt = True,
    expect: ExpectOfRun = None,
    sure: Sure = None,
    reject: Reject = False,
    shard: OneShard = None,
    join: Join = None,
    ray: OnRay = None,
    device: Device = None,
) -> None:
    """Classes of new images: path, class, probability, how unlike those learnt, and every class's probability."""
    with without_collection():
        from dorl.commands.predict import predict as predict_images

    predict_images(
        run,
        images,
        out=out,
        classifier=classifier,
        adapt=adapt,
        expect=expect,
        sure=sure,
        reject=reject,
        shard=shard,
        join=join,
        ray=ray,
        device=device,
    )


@app.command()
def count(
    fields: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD...", help="Images of smear fields, slides (SVS, OME-TIFF, ...), or folders; URLs, too."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into: new, or of the same count.")],
    run: Annotated[
        Path | None,
        typer.Option(help="A folder that dorl fit made, or hub:owner/name: its classifier says what each cell is."),
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="Without a run; tiny by default.")] = None,
    red_cell: Annotated[
        float | None,
        typer.Option(help="Diameter of a red cell in pixels; by default measured in a field, from a slide's file."),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option("--adapt/--no-adapt", help="Let the classifier adapt to a hundred cells or more of a new lab."),
    ] = True,
    expect: ExpectOfRun = None,
    sure: Sure = None,
    reject: Reject = False,
    edge: Annotated[
        bool, typer.Option("--edge/--no-edge", help="Count cells that a field's edge cuts, or leave them out.")
    ] = True,
    wbc: Annotated[
        float | None, typer.Option(help="Leukocytes of the blood, 10⁹/l: absolute counts, too; of one sample.")
    ] = None,
    manual: Annotated[
        Path | None, typer.Option(help="A manual differential to compare with: CSV with class,cells, or sample, too.")
    ] = None,
    even_light: Annotated[
        bool, typer.Option("--even-light", help="Draw annotated/ over the fields in even light, without scale bars.")
    ] = False,
    monolayer: Annotated[
        bool, typer.Option("--monolayer", help="Of slides, count only cells where red cells lie side by side.")
    ] = False,
    shard: OneShard = None,
    join: Join = None,
    ray: OnRay = None,
    device: Device = None,
) -> None:
    """Every white cell of smear fields and slides, and a differential count: cells.csv, counts.csv, pictures."""
    with without_collection():
        from dorl.commands.count import count as run_count

    result = run_count(
        fields,
        out=out,
        run=run,
        segmenter=segmenter,
        red_cell=red_cell,
        adapt=adapt,
        expect=expect,
        sure=sure,
        reject=reject,
        edge=edge,
        wbc=wbc,
        manual=manual,
        even_light=even_light,
        monolayer=monolayer,
        shard=shard,
        join=join,
        ray=ray,
        device=device,
    )
    if shard is None:
        for line in result.lines():
            print(line)


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
    with without_collection():
        from dorl.commands.suggest import suggest as run_suggest

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
    expect: ExpectOfRun = None,
    max_images: Annotated[int, typer.Option(help="Of one upload.")] = 5000,
    max_megabytes: Annotated[int, typer.Option(help="Of one upload.")] = 1024,
    device: Device = None,
) -> None:
    """A web page and a JSON API: see each cell's class and what it rests on, correct it, export."""
    with without_collection():
        from dorl.commands.serve import serve as run_server

    run_server(
        run,
        out=out,
        host=host,
        port=port,
        allow=allow or [],
        token=token,
        classifier=classifier,
        adapt=adapt,
        expect=expect,
        max_images=max_images,
        max_megabytes=max_megabytes,
        device=device,
    )


@app.command()
def report(
    run: RunFolder,
    compare: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Another run: show both side by side, in a file of their own.")
    ] = None,
    out: Annotated[Path, typer.Option(help="HTML file of --compare.")] = Path("compare.html"),
) -> None:
    """One self-contained HTML file, made anew from what lies in the folder; or two runs side by side."""
    with without_collection():
        from dorl.reporting.compare import compare_runs
        from dorl.reporting.report import write_run_report

    print(write_run_report(run) if compare is None else compare_runs(run, compare, out))


@app.command()
def verify(run: RunFolder) -> None:
    """What would differ if the run were made again: versions, processor, inputs; exit status 1 if anything would."""
    with without_collection():
        from dorl.commands.verify import verify as verify_run

    found = verify_run(run)
    for difference in found:
        print(difference)
    if found:
        raise typer.Exit(1)
    print("nothing would differ")
