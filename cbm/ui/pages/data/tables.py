"""The tables below an image set: classes, known concepts, rejected files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from cbm.embeddings.sets import EmbeddingSet
from cbm.study import image_sets
from cbm.ui.frame.text import plain
from cbm.workspace.workspace import Artifact

if TYPE_CHECKING:
    import pandas

_IN_WORDS = 5
"""So many rejected files are listed in sentences; more make a table."""


def set_tables(embeddings: EmbeddingSet, artifact: Artifact) -> None:
    """Classes, known concepts and rejected files; those that there are."""
    concepts, rejected = image_sets.known_concepts(embeddings), image_sets.rejected_files(artifact)
    with st.grid(2, min_column_width=300, gap="medium", key="data_tables") as grid:
        with grid.cell():
            st.markdown("##### Classes", anchors=False)
            if embeddings.labelled.any():
                table = image_sets.class_counts(embeddings)
                st.dataframe(table, hide_index=True, key="data_classes", height=min(38 + 35 * len(table), 320))
            else:
                st.caption(
                    "No labels: discovery and search work without them. To train a classifier, put the images of each class into a folder "
                    "of its own, or name a `label` column in a table."
                )
        with grid.cell():
            st.markdown("##### Known concepts", anchors=False)
            if len(concepts):
                _concept_table(concepts)
            else:
                st.caption("None: a table with a true / false column for each concept lets the app check what discovery finds.")
        with grid.cell():
            st.markdown("##### Rejected files", anchors=False)
            if len(rejected):
                file_list(list(zip(rejected["File"], rejected["Reason"], strict=True)), key="data_rejected")
                st.download_button(
                    "Download as CSV",
                    rejected.to_csv(index=False).encode(),
                    f"rejected-{artifact.id}.csv",
                    "text/csv",
                    key="data_rejected_csv",
                    icon=":material/download:",
                    on_click="ignore",
                )
            else:
                st.caption("None: every file could be used.")


def file_list(files: Sequence[tuple[str, str]], *, key: str) -> None:
    """Files with reasons: in full sentences where they are few, else as a table."""
    if len(files) <= _IN_WORDS:
        st.markdown("\n".join(f"- **{plain(name)}**: {plain(reason)}" for name, reason in files))
        return
    st.dataframe({"File": [name for name, _ in files], "Reason": [reason for _, reason in files]}, hide_index=True, key=key, height=320)


def _concept_table(concepts: pandas.DataFrame) -> None:
    st.dataframe(
        concepts,
        hide_index=True,
        key="data_concepts",
        height=320,
        column_config={"Share": st.column_config.ProgressColumn("Share of images", format="%.1f %%", min_value=0, max_value=100)},
    )
