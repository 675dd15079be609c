"""The verbs that find concepts: discover and name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import Cancelled, InvalidInputError
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.dictionaries.base import Dictionary, load_dictionary
from cbm.dictionaries.configs import VARIANTS, TrainingConfig, dn_cbm, make_variant
from cbm.dictionaries.trainer import HistoryPoint
from cbm.metrics.reconstruction import baselines_table, measure_reconstruction
from cbm.names.assignment import assign_unique, hub_counts, with_threshold
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.names.rules import DEFAULT_RULE, Rule, name_concepts
from cbm.names.threshold import measured_threshold
from cbm.names.vocabulary import Vocabulary
from cbm.verbs.common import WorkspaceLike, embedding_parents, join_sets, open_workspace, require_space
from cbm.verbs.results import Discovered, Named
from cbm.verbs.stages import Stages
from cbm.verbs.training import train_once
from cbm.verbs.words import find_vocabulary, is_source
from cbm.workspace.workspace import Artifact, Draft, artifact_id

BASELINES = ("kmeans", "pca", "random", "neurons")
PRESETS = ("dn-cbm",)
EXPANSION = 8
"""Latents per embedding dimension where no width is asked for."""
HELD_OUT_SHARE = 0.05
FEWEST_HELD_OUT = 8
MOST_HELD_OUT = 8192


def discover(
    embeddings: Sequence[str],
    *,
    variant: str = "batchtopk",
    width: int | None = None,
    k: int = 32,
    epochs: int | None = None,
    matryoshka: tuple[float, ...] | None = None,
    learning_rate: float | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Discovered:
    """Train a dictionary on one or more embedding sets, and measure it on rows that it did not see.

    Args:
        variant: `batchtopk`, `topk`, `relu-l1`, the preset `dn-cbm`, or a baseline: `kmeans`, `pca`, `random`, `neurons`.
        width: number of latents; eight times the embedding's dimension when absent.
        k: active latents of an image.
        matryoshka: cumulative shares of the width that must reconstruct on their own.
        learning_rate: Adam's; a lower one where the images hold far fewer concepts than the dictionary has latents.

    Raises:
        InvalidInputError: unknown variant, or settings that do not fit it.
        MismatchError: the sets come from different backbones or spaces.
        Cancelled: training was stopped; the same request goes on from its checkpoint.
    """
    home = open_workspace(workspace)
    joined = join_sets(home, embeddings)
    _refuse_unused(variant, joined.dim, width, epochs=epochs, matryoshka=matryoshka, learning_rate=learning_rate)
    width = EXPANSION * joined.dim if width is None else width
    if width < 1 or k < 1:
        raise InvalidInputError(f"Width {width} and k {k} must both be at least 1.")
    if variant in BASELINES:
        request: dict[str, Any] = {"variant": variant, "width": width, "k": k, "seed": seed}
    else:
        config = _training_config(variant, joined.dim, width, k, epochs, matryoshka, learning_rate, seed)
        request = config.to_json()
    parameters = {"training": request, "held_out": HELD_OUT_SHARE, "space": joined.space, "backbone": joined.backbone.to_dict()}
    checkpoints = home.checkpoints(artifact_id("dictionary", parameters, joined.ids))

    def write(draft: Draft) -> None:
        training, held_out = _hold_out(joined.embeddings, seed)
        if variant in BASELINES:
            dictionary: Dictionary = _fit_baseline(variant, training, width, k, seed)
            history: tuple[HistoryPoint, ...] = ()
            speed, seconds = 0.0, 0.0
        else:
            trained = train_once(training, config, checkpoints, device=device, progress=progress, cancelled=cancelled)
            dictionary, history = trained.dictionary, trained.history
            speed, seconds = trained.samples_per_second, trained.seconds
        dictionary.save(draft.path)
        (draft.path / "history.json").write_text(json.dumps([dataclasses.asdict(point) for point in history]) + "\n")
        if progress is not None:
            progress(Progress(1, 1, "Comparing it with simpler ways"))
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

    artifact = home.create("dictionary", parameters, joined.ids, write)
    return _discovered(artifact)


def name(
    dictionary: str,
    vocabulary: str,
    *,
    rule: Rule = DEFAULT_RULE,
    on: str | None = None,
    unique: bool = False,
    pretrained: str | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Named:
    """Give every latent of a dictionary candidate names from a vocabulary, and measure how the latents fire.

    Args:
        vocabulary: id of a vocabulary, or a list of names (`english`, `attributes`, `scenes`, a .txt, an .npz) to be encoded first.
        on: embedding set whose images fire the latents; those that the dictionary was trained on when absent.
        unique: give every name to one latent at most.
        pretrained: tag or checkpoint file of the backbone that encodes a list of names, where its own are not at hand.

    Raises:
        MismatchError: vocabulary, dictionary and images come from different backbones.
        MissingWeightsError: a list of names cannot be encoded, for the backbone's weights are not here.
    """
    home = open_workspace(workspace)
    source = home.get(dictionary, "dictionary")
    images = join_sets(home, [on] if on else embedding_parents(home, source))
    stages = Stages([*([("encoding names", 3.0)] if is_source(vocabulary) else ()), ("naming concepts", 2.0)], progress, cancelled)
    if is_source(vocabulary):
        with stages.next() as tell:
            words = find_vocabulary(
                home, vocabulary, images.backbone, pretrained=pretrained, device=device, progress=tell, cancelled=cancelled
            )
    else:
        words = home.get(vocabulary, "vocabulary")
    loaded = Vocabulary.load(words)
    images.backbone.require_match(loaded.backbone, f"{images.ids[0]} and {words.id}")
    require_space(images.space, source.parameters["space"], images.ids[0], source.id)

    def write(draft: Draft, tell: ProgressCallback) -> None:
        def begin(step: int, message: str) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("Naming was stopped; nothing of it is kept, and it starts anew.")
            tell(Progress(step, 3, message))

        bottleneck = load_dictionary(source.path)
        begin(0, "Encoding images into concepts")
        codes = bottleneck.encode(images.embeddings)
        begin(1, "Naming")
        probes: dict[str, Any] = {"rule": rule, "codes": codes, "embeddings": images.embeddings, "text_mean": loaded.mean}
        naming = name_concepts(bottleneck.directions, loaded.embeddings, **probes)
        begin(2, "Measuring how well names fit by chance")
        naming = with_threshold(naming, measured_threshold(loaded.embeddings, **probes))
        if unique:
            naming = assign_unique(naming)
        details = {"vocabulary": loaded.source, "images": list(images.ids), "backbone": images.backbone.to_dict(), "space": images.space}
        table = ConceptTable.from_naming(naming, loaded.names, ActivationStatistics.of(codes), details)
        table.save(draft.path)
        named_scores = naming.score[naming.named]
        draft.metrics.update(
            named=int(naming.named.sum()),
            unique=len(set(naming.names[naming.named].tolist())),
            mean_score=float(named_scores.mean()) if len(named_scores) else 0.0,
            hubs=len(hub_counts(naming)),
            threshold=naming.threshold,
        )

    parents = (source.id, words.id, *images.ids)
    with stages.next() as tell:
        artifact = home.create("concepts", {"rule": rule, "unique": unique}, parents, lambda draft: write(draft, tell))
    figures = artifact.metrics
    return Named(artifact.id, figures["named"], figures["unique"], figures["mean_score"])


def _discovered(artifact: Artifact) -> Discovered:
    figures = artifact.metrics["reconstruction"]
    baselines = {
        name: {"fvu": row["fvu"], "cosine": row["cosine_centred"], "l0": row["l0_mean"]}
        for name, row in artifact.metrics["baselines"].items()
    }
    return Discovered(
        dictionary=artifact.id,
        fvu=figures["fvu"],
        cosine=figures["cosine_centred"],
        l0=figures["l0_mean"],
        dead=artifact.metrics["dead"],
        samples_per_second=artifact.metrics["samples_per_second"],
        seconds=artifact.metrics["seconds"],
        held_out=artifact.metrics["held_out"],
        baselines=baselines,
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
