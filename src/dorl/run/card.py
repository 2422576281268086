"""The model card of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dorl.files import write_text
from dorl.run.folder import CARD, RunConfig
from dorl.words import ON_SPLIT, counted

#: what a run can be used for, by whether it has classifiers
USE = {
    True: "dorl predict RUN IMAGES --out predictions.csv",
    False: "dorl fit LAB... --segmenter RUN --autoencoder RUN --out RUN2",
}


def write_card(run: Path, config: RunConfig, metrics: dict[str, Any]) -> None:
    """Write the run's model card, ``README.md``."""
    write_text(run / CARD, card(config, metrics))


def card(config: RunConfig, metrics: dict[str, Any], *, repository: str = "", licence: str = "", base: str = "") -> str:
    """The model card of a run, Markdown.

    Parameters
    ----------
    config : RunConfig
    metrics : dict
        What ``metrics.json`` holds.
    repository : str, optional
        ``owner/name`` on the hub. The card then begins with what the hub reads: licence, tags and scores.
    licence : str, optional
        Of the weights, by the hub's name for it.
    base : str, optional
        File of weights that is needed beside the run.
    """
    labs = "\n".join(
        f"- {lab.name}: {counted(lab.images, 'image')}, {lab.labelled} labelled, layout {lab.layout}"
        for lab in config.labs
    )
    learnt = ", ".join(config.classifiers.source) or "no lab"
    notes = "\n\n".join(metrics["notes"]) if not labs else ""
    use = USE[bool(config.classifiers.names)]
    if repository:
        use = use.replace("RUN ", f"hub:{repository} ")
    return f"""{_front(config, metrics, repository, licence) if repository else ""}# DoRL run

{"Classifies" if config.classifiers.names else "Gives features of"} single-cell images of white blood cells. \
Made by dorl {config.dorl}, seed {config.seed}.

## Trained on
{labs or notes}

Segmenter `{config.segmenter.name}` (base {config.segmenter.base}, LoRA rank {config.segmenter.rank}); autoencoder \
{config.autoencoder.width} wide, preset {config.autoencoder.preset}. The labels learnt are those of: {learnt}.

## Measured
{_card_scores(config, metrics)}

## Use
    {use}
{_terms(licence, base) if repository else ""}
A result is a help for research; it is no diagnosis and was not validated for clinical use.
"""


def _front(config: RunConfig, metrics: dict[str, Any], repository: str, licence: str) -> str:
    """What the hub reads at the head of a card, YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    default = config.classifiers.default
    scores = [
        EvalResult(
            task_type="image-classification",
            dataset_type=row["test"],
            dataset_name=f"{row['test']}, learnt from {row['train']}",
            metric_type=kind,
            metric_value=row[name],
        )
        for row in metrics["results"]
        if row["classifier"] == default
        for kind, name in (("accuracy", "accuracy"), ("f1", "macro_f1"))
    ]
    data = ModelCardData(
        license=licence or "unknown",
        library_name="dorl",
        pipeline_tag="image-classification" if config.classifiers.names else "feature-extraction",
        tags=["dorl", "haematology", "white-blood-cells"],
        model_name=repository.split("/")[1],
        eval_results=scores or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _terms(licence: str, base: str) -> str:
    """Licence and limits, and what else is needed, for those who don't know the run's makers."""
    needed = f"\nIts base, the file `{base}`, is not here: put it into `~/.cache/dorl`.\n" if base else ""
    return f"""{needed}
## Licence
{f"The weights: {licence}." if licence else "Its makers named none for the weights."} The images of the labs are not \
a part of this repository, and have the licences of those who published them.

## Limits
It knows the classes and the kinds of pictures of the labs above. Cells of other kinds get one of these classes; the \
column `unlike` marks many of them, not all. Names of images and patients were left out.
"""


def _card_scores(config: RunConfig, metrics: dict[str, Any]) -> str:
    """How well the default classifier did from lab to lab, or that nothing is known of it."""
    default = config.classifiers.default
    measured = [row for row in metrics["results"] if row["classifier"] == default]
    if not measured:
        return "Nothing: no lab here has labels of two classes or more."
    scores = "\n".join(
        f"| {row['train']} | {row['test']} | {_score(row, 'accuracy')} | {_score(row, 'macro_f1')} |"
        for row in measured
    )
    autoencoder = (
        "the autoencoder was trained elsewhere"
        if config.autoencoder.preset == "given"
        else "the autoencoder saw the images of all these labs, without labels"
    )
    split = config.classifiers.split
    over = ON_SPLIT if split else f"mean of {config.classifiers.folds} folds"
    return f"""Classifier {default}, {over}, classes compared by the tree. One lab's \
classifier on another's cells; {autoencoder}.

| trained on | tested on | accuracy % (95 % interval) | macro-F1 % (95 % interval) |
|---|---|---|---|
{scores}

The classifiers in this folder learnt all source labs together. On a lab that is not listed here expect less than on \
any of these, until it was measured there."""


def _score(row: dict[str, Any], name: str) -> str:
    """A score with its interval, %."""
    return f"{100 * row[name]:.1f} ({100 * row[f'{name}_low']:.1f}–{100 * row[f'{name}_high']:.1f})"
