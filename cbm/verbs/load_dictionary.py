"""load-dictionary: a sparse autoencoder that others trained, as a dictionary of this workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.run import Run
from cbm.core.wording import counted, percent
from cbm.verbs.base import Argument, AsJob, Settings, VerbResult, verb
from cbm.workspace.ids import ArtifactId
from cbm.workspace.requests import LoadedDictionary
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.dictionaries.jumprelu import JumpReluDictionary
    from cbm.dictionaries.published import Published
    from cbm.embeddings.sets import EmbeddingSet

_FINAL_EMBEDDING = frozenset({"imageembeds", "imageembedding", "imageembeddings", "imagefeatures", "encodeimage", "visualproj"})
"""What authors call the embedding at a CLIP model's end, without its punctuation."""


@dataclass(frozen=True)
class LoadDictionary(Settings):
    source: Annotated[str | Path, Argument("PATH")]
    """Folder or file of the autoencoder, as SAELens, dictionary_learning, sparsify or DN-CBM wrote it."""
    _: KW_ONLY
    on: str
    """Embedding set of the backbone that it was trained on; it is measured there."""
    same_hook: bool = False
    """The vectors of --on are the activations that it was trained on, whatever its file calls them."""


@dataclass(frozen=True)
class DictionaryLoaded(VerbResult):
    dictionary: str
    format: str
    """The library that wrote it."""
    size: int
    dim: int
    fvu: float | None
    """Share of the variance of --on that it leaves unexplained: above 1 the mean fits better. None where all images are equal."""
    l0: float | None
    """Mean number of concepts that are active per image."""
    dead: float | None
    """Share of its latents that are active for no image of --on."""
    notes: tuple[str, ...]


def _figures(result: Mapping[str, Any]) -> str:
    if result["fvu"] is None:
        return counted(result["size"], "latent")
    return f"unexplained variance {result['fvu']:.3f}, {result['l0']:.1f} concepts per image, {percent(result['dead'])} dead"


@verb(LoadDictionary, command="load-dictionary", job=AsJob("Load a dictionary", "discover", "Open the dictionary", _figures))
def load_dictionary(settings: LoadDictionary, workspace: Workspace, run: Run) -> DictionaryLoaded:
    """Load a sparse autoencoder that others trained, to name its latents and train on them.

    Raises:
        InvalidInputError: it is of no format that can be read, or does what cannot be computed here.
        MismatchError: it was trained on other activations than the embeddings of `on`, or on vectors of another width or length.
        CorruptArtifactError: its files cannot be read.
    """
    from cbm.dictionaries.formats import read_published
    from cbm.embeddings.sets import load_set

    images = load_set(workspace, settings.on)
    published = read_published(Path(settings.source).expanduser())
    _require_match(published, images, settings.same_hook)
    dictionary = published.dictionary
    request = LoadedDictionary(
        _digest(dictionary), published.format, ArtifactId(images.id), settings.same_hook, images.space, images.backbone.to_dict()
    )
    artifact = workspace.create(request, lambda draft: _write(draft, dictionary, images))
    figures = artifact.figures.everything
    notes = []
    if not published.hook:
        notes.append("Its files do not say which activations it was trained on.")
    if published.model:
        notes.append(f"It says that it was trained on {published.model}; {images.id} comes from {images.backbone.architecture}.")
    if figures is not None and figures.fvu > 1:
        notes.append(
            f"It explains these embeddings worse than their mean does (unexplained variance {figures.fvu:.2f}): it was probably trained on "
            "another backbone, another layer, or embeddings that were scaled or centred."
        )
    return DictionaryLoaded(
        artifact.id,
        published.format,
        dictionary.size,
        dictionary.dim,
        None if figures is None else figures.fvu,
        None if figures is None else figures.l0_mean,
        None if figures is None else figures.dead,
        tuple(notes),
    )


def _require_match(published: Published, images: EmbeddingSet, same_hook: bool) -> None:
    called = "".join(letter for letter in published.hook.casefold() if letter.isalnum())
    if called and called not in _FINAL_EMBEDDING and not same_hook:
        raise MismatchError(
            f"The dictionary was trained on {published.hook}, inside the model; {images.id} holds the embeddings at the end of "
            f"{images.backbone.architecture}, for which its latents mean nothing. Give vectors of that layer (cbm import), and --same-hook."
        )
    dictionary = published.dictionary
    if dictionary.dim != images.dim:
        raise MismatchError(
            f"The dictionary takes vectors of {dictionary.dim} numbers; {images.backbone.architecture} makes {images.dim} ({images.id})."
        )
    if published.unit_inputs and images.space != "l2":
        raise MismatchError(f"The dictionary rescales its inputs to one length; {images.id} is {images.space}. Embed with --space l2.")


def _digest(dictionary: JumpReluDictionary) -> str:
    digest = hashlib.sha256(f"{dictionary.kind} {sorted(dictionary.settings().items())}".encode())
    for name, tensor in sorted(dictionary.tensors().items()):
        digest.update(f"{name} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _write(draft: Draft, dictionary: JumpReluDictionary, images: EmbeddingSet) -> None:
    from cbm.metrics.reconstruction import measure_reconstruction

    dictionary.save(draft.path)
    draft.metrics.update(images=len(images))
    try:
        everything = measure_reconstruction(dictionary, images.embeddings)
    except InvalidInputError:  # one image, or several that are equal
        return
    draft.metrics.update(everything=everything.to_json(), dead=everything.dead)
