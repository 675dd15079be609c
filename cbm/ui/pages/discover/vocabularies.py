"""Lists of candidate names: those that ship, those that the workspace holds, and those that somebody uploads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, InvalidInputError
from cbm.core.files import whole_file
from cbm.names.names import SHIPPED, read_names
from cbm.ui.access import modes, uploads
from cbm.ui.access.uploads import Upload
from cbm.ui.pages.discover import words
from cbm.workspace.workspace import Artifact, Workspace

_DEMO = "demo"


@dataclass(frozen=True)
class WordChoice:
    """One list to name with."""

    value: str
    """What the verb `name` takes: a shipped list, or the id of a vocabulary."""
    label: str
    help: str
    encoded: bool
    """Whether its text embeddings exist, so that no weights are needed."""


def word_choices(reference: BackboneReference, vocabularies: Sequence[Artifact]) -> list[WordChoice]:
    """What the concepts of a backbone can be named with, the most fitting first."""
    existing = []
    for artifact in vocabularies:
        made_with = artifact.parameters.get("backbone")
        if isinstance(made_with, dict) and BackboneReference.from_dict(made_with).matches(reference):
            source = str(artifact.parameters.get("source", artifact.id))
            if source not in SHIPPED or reference.is_foreign:
                count = artifact.metrics.get("count")
                label = f"{source} ({count:,} names, encoded)" if count else source
                existing.append(WordChoice(artifact.id, label, "A list that was encoded in this workspace before.", True))
    demo = reference.architecture == _DEMO
    order = ("scenes", "attributes", "english") if demo else ("english", "attributes", "scenes")
    shipped = [WordChoice(name, words.SHIPPED[name].label, words.SHIPPED[name].help, False) for name in order]
    return [*existing, *shipped] if reference.is_foreign and not demo else [*shipped, *existing]


def keep_words(root: str, file: Upload) -> Path:
    """Keep an uploaded list of names: .txt, one a line, or .npz with `embeddings` and `names`.

    Raises:
        NotAllowedError: nothing may be written here, or not so much.
        InvalidInputError: it is no such list; the message says why.
    """
    suffix = Path(file.name).suffix.lower()
    if suffix == ".npz":
        return uploads.keep(root, [file])
    if suffix != ".txt":
        raise InvalidInputError(f"{file.name} is no list of names; give a .txt with one name a line, or an .npz (embeddings, names).")
    data = file.getvalue()
    name = Path(uploads.clean_name(file.name)).name
    modes.check_uploads({name: len(data)})
    folder = Workspace(root).uploads / hashlib.sha256(f"words\0{name}\0".encode() + data).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / name
    if not final.exists():
        with whole_file(final) as draft:
            draft.write_bytes(data)
            try:
                read_names(draft)  # refuses what is no list of names before it is kept
            except CbmError as error:
                raise type(error)(str(error).replace(str(draft), name)) from error
    return final
