"""Several embedding sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import InvalidInputError
from cbm.embeddings.sets import Space, load_set, require_space
from cbm.workspace.ids import ArtifactId
from cbm.workspace.workspace import Workspace


@dataclass(frozen=True)
class JoinedSets:
    """Several embedding sets of one backbone and space, row after row."""

    ids: tuple[ArtifactId, ...]
    embeddings: Float32[np.ndarray, "rows dim"]
    backbone: BackboneReference
    space: Space

    @property
    def dim(self) -> int:
        return int(self.embeddings.shape[1])


def join_sets(workspace: Workspace, identifiers: Sequence[str]) -> JoinedSets:
    """The embedding sets called `identifiers` as one; a single one stays on disk.

    Raises:
        MismatchError: the sets come from different backbones or spaces.
    """
    if not identifiers:
        raise InvalidInputError("No embedding set was given; make one with `cbm embed` or `cbm import`.")
    sets = [load_set(workspace, identifier) for identifier in dict.fromkeys(identifiers)]
    first = sets[0]
    for other in sets[1:]:
        first.backbone.require_match(other.backbone, f"{first.id} and {other.id}")
        require_space(other.space, first.space, other.id, first.id)
    embeddings = first.embeddings if len(sets) == 1 else np.concatenate([part.embeddings for part in sets])
    return JoinedSets(tuple(ArtifactId(part.id) for part in sets), embeddings, first.backbone, first.space)
