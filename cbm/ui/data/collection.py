"""The cards of all image sets, each read once."""

from __future__ import annotations

import streamlit as st

from cbm.errors import CorruptArtifactError
from cbm.ui import resources
from cbm.ui.data.sets import SetCard, set_card


def cards_of(root: str) -> list[SetCard]:
    """A card for every image set that can be read, newest first."""
    found = (_card(root, artifact.id) for artifact in resources.artifacts(root, "embeddings"))
    return [card for card in found if card is not None]


@st.cache_resource(max_entries=512, show_spinner=False)
def _card(root: str, identifier: str) -> SetCard | None:
    artifact = next(artifact for artifact in resources.artifacts(root, "embeddings") if artifact.id == identifier)
    try:
        return set_card(artifact, resources.embedding_set(root, identifier))
    except CorruptArtifactError:
        return None
