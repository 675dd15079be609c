"""The cards of all image sets, each read once."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from cbm.core.errors import CorruptArtifactError
from cbm.study.image_sets import ImageSetCard, image_set_card
from cbm.ui.frame import resources


@dataclass(frozen=True)
class Collection:
    """The image sets of a workspace, newest first."""

    cards: tuple[ImageSetCard, ...]
    broken: tuple[str, ...]
    """One message for each set that cannot be read."""


def collection(root: str) -> Collection:
    """What there is; a damaged set does not hide the others."""
    cards, broken = [], []
    for artifact in resources.artifacts(root, "embeddings"):
        try:
            cards.append(_card(root, artifact.id))
        except CorruptArtifactError as error:
            broken.append(str(error))
    return Collection(tuple(cards), tuple(broken))


@st.cache_resource(max_entries=512, show_spinner=False)
def _card(root: str, identifier: str) -> ImageSetCard:
    artifact = next(artifact for artifact in resources.artifacts(root, "embeddings") if artifact.id == identifier)
    return image_set_card(artifact, resources.embedding_set(root, identifier))
