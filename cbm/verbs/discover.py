"""discover: embeddings into a dictionary, whose directions become concepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.wording import percent
from cbm.registry import DICTIONARIES
from cbm.verbs.base import Argument, AsJob, Hosted, OnDevice, Seeded, SettingsOf, VerbResult, verb
from cbm.workspace.artifacts import DictionaryArtifact
from cbm.workspace.requests import Discovery
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

HELD_OUT_SHARE = 0.05
FEWEST_HELD_OUT = 8
MOST_HELD_OUT = 8192


@dataclass(frozen=True)
class Discover(OnDevice, Seeded):
    embeddings: Annotated[Sequence[str], Argument("EMB…")]
    """Ids of one or more embedding sets."""
    _: KW_ONLY
    variant: Annotated[str, DICTIONARIES] = "batchtopk"
    """How concepts are discovered."""
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
    options: Annotated[Mapping[str, Any], SettingsOf("variant")] = field(default_factory=dict)
    """Further settings of the variant."""


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
        Cancelled: training was stopped; the same request resumes from its checkpoint.
    """
    from cbm.verbs.joined_sets import join_sets

    joined = join_sets(workspace, settings.embeddings)
    part = DICTIONARIES[settings.variant]
    own = part.make_settings({name: getattr(settings, name) for name in _COMMON} | dict(settings.options), joined.dim)
    asked = Discovery(joined.ids, part.record(own, run.seed), HELD_OUT_SHARE, joined.space, joined.backbone.to_dict())
    training_run = dataclasses.replace(run, checkpoints=workspace.checkpoints(asked.id))

    def write(draft: Draft) -> None:
        from cbm.dictionaries.baselines import baselines_table
        from cbm.dictionaries.training import save_history
        from cbm.metrics.reconstruction import measure_reconstruction

        training, held_out = _hold_out(joined.embeddings, run.seed)
        fitted = part.fit(training, own, training_run)
        fitted.dictionary.save(draft.path)
        save_history(fitted.history, draft.path)
        run.report(1, 1, "Comparing with simpler methods")
        everything = measure_reconstruction(fitted.dictionary, joined.embeddings)
        draft.metrics.update(
            reconstruction=measure_reconstruction(fitted.dictionary, held_out).to_json(),
            baselines={row.name: row.metrics.to_json() for row in baselines_table(training, held_out, k=settings.k, seed=run.seed)},
            # Dead, and how often latents fire, is a matter of every image, not of the few that are held out.
            dead=everything.dead,
            everything=everything.to_json(),
            images=len(joined.embeddings),
            held_out=len(held_out),
            samples_per_second=fitted.samples_per_second,
            seconds=fitted.seconds,
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


_COMMON = ("width", "k", "epochs", "matryoshka", "learning_rate")
"""Settings of variants that are settings of the verb; those that one variant alone has are `options`."""


def training_arguments(recorded: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """The arguments with which `discover` makes the request that a dictionary recorded as `training`.

    Args:
        dim: of the embeddings.

    Raises:
        InvalidInputError: no arguments lead to it: the dictionary was trained with a configuration of its own.
    """
    for part in DICTIONARIES:
        arguments = part.arguments(recorded, dim)
        if arguments is not None:
            own = {name: arguments.pop(name) for name in tuple(arguments) if name not in (*_COMMON, "variant", "seed")}
            return arguments | ({"options": own} if own else {})
    raise InvalidInputError("The dictionary was trained with settings that the verb discover does not take, so no script can rebuild it.")


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
