"""The form for vectors that were computed elsewhere: what the file holds, which backbone made it, and the import as a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cbm.backbones.architectures import architecture_names, find_architecture
from cbm.core.errors import CbmError, NotFoundError
from cbm.embeddings.foreign import read_class_names, read_foreign
from cbm.ui.access import modes, quotas, uploads
from cbm.ui.frame import cache, messages
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.state import DataPage
from cbm.ui.pages.data.new_images import all_offers, keep_once, uploaded_title
from cbm.ui.widgets import job_panel

UPLOAD, PATH = "Upload files", "Path on this machine"
_FOUND_IN = 50
"""Names of pictures that are looked for to find out which folder they are relative to."""


@dataclass(frozen=True)
class Vectors:
    """What a file of vectors holds."""

    source: str
    title: str
    count: int
    dim: int
    columns: tuple[str, ...]
    numbered: bool
    """Whether the labels are numbers, which only a file of class names gives names."""
    concepts: int
    images: str | None = None
    classes: str | None = None
    class_count: int = 0


def form(root: str) -> None:
    """The whole form. What is asked for becomes a job."""
    with st.container(border=True, key=DataPage.key("step_vectors")):
        st.markdown("##### 1 · Vectors", anchors=False)
        try:
            vectors = _vectors(root)
            quotas.check_images(0 if vectors is None else vectors.count)
        except CbmError as error:
            messages.error(uploads.without_folders(root, str(error)))
            return
        if vectors is None:
            return
        _facts(vectors)
    with st.container(border=True, key=DataPage.key("step_declare")):
        st.markdown("##### 2 · The backbone that made them", anchors=False)
        declared = _declare(vectors.dim)
    if declared is not None:
        with st.container(border=True, key=DataPage.key("step_import")):
            st.markdown("##### 3 · Import", anchors=False)
            st.caption(
                "The vectors are checked and copied. Images can be searched and concepts discovered at once; searching by words and naming "
                "concepts need the weights of this backbone, or a vocabulary encoded with it."
            )
            st.button(
                f"Import {counted(vectors.count, 'vector')}",
                key=DataPage.key("import"),
                type="primary",
                icon=":material/play_arrow:",
                on_click=_submit,
                args=(vectors, *declared),
            )


def _vectors(root: str) -> Vectors | None:
    ways = [UPLOAD, *([PATH] if modes.may_use_paths() else [])]
    way = UPLOAD
    if len(ways) > 1:
        way = str(
            st.segmented_control(
                "Where they are", ways, default=UPLOAD, required=True, key=DataPage.key("vectors_way"), persist_state="session"
            )
        )
    return _path() if way == PATH else _upload(root)


def _upload(root: str) -> Vectors | None:
    files = st.file_uploader(
        "Vectors (.npz or .parquet); optionally class names (.txt or .json) and a zip of the pictures",
        accept_multiple_files=True,
        key=DataPage.key("vectors_upload"),
        max_upload_size=modes.limits().max_upload_megabytes,
    )
    if not files:
        _teach()
        return None
    source = keep_once(root, files)
    classes = next((path for path in sorted(source.parent.iterdir()) if path.suffix.lower() in uploads.CLASS_SUFFIXES), None)
    pictures = source.parent / uploads.PICTURES
    images = pictures if pictures.is_dir() else source.parent if any(path.is_dir() for path in source.parent.iterdir()) else None
    return _read(str(source), uploaded_title(files), None if images is None else str(images), None if classes is None else str(classes))


def _teach() -> None:
    st.caption(
        "An .npz holds an array `embeddings` (images × width), and may hold `files`, `labels`, `groups` and `splits`. A .parquet has one "
        "column of float lists called `embedding`, and may have `path`, `label`, `group`, `split` and true / false columns."
    )


def _path() -> Vectors | None:
    modes.require_paths()
    source = _path_input("Vectors", DataPage.key("vectors_path"), "/data/vectors.npz, a .parquet, or a clip-retrieval folder")
    with st.container(horizontal=True):
        images = _path_input("Folder of the pictures (if you have them)", DataPage.key("vectors_images"), "/data/images")
        classes = _path_input("Class names (if labels are numbers)", DataPage.key("vectors_classes"), "/data/classes.txt or .json")
    if source is None:
        _teach()
        return None
    return _read(source, os.path.basename(source) or source, images, classes)


def _path_input(label: str, key: str, placeholder: str) -> str | None:
    text = st.text_input(label, key=key, placeholder=placeholder, persist_state="session").strip()
    return os.path.abspath(os.path.expanduser(text)) if text else None


def _read(source: str, title: str, images: str | None, classes: str | None) -> Vectors:
    stamp = os.stat(source).st_mtime_ns if os.path.exists(source) else 0
    return _looked_at(source, title, images, classes, stamp)


@cache.remember("Reading the vectors …")
def _looked_at(source: str, title: str, images: str | None, classes: str | None, stamp: int) -> Vectors:
    found = read_foreign(Path(source))
    labels, files = found.columns.get("label"), found.columns.get("file")
    names = read_class_names(Path(classes)) if classes is not None else ()
    return Vectors(
        source=source,
        title=title,
        count=found.count,
        dim=found.dim,
        columns=tuple(found.columns),
        numbered=labels is not None and not any(isinstance(label, str) for label in labels),
        concepts=len(found.concepts),
        images=_images(files, images),
        classes=classes,
        class_count=len(names),
    )


def _images(files: Sequence[object] | None, folder: str | None) -> str | None:
    """The folder that the names of the files are relative to: the given one, or the only folder in it."""
    if files is None or folder is None:
        return None
    if not os.path.isdir(folder):
        raise NotFoundError(f"There is no folder of pictures {folder}. Check the path, or leave it empty.")
    inner = [path for path in Path(folder).iterdir() if path.is_dir()]
    for candidate in (Path(folder), *(inner if len(inner) == 1 else [])):
        if any((candidate / str(file)).is_file() for file in files[:_FOUND_IN]):
            return str(candidate)
    return folder


def _facts(vectors: Vectors) -> None:
    line = [counted(vectors.count, "vector"), f"{vectors.dim} numbers each"]
    line += [name for name in ("group", "split") if name in vectors.columns]
    if vectors.concepts:
        line.append(counted(vectors.concepts, "known concept"))
    st.markdown(f"**{plain(' · '.join(line))}**")
    if "label" not in vectors.columns:
        st.caption("No labels: concepts can be discovered and searched, but a classifier needs a class for each image.")
    elif vectors.numbered and not vectors.classes:
        st.caption("The labels are numbers: classes will be called “class 0”, “class 1”, … unless you provide a file of class names.")
    elif vectors.class_count:
        st.caption(f"{vectors.class_count:,} class names.")
    if vectors.images is None:
        st.caption("No pictures: search and concepts work by number and name alone, so add the pictures if you have them.")
    else:
        st.caption("The pictures are there.")


def _declare(dim: int) -> tuple[str, str] | None:
    """Architecture and tag, among those that make vectors of this width."""
    fitting = [name for name in architecture_names() if find_architecture(name).dim == dim]
    if not fitting:
        messages.error(
            f"No architecture of open_clip makes vectors of width {dim}. Check that these are CLIP's final embeddings, "
            "not features of an inner layer or of another kind of model."
        )
        return None
    architecture = st.selectbox(
        f"Architecture, of the {len(fitting)} that make {dim} numbers",
        fitting,
        index=None,
        key=DataPage.key("vectors_architecture", dim),
        placeholder="ViT-B-32, ViT-L-14 …",
    )
    if architecture is None:
        st.caption(
            "The width alone does not say which backbone it was; "
            "vectors of another backbone would be compared as if they came from this one."
        )
        return None
    tags = sorted(
        offer.pretrained for offer in all_offers() if offer.architecture == architecture.removesuffix("-quickgelu") and offer.pretrained
    )
    tag = st.selectbox(
        "Trained weights",
        tags,
        index=None,
        key=DataPage.key("vectors_tag", architecture),
        accept_new_options=True,
        placeholder="openai, laion2b_s34b_b79k, or a name of your own",
        help="What it was trained on. Vectors are only combined with others of the same name.",
    )
    return (architecture, tag) if tag else None


def _submit(vectors: Vectors, architecture: str, tag: str) -> None:
    """Callback: ask for the work."""
    parameters: dict[str, object] = {"source": vectors.source, "backbone": architecture, "pretrained": tag}
    if vectors.images is not None:
        parameters["images"] = vectors.images
    if vectors.classes is not None:
        parameters["classes"] = vectors.classes
    with messages.refusals():
        job_panel.submit("import_vectors", parameters, title=f"Import {counted(vectors.count, 'vector')} of {vectors.title}")
        DataPage.put(view=None)
