"""What `cbm.registry.DICTIONARIES` holds: a way to learn a dictionary, with the settings that `discover` takes for it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import Range, make_settings, settings_fields
from cbm.dictionaries.configs import TrainingConfig, Variant
from cbm.dictionaries.sizes import EXPANSION
from cbm.registry import Part

if TYPE_CHECKING:
    import numpy as np

    from cbm.dictionaries.base import Dictionary
    from cbm.dictionaries.trainer import HistoryPoint


@dataclass(frozen=True)
class DictionarySettings:
    """What every dictionary takes."""

    width: Annotated[int | None, Range(1)] = None
    """How many concepts to look for. More concepts find finer distinctions, but each needs images to learn from; too many end up dead.
    Start with a quarter as many concepts as images. Eight times the embedding's dimension when absent."""
    k: Annotated[int, Range(1)] = 32
    """How many concepts are active per image, on average: fewer are easier to read, more keep more of the image. The baselines that the
    dictionary is compared with have as many."""

    def resolved(self, dim: int) -> Self:
        """With the defaults that depend on the embeddings' dimension."""
        return dataclasses.replace(self, width=EXPANSION * dim) if self.width is None else self


@dataclass(frozen=True)
class TrainingSettings(DictionarySettings):
    """What every dictionary takes that is trained by gradient descent."""

    epochs: Annotated[int | None, Range(1)] = None
    """Passes over the images; when absent, as many as make 400,000 images in all, so that small sets are seen often."""
    learning_rate: float | None = None
    """Adam's; lower where the images hold far fewer concepts than the dictionary has latents. 0.003 when absent, or the recipe's."""


@dataclass(frozen=True)
class NestedTrainingSettings(TrainingSettings):
    """Of a variant whose latents may be nested."""

    matryoshka: tuple[float, ...] | None = None
    """Cumulative shares of the width that must each reconstruct on their own, such as 0.125,0.25,0.5,1: coarse concepts come first."""


@dataclass(frozen=True)
class FittedDictionary:
    """A dictionary, and how its training went."""

    dictionary: Dictionary
    history: tuple[HistoryPoint, ...] = ()
    """Empty where nothing is trained step by step."""
    seconds: float = 0.0
    samples_per_second: float = 0.0


Fit = Callable[["np.ndarray", Any, Run], FittedDictionary]
"""`fit(rows, settings, run)`: learns from embeddings [rows, dim] with resolved settings; `run.seed` seeds everything random."""


@dataclass(frozen=True, kw_only=True)
class DictionaryPart(Part):
    """A way to learn a dictionary."""

    label: str
    """As menus and charts show it: `BatchTopK`."""
    fit: Fit
    fixed_width: bool = False
    """Whether the width follows from the embeddings' dimension and cannot be chosen."""
    configuration: Callable[[Any, int], TrainingConfig] | None = None
    """Of a sparse autoencoder: resolved settings and seed as a training configuration, which is what its artefact records."""
    variant: type[Variant] | None = None
    """Of a sparse autoencoder: its hyperparameters' class, where it is not another part's."""

    @property
    def trained(self) -> bool:
        """Whether it is trained by gradient descent, so that it has epochs and a learning rate."""
        return issubclass(self.settings, TrainingSettings)

    def make_settings(self, given: Mapping[str, Any], dim: int) -> Any:
        """The resolved settings of a request.

        Raises:
            InvalidInputError: a setting that this dictionary would ignore, or a value out of range.
        """
        return make_settings(self.settings, given, f"the variant {self.name}").resolved(dim)

    def record(self, settings: Any, seed: int) -> dict[str, Any]:
        """What an artefact records of its training; its id is a digest of it."""
        if self.configuration is not None:
            return self.configuration(settings, seed).to_json()
        return {"variant": self.name, **dataclasses.asdict(settings), "seed": seed}

    def arguments(self, recorded: Mapping[str, Any], dim: int) -> dict[str, Any] | None:
        """The arguments of `discover` that make a recorded request; None where no settings of this dictionary do."""
        variant = recorded.get("variant")
        values = {**recorded, **variant} if isinstance(variant, Mapping) else recorded
        given = {field.name: values.get(field.name) for field in settings_fields(self.settings)}
        try:
            made = self.record(self.make_settings(given, dim), recorded["seed"])
        except (InvalidInputError, KeyError, TypeError):
            return None
        if json.loads(json.dumps(made)) != json.loads(json.dumps(recorded)):
            return None
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None}
        return {"variant": self.name, **values, "seed": recorded["seed"]}


def sparse_autoencoder(
    name: str,
    label: str,
    summary: str,
    settings: type[TrainingSettings],
    configuration: Callable[[Any, int], TrainingConfig],
    variant: type[Variant] | None = None,
    *,
    fixed_width: bool = False,
) -> DictionaryPart:
    """The part of a variant that the common trainer trains."""
    return DictionaryPart(
        name,
        summary,
        settings,
        label=label,
        fit=partial(_train, configuration),
        fixed_width=fixed_width,
        configuration=configuration,
        variant=variant,
    )


def with_training(config: TrainingConfig, settings: TrainingSettings) -> TrainingConfig:
    """The configuration with the epochs and the learning rate that were asked for."""
    asked = {"epochs": settings.epochs, "learning_rate": settings.learning_rate}
    return dataclasses.replace(config, **{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]


def _train(configuration: Callable[[Any, int], TrainingConfig], rows: np.ndarray, settings: Any, run: Run) -> FittedDictionary:
    from cbm.dictionaries.training import train_once

    trained = train_once(rows, configuration(settings, run.seed), run)
    return FittedDictionary(trained.dictionary, trained.history, trained.seconds, trained.samples_per_second)
