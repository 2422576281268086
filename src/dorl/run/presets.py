"""The numbers that a run uses unless told otherwise."""

from __future__ import annotations

from dataclasses import asdict, replace

from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder, TrainingSettings
from dorl.representation.config import ALIGNED
from dorl.representation.features import shape_for
from dorl.representation.pooled import LearningSettings
from dorl.representation.presets import preset as named
from dorl.run.folder import PUBLISHED, AutoencoderSettings
from dorl.segmentation import Segmenter

#: the published row with the best average over all pairs of labs
DEFAULT_CLASSIFIER = "SVM (linear)"
PRESETS = ("auto", "published", "small")
#: how an autoencoder of cells is tuned on the labs of a run, and learns where there is none to go on from
TUNED = LearningSettings(steps=150, learning_rate=2e-4, warmup=20, drawing_steps=0)
ANEW = LearningSettings(steps=300, drawing_steps=300)


def check_seed(seed: int) -> None:
    """Refuse a seed that one of the libraries would refuse later."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}: give a whole number from 0 to 4294967295")


def autoencoder_settings(
    segmenter: Segmenter,
    preset: str = "auto",
    *,
    epochs: int | None = None,
    iterations: int | None = None,
    accumulate: int = 1,
) -> AutoencoderSettings:
    """Shape and training of the autoencoder for a segmenter.

    Parameters
    ----------
    preset : {"auto", "published", "small"}
        See `dorl.representation.presets`.
    epochs, iterations : int, optional
        In place of the preset's; with `epochs` alone, the preset's limit on iterations no longer holds.
    accumulate : int
        Parts that a batch is computed in.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is unknown: give one of {', '.join(PRESETS)}")
    for name, value in (("epochs", epochs), ("iterations", iterations)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: give 1 or more")
    chosen, shape, training = named(preset, segmenter.width, segmenter.grid)
    limit = iterations if iterations is not None else (None if epochs is not None else training.max_iterations)
    epochs = epochs if epochs is not None else training.epochs
    training = replace(training, epochs=epochs, max_iterations=limit, accumulate=accumulate)
    training.check_parts()
    return _settings(chosen, shape, training)


def cell_settings(shape: AutoencoderConfig, *, start: str, iterations: int | None = None) -> AutoencoderSettings:
    """Shape and learning of an autoencoder of cells.

    Parameters
    ----------
    shape : AutoencoderConfig
    start : str
        Digest of the weights that it goes on from; empty where it begins anew.
    iterations : int, optional
        In place of `TUNED`, or of `ANEW` where it begins anew; 0 leaves `start` as it is.
    """
    if iterations is not None and iterations < (0 if start else 1):
        raise InputError(f"iterations is {iterations}: give {0 if start else 1} or more")
    learning = TUNED if start else ANEW
    if iterations is not None:
        learning = replace(learning, steps=iterations)
    none = TrainingSettings(
        epochs=0,
        max_iterations=learning.steps,
        batch_size=learning.batch_size,
        warmup=learning.warmup,
        learning_rate=learning.learning_rate,
        weight_decay=learning.weight_decay,
    )
    settings = _settings("tuned" if start else "cell", shape, none)
    settings.digest = start
    return settings


def settings_of(
    network: Segmenter,
    method: str,
    start: CrossDomainAutoencoder | None,
    given: CrossDomainAutoencoder | None,
    *,
    preset: str,
    epochs: int | None,
    iterations: int | None,
    accumulate: int,
) -> AutoencoderSettings:
    """Settings of the autoencoder by the method, and by where it starts."""
    if method == PUBLISHED:
        if given is not None:
            return given_settings(given)
        return autoencoder_settings(network, preset, epochs=epochs, iterations=iterations, accumulate=accumulate)
    autoencoder_settings(network, preset, epochs=epochs)  # refuses unknown names and numbers
    for name, value in (("preset", preset != "auto"), ("epochs", epochs), ("accumulate", accumulate != 1)):
        if value:
            raise InputError(f"{name} is for the published method alone: leave it out, or give --method published")
    if start is None:
        return cell_settings(shape_for(network), start="", iterations=iterations)
    # one that was given is taken as it is, unless iterations are asked for
    aligned = given is None if iterations is None else iterations > 0
    settings = cell_settings(start.config, start=start.digest(), iterations=iterations or 0)
    settings.aligned = aligned and start.config.feature == ALIGNED
    return settings


def shape_and_learning(settings: AutoencoderSettings) -> tuple[AutoencoderConfig, LearningSettings]:
    """The two halves of the `settings` of an autoencoder of cells."""
    shape, _ = shape_and_training(settings)
    base = TUNED if settings.digest else ANEW
    return shape, replace(base, steps=settings.max_iterations)


def given_settings(model: CrossDomainAutoencoder) -> AutoencoderSettings:
    """What a run says of an autoencoder that was trained elsewhere: its shape, and no training."""
    none = TrainingSettings(epochs=0, batch_size=0, warmup=0, learning_rate=0.0, weight_decay=0.0)
    settings = _settings("given", model.config, none)
    settings.digest = model.digest()
    return settings


def _settings(preset: str, shape: AutoencoderConfig, training: TrainingSettings) -> AutoencoderSettings:
    values = {**asdict(shape), **asdict(training)}
    values |= {"image_channels": list(shape.image_channels), "finer": list(shape.finer)}
    values["max_iterations"] = training.max_iterations or 0
    return AutoencoderSettings(preset=preset, **values)


def shape_and_training(settings: AutoencoderSettings) -> tuple[AutoencoderConfig, TrainingSettings]:
    """The two halves of `settings` as the representation stage takes them."""
    values = settings.model_dump()
    values |= {name: tuple(values[name]) for name in ("image_channels", "finer")}
    values["max_iterations"] = values["max_iterations"] or None
    shape = {name: values[name] for name in AutoencoderConfig.__dataclass_fields__}
    training = {name: values[name] for name in TrainingSettings.__dataclass_fields__}
    return AutoencoderConfig(**shape), TrainingSettings(**training)
