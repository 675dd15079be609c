"""discover: embeddings into a dictionary, whose directions become concepts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.wording import percent
from cbm.dictionaries.configs import VARIANTS, TrainingConfig, dn_cbm, make_variant
from cbm.verbs.base import Argument, AsJob, Hosted, OnDevice, Seeded, VerbResult, verb
from cbm.workspace.artifacts import DictionaryArtifact
from cbm.workspace.requests import Discovery
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from cbm.dictionaries.base import Dictionary
    from cbm.dictionaries.trainer import HistoryPoint

BASELINES = ("kmeans", "pca", "random", "neurons")
PRESETS = ("dn-cbm",)
EXPANSION = 8
"""Latents per embedding dimension where no width is asked for."""
HELD_OUT_SHARE = 0.05
FEWEST_HELD_OUT = 8
MOST_HELD_OUT = 8192


@dataclass(frozen=True)
class Discover(OnDevice, Seeded):
    embeddings: Annotated[Sequence[str], Argument("EMB…")]
    """Ids of one or more embedding sets."""
    _: KW_ONLY
    variant: str = "batchtopk"
    """batchtopk, topk, relu-l1, dn-cbm, kmeans, pca, random or neurons."""
    width: Annotated[int | None, Hosted(16_384)] = None
    """Number of latents; eight times the dimension when absent."""
    k: Annotated[int, Hosted(512)] = 32
    """Active latents per image."""
    epochs: Annotated[int | None, Hosted(2000)] = None
    """Passes over the embeddings; chosen by their number when absent."""
    matryoshka: tuple[float, ...] | None = None
    """Cumulative shares of the width that must reconstruct on their own, such as 0.125,0.25,0.5,1."""
    learning_rate: float | None = None
    """Of the optimiser; lower where the images hold far fewer concepts than the dictionary has latents."""


@dataclass(frozen=True)
class Discovered(VerbResult):
    dictionary: str
    fvu: float
    """On vectors held out of training; see `held_out`."""
    cosine: float
    """Mean cosine of reconstruction and embedding, both about the mean."""
    l0: float
    dead: float
    samples_per_second: float
    seconds: float
    held_out: int
    baselines: Mapping[str, Mapping[str, float]]
    """The same figures for predict-mean, PCA, k-means and random directions."""


def _figures(result: Mapping[str, Any]) -> str:
    return f"unexplained variance {result['fvu']:.3f}, {result['l0']:.1f} concepts per image, {percent(result['dead'])} dead"


@verb(Discover, job=AsJob("Discover concepts", "discover", "Open the dictionary", _figures))
def discover(settings: Discover, workspace: Workspace, run: Run) -> Discovered:
    """Train a dictionary on embeddings: the directions that become concepts.

    It is measured on rows that it did not see.

    Raises:
        InvalidInputError: unknown variant, or settings that do not fit it.
        MismatchError: the sets come from different backbones or spaces.
        Cancelled: training was stopped; the same request goes on from its checkpoint.
    """
    from cbm.verbs.common import join_sets

    variant, k, seed = settings.variant, settings.k, run.seed
    joined = join_sets(workspace, settings.embeddings)
    _refuse_unused(
        variant,
        joined.dim,
        settings.width,
        epochs=settings.epochs,
        matryoshka=settings.matryoshka,
        learning_rate=settings.learning_rate,
    )
    width = EXPANSION * joined.dim if settings.width is None else settings.width
    if width < 1 or k < 1:
        raise InvalidInputError(f"Width {width} and k {k} must both be at least 1.")
    if variant in BASELINES:
        request: dict[str, Any] = {"variant": variant, "width": width, "k": k, "seed": seed}
    else:
        config = _training_config(variant, joined.dim, width, k, settings.epochs, settings.matryoshka, settings.learning_rate, seed)
        request = config.to_json()
    asked = Discovery(joined.ids, request, HELD_OUT_SHARE, joined.space, joined.backbone.to_dict())
    checkpoints = workspace.checkpoints(asked.id)

    def write(draft: Draft) -> None:
        from cbm.metrics.reconstruction import baselines_table, measure_reconstruction
        from cbm.verbs.training import train_once

        training, held_out = _hold_out(joined.embeddings, seed)
        if variant in BASELINES:
            dictionary: Dictionary = _fit_baseline(variant, training, width, k, seed)
            history: tuple[HistoryPoint, ...] = ()
            speed, seconds = 0.0, 0.0
        else:
            trained = train_once(training, config, checkpoints, device=run.device, progress=run.progress, cancelled=run.cancelled)
            dictionary, history = trained.dictionary, trained.history
            speed, seconds = trained.samples_per_second, trained.seconds
        dictionary.save(draft.path)
        (draft.path / "history.json").write_text(json.dumps([dataclasses.asdict(point) for point in history]) + "\n")
        run.report(1, 1, "Comparing it with simpler ways")
        everything = measure_reconstruction(dictionary, joined.embeddings)
        draft.metrics.update(
            reconstruction=measure_reconstruction(dictionary, held_out).to_json(),
            baselines={row.name: row.metrics.to_json() for row in baselines_table(training, held_out, k=k, seed=seed)},
            # Dead, and how often latents fire, is a matter of every image, not of the few that are held out.
            dead=everything.dead,
            everything=everything.to_json(),
            images=len(joined.embeddings),
            held_out=len(held_out),
            samples_per_second=speed,
            seconds=seconds,
        )

    return _discovered(workspace.create(asked, write))


def _discovered(artifact: DictionaryArtifact) -> Discovered:
    figures = artifact.figures
    held_out = figures.reconstruction
    assert held_out is not None
    assert figures.dead is not None
    return Discovered(
        dictionary=artifact.id,
        fvu=held_out.fvu,
        cosine=held_out.cosine_centred,
        l0=held_out.l0_mean,
        dead=figures.dead,
        samples_per_second=figures.samples_per_second or 0.0,
        seconds=figures.seconds or 0.0,
        held_out=figures.held_out or 0,
        baselines={
            name: {"fvu": row.fvu, "cosine": row.cosine_centred, "l0": row.l0_mean} for name, row in (figures.baselines or {}).items()
        },
    )


def _refuse_unused(variant: str, dim: int, width: int | None, **given: Any) -> None:
    """A setting that a variant would ignore is an error, or the figures would be taken for those of that setting."""
    untrained = variant in BASELINES
    ignored = {
        "width": variant in PRESETS and width != dn_cbm(dim).variant.width,
        "matryoshka": untrained or variant in PRESETS,
        "epochs": untrained,
        "learning_rate": untrained,
    }
    refused = [name.replace("_", "-") for name, value in {"width": width, **given}.items() if value is not None and ignored[name]]
    if refused:
        raise InvalidInputError(f"The variant {variant} takes no {', '.join(refused)}; leave it out.")


def _training_config(
    variant: str,
    dim: int,
    width: int,
    k: int,
    epochs: int | None,
    matryoshka: tuple[float, ...] | None,
    learning_rate: float | None,
    seed: int,
) -> TrainingConfig:
    if variant == "dn-cbm":
        preset = dataclasses.replace(dn_cbm(dim), seed=seed)
        if epochs is not None:
            preset = dataclasses.replace(preset, epochs=epochs)
        return preset if learning_rate is None else dataclasses.replace(preset, learning_rate=learning_rate)
    if variant not in VARIANTS:
        raise InvalidInputError(f"Unknown variant {variant!r}; choose one of {', '.join((*VARIANTS, *PRESETS, *BASELINES))}.")
    config = TrainingConfig(variant=make_variant(variant, width=width, k=k, matryoshka=matryoshka), epochs=epochs, seed=seed)
    return config if learning_rate is None else dataclasses.replace(config, learning_rate=learning_rate)


def training_arguments(recorded: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """The arguments with which `discover` makes the request that a dictionary recorded as `training`.

    Args:
        dim: of the embeddings.

    Raises:
        InvalidInputError: no arguments lead to it: the dictionary was trained with a configuration of its own.
    """
    if "name" not in recorded.get("variant", {}):
        return {name: recorded[name] for name in ("variant", "width", "k", "seed")}
    variant = recorded["variant"]
    settings = {"epochs": recorded["epochs"], "learning_rate": recorded["learning_rate"], "seed": recorded["seed"]}
    shares = None if variant["matryoshka"] is None else tuple(variant["matryoshka"])
    own = {"variant": variant["name"], "width": variant["width"], "k": variant["k"], "matryoshka": shares, **settings}
    for arguments in (own, {"variant": "dn-cbm", **settings}):
        full = {"width": None, "k": 32, "matryoshka": None, **arguments}
        if full["k"] is None:
            continue
        config = _training_config(dim=dim, **full)
        if json.loads(json.dumps(config.to_json())) == json.loads(json.dumps(recorded)):
            return {name: value for name, value in arguments.items() if value is not None}
    raise InvalidInputError("The dictionary was trained with settings that the verb discover does not take, so no script can repeat it.")


def _hold_out(embeddings: Float32[np.ndarray, "rows dim"], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out rows, split at random by `seed`."""
    import numpy as np

    count = len(embeddings)
    # The share of a few dozen images would be a single one, and one vector has no variance to explain.
    fewest = max(2, min(FEWEST_HELD_OUT, count // 4))
    held_out = min(MOST_HELD_OUT, max(fewest, round(HELD_OUT_SHARE * count)))
    if count - held_out < 2:
        raise InvalidInputError(f"{count} embeddings are too few to discover anything; give a set with more images.")
    chosen = np.random.default_rng(seed).permutation(count)[:held_out]
    mask = np.zeros(count, bool)
    mask[chosen] = True
    return embeddings[~mask], embeddings[mask]


def _fit_baseline(variant: str, embeddings: Float32[np.ndarray, "rows dim"], width: int, k: int, seed: int) -> Dictionary:
    match variant:
        case "kmeans":
            from cbm.dictionaries.kmeans import KMeansDictionary

            return KMeansDictionary.fit(embeddings, size=min(width, len(embeddings)), seed=seed)
        case "pca":
            from cbm.dictionaries.pca import PcaDictionary

            return PcaDictionary.fit(embeddings, k=k)
        case "random":
            from cbm.dictionaries.random import RandomDictionary

            return RandomDictionary.fit(embeddings, size=width, k=k, seed=seed)
        case _:
            from cbm.dictionaries.neurons import NeuronDictionary

            return NeuronDictionary.fit(embeddings, k=k)
