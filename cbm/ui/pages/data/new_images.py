"""New images, in three steps: which, with a look at them; which backbone; and what encoding them takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cbm.backbones.architectures import DEMO, architecture_names
from cbm.backbones.catalogue import Offer, at_hand, find_offer, offers, quick_gelu_advice
from cbm.core.errors import CbmError
from cbm.images.preview import LOOKED_AT, Preview, look_at
from cbm.images.sources import ARCHIVE_SUFFIXES, TABLE_SUFFIXES
from cbm.jobs import encoding_pace
from cbm.jobs.encoding_pace import Pace
from cbm.ui.access import modes, quotas, uploads
from cbm.ui.frame import cache, messages, resources
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.slots import PerModel, Slot
from cbm.ui.frame.state import DataPage
from cbm.ui.pages.data.library import file_list
from cbm.ui.widgets import job_panel
from cbm.ui.widgets.thumbnails import thumbnail
from cbm.workspace.workspace import Workspace

UPLOAD, UPLOAD_FOLDER, PATH, EXAMPLE = "Upload files", "Upload a folder", "Folder on this machine", "Example scenes"
_KEPT = Slot[tuple[tuple[str, ...], str] | None]("data_kept_upload", None)
"""Ids of the files of the last upload, and where it is kept."""
_PACES = PerModel[Pace | None]("data_paces", None)
"""What was measured, by architecture and weights."""
_SCENES = {
    "Ten classes": "scenes:classes?count={}&seed=1&split=train",
    "No labels": "scenes:free?count={}&seed=1&split=train",
    "A planted shortcut": "scenes:shortcut?count={}&seed=1&split=train",
}
_LISTED = 200
"""Rejected files and classes that a preview lists."""


@dataclass(frozen=True)
class Source:
    """Where the images come from, as `cbm.verbs.embed` takes it."""

    source: str
    title: str


def form(root: str) -> None:
    """The whole form. What is asked for becomes a job."""
    with st.container(border=True, key=DataPage.key("step_images")):
        st.markdown("##### 1 · Images", anchors=False)
        try:
            source = _source(root)
            preview = None if source is None else _preview(root, source)
        except CbmError as error:
            messages.error(uploads.without_folders(root, str(error)))
            return
        if source is None or preview is None:
            return
        draw_preview(preview)
    if not preview.count:
        return
    with st.container(border=True, key=DataPage.key("step_backbone")):
        st.markdown("##### 2 · Backbone", anchors=False)
        choice = backbone_choice()
    if choice is not None:
        with st.container(border=True, key=DataPage.key("step_encode")):
            st.markdown("##### 3 · Encode", anchors=False)
            _encode(root, source, preview, choice)


def _source(root: str) -> Source | None:
    ways = [UPLOAD, UPLOAD_FOLDER, *([PATH] if modes.may_use_paths() else []), EXAMPLE]
    way = st.segmented_control("Where they are", ways, default=UPLOAD, required=True, key=DataPage.key("way"), persist_state="session")
    if way == PATH:
        return _path()
    if way == EXAMPLE:
        return _example()
    return _upload(root, folder=way == UPLOAD_FOLDER)


def _upload(root: str, *, folder: bool) -> Source | None:
    files = st.file_uploader(
        "A folder of images" if folder else "Images, a zip of images, or a table with its images",
        accept_multiple_files="directory" if folder else True,
        key=DataPage.key("upload", folder),
        max_upload_size=modes.limits().max_upload_megabytes,
    )
    if not files:
        st.caption(
            "Folders become classes: `cats/1.jpg` is a cat, in a zip as well as in a folder. A table (.csv or .parquet) has a column "
            "`path`, and may have `label`, `group`, `split`, and a true / false column for each known concept."
        )
        return None
    return Source(str(keep_once(root, files)), uploaded_title(files))


def keep_once(root: str, files: Sequence[uploads.Upload]) -> Path:
    """Keep an upload when it is first seen; later runs of the page find it by the ids of its files."""
    ids = tuple(str(getattr(file, "file_id", file.name)) for file in files)
    kept = _KEPT.get()
    if kept is None or kept[0] != ids or not Path(kept[1]).exists():
        with st.spinner("Checking and keeping the upload …"):
            kept = (ids, str(uploads.keep(root, files)))
        _KEPT.put(kept)
    return Path(kept[1])


def uploaded_title(files: Sequence[uploads.Upload]) -> str:
    """What to call an upload: its file of vectors, archive or table, else the number of its files."""
    named = [file.name for file in files if file.name.lower().endswith((*uploads.VECTOR_SUFFIXES, *ARCHIVE_SUFFIXES, *TABLE_SUFFIXES))]
    return Path(named[0]).name if named else counted(len(files), "uploaded file")


def _path() -> Source | None:
    modes.require_paths()
    text = st.text_input(
        "Path",
        key=DataPage.key("path"),
        placeholder="/home/me/pictures, or a .zip, .tar, .csv or .parquet",
        help="Nothing is copied: the images stay where they are, and the app reads them there.",
        persist_state="session",
    ).strip()
    if not text:
        st.caption("Folders become classes. The images are read where they are and not copied, so leave them there.")
        return None
    path = os.path.abspath(os.path.expanduser(text))
    return Source(path, os.path.basename(path) or path)


def _example() -> Source:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = st.selectbox("Scenes", list(_SCENES), key=DataPage.key("scenes"), width=220, persist_state="session")
        count = st.number_input("How many", 50, 20_000, 400, 50, key=DataPage.key("scenes_count"), width=140, persist_state="session")
    st.caption("Drawn by the demo's world, with the truth about every concept: a quick way to try the whole pipeline.")
    return Source(_SCENES[task].format(int(count)), f"{int(count):,} scenes, {task.lower()}")


def _preview(root: str, source: Source) -> Preview:
    stamp = os.stat(source.source).st_mtime_ns if os.path.exists(source.source) else 0
    confine = Path(source.source).is_relative_to(Workspace(root).uploads)
    preview = _looked_at(source.source, confine, stamp)
    quotas.check_images(preview.count)
    return preview


@cache.remember("Reading the images …")
def _looked_at(source: str, confine: bool, stamp: int) -> Preview:
    return look_at(source, confine=confine)


def draw_preview(preview: Preview) -> None:
    """What a source holds: a line of counts, pictures, classes, and the files that will be turned away."""
    if not preview.count:
        messages.error("None of these files is a readable picture. JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF are supported.")
        _preview_details(preview)
        return
    found = [counted(preview.count, "image")]
    if preview.classes:
        found.append(counted(len(preview.classes), "class", "classes"))
    if preview.splits:
        found.append(", ".join(f"{name} {count:,}" for name, count in preview.splits.items()))
    if preview.concepts:
        found.append(counted(len(preview.concepts), "known concept"))
    st.markdown(f"**{plain(' · '.join(found))}**")
    with st.grid("auto", min_column_width=88, gap="small", key=DataPage.key("preview")) as grid:
        for uri, label in zip(preview.uris, preview.labels, strict=True):
            with grid.cell(), st.container(gap="xxsmall"):
                st.image(thumbnail(uri), width="stretch", alt=f"A picture of the upload{f', class {label}' if label else ''}")
                if label:
                    st.caption(plain(label))
    if not preview.classes:
        st.caption("No labels were found: concepts can be discovered and searched, but a classifier needs a class for each image.")
    elif preview.unlabelled:
        st.caption(f"{counted(preview.unlabelled, 'image')} without a label: discovery uses them, a classifier does not.")
    for note in preview.notes:
        st.caption(f":material/info: {plain(note)}")
    _preview_details(preview)


def _preview_details(preview: Preview) -> None:
    if preview.classes:
        with st.expander(f"Classes ({len(preview.classes):,})", icon=":material/category:"):
            shown = list(preview.classes.items())[:_LISTED]
            st.dataframe({"Class": [name for name, _ in shown], "Images": [count for _, count in shown]}, hide_index=True, height=240)
    if preview.rejected:
        with st.expander(f"{counted(len(preview.rejected), 'file')} will be rejected", icon=":material/block:", expanded=True):
            file_list(preview.rejected[:_LISTED], key=DataPage.key("preview_rejected"))
    if preview.kind != "scenes" and preview.looked_at < preview.count + len(preview.rejected):
        st.caption(f"The first bytes of {LOOKED_AT:,} files were read; the others are judged while they are encoded.")


def _encode(root: str, source: Source, preview: Preview, choice: Choice) -> None:
    steps = f"Every picture is decoded, scaled to the input size of {choice.name}, and encoded"
    dim = f" into {choice.offer.dim} numbers" if choice.offer is not None else ""
    st.markdown(
        f"{plain(steps + dim)}. Pictures that this backbone has encoded before are taken from the store; "
        "files that cannot be used are listed with the reason."
    )
    measured = _pace(root, preview, choice)
    if measured is not None:
        st.markdown(
            f"{counted(preview.count, 'image')}: **{measured.duration(preview.count)}**, and some seconds to start "
            f"({plain(measured.source)})."
        )
    elif choice.here:
        st.button(
            "Measure the time", key=DataPage.key("measure"), icon=":material/timer:", on_click=_measured, args=(choice, preview.probe)
        )
        st.caption("Loads the backbone and encodes a few pictures.")
    else:
        st.caption("The duration cannot be estimated before the weights are here; the rate is shown while it runs.")
    st.button(
        f"Encode {counted(preview.count, 'image')}",
        key=DataPage.key("encode"),
        type="primary",
        icon=":material/play_arrow:",
        on_click=_submit,
        args=(source, preview.count, choice),
    )


def _pace(root: str, preview: Preview, choice: Choice) -> Pace | None:
    measured = _PACES.get((choice.architecture, choice.pretrained))
    if measured is not None:
        return measured
    before = encoding_pace.earlier(resources.jobs(root).list(), choice.architecture, choice.pretrained)
    if before is not None:
        return before
    # The demo's backbone is loaded in a moment; others are measured when somebody asks.
    return _measure(choice, preview.probe) if choice.architecture == DEMO else None


def _measured(choice: Choice, uris: tuple[str, ...]) -> None:
    """Callback: measure the pace when somebody asks."""
    with messages.refusals():
        _measure(choice, uris)


def _measure(choice: Choice, uris: tuple[str, ...]) -> Pace | None:
    shared = resources.backbone(choice.architecture, choice.pretrained)
    measured = encoding_pace.measure(shared.backbone, uris, shared.lock)
    _PACES.put((choice.architecture, choice.pretrained), measured)
    return measured


def _submit(source: Source, count: int, choice: Choice) -> None:
    """Callback: ask for the work."""
    parameters: dict[str, object] = {"source": source.source, "backbone": choice.architecture}
    if choice.pretrained:
        parameters["pretrained"] = choice.pretrained
    with messages.refusals():
        job_panel.submit("embed", parameters, title=f"Encode {counted(count, 'image')} of {source.title}")
        DataPage.put(view=None)


# Choosing the backbone

_DEMO_KIND, _LIST, _FILE = "Demo backbone", "open_clip's list", "A checkpoint file"
_LOOK_AGAIN = 60
"""Seconds until the cache of downloads is looked through again."""


@dataclass(frozen=True)
class Choice:
    """What `cbm.verbs.embed` is to encode with."""

    architecture: str
    pretrained: str | None
    here: bool
    """Whether the weights are on this machine."""
    offer: Offer | None = None

    @property
    def name(self) -> str:
        if self.architecture == DEMO:
            return "the demo backbone"
        return self.architecture if not self.pretrained else f"{self.architecture} · {Path(self.pretrained).name}"


@cache.remember("Reading open_clip's list …")
def all_offers() -> tuple[Offer, ...]:
    """Every checkpoint that open_clip knows."""
    return offers()


@st.cache_data(ttl=_LOOK_AGAIN, show_spinner=False)
def names_at_hand() -> tuple[str, ...]:
    """Names of the offers whose weights are on this machine."""
    return tuple(offer.name for offer in all_offers() if at_hand(offer.architecture, offer.pretrained or None))


def backbone_choice() -> Choice | None:
    """Draw the choice; None where it is not complete yet."""
    kinds = [_DEMO_KIND, _LIST, *([_FILE] if modes.may_use_paths() else [])]
    kind = st.segmented_control(
        "Backbone", kinds, default=_DEMO_KIND, required=True, key=DataPage.key("backbone_kind"), persist_state="session"
    )
    if kind == _LIST:
        return _listed()
    if kind == _FILE:
        return _checkpoint_file()
    st.caption(
        "A small CLIP that ships with CBM Studio and knows the demo's drawn scenes. It needs no download and is quick, "
        "but it has never seen a photograph: choose one of open_clip's for real pictures."
    )
    return Choice(DEMO, None, True, find_offer(DEMO, ""))


def _listed() -> Choice | None:
    here = set(names_at_hand())
    listed = sorted((offer for offer in all_offers() if offer.architecture != DEMO), key=lambda offer: offer.name not in here)
    chosen = st.selectbox(
        f"One of {len(listed)} checkpoints, type to search",
        listed,
        index=None,
        key=DataPage.key("backbone"),
        format_func=lambda offer: offer_line(offer, offer.name in here),
        placeholder="ViT-B-32, SigLIP, laion2b, 512 …",
        help="Architecture · tag, then the size of an embedding, the parameters of both towers, and the licence where a source states one.",
    )
    if chosen is None:
        st.caption(
            "The usual first choice for photographs is ViT-B-32 · laion2b_s34b_b79k: small, quick and under the MIT licence. "
            "Larger towers see more and take longer."
        )
        return None
    offer_facts(chosen, chosen.name in here)
    return Choice(chosen.architecture, chosen.pretrained, chosen.name in here, chosen)


def offer_line(offer: Offer, here: bool) -> str:
    """One line of the list, with everything that can be searched for."""
    size = f"{offer.parameters / 1e6:,.0f} M parameters" if offer.parameters else "size not known"
    licence = offer.licence or "licence not stated"
    return f"{offer.name}  ({offer.dim}, {size}, {licence}){' · on this machine' if here else ''}"


def offer_facts(offer: Offer, here: bool) -> None:
    """What is known of a checkpoint, with what is not."""
    size = (
        f"{offer.parameters / 1e6:,.0f} million parameters, {offer.parameters * 4 / 1e9:,.1f} GB in memory"
        if offer.parameters
        else "not known"
    )
    licence = (
        f"{offer.licence} (says {offer.licence_source})" if offer.licence else "not stated by any source that ships with open_clip or timm"
    )
    with st.container(border=True):
        if here:
            st.badge("on this machine", icon=":material/check:", color="green")
        else:
            st.badge("to be downloaded once", icon=":material/download:", color="orange")
        st.markdown(
            f"**Embedding** {offer.dim} dimensions, from {offer.image_size} × {offer.image_size} pixels  \n"
            f"**Size** {plain(size)}  \n"
            f"**Trained on** {plain(offer.trained_on or 'not stated by the tag')}  \n"
            f"**Licence** {plain(licence)}"
        )
        if not here and offer.repository:
            st.caption(
                f"The weights come from {plain(offer.repository)} when encoding begins. Without a network, fetch them on another machine "
                f"and {'choose “A checkpoint file”' if modes.may_use_paths() else 'ask the administrator of this server'}."
            )
        if offer.quick_gelu:
            st.caption("Trained with QuickGELU; with a tag the right activation is set automatically.")


def _checkpoint_file() -> Choice | None:
    modes.require_paths()
    architecture = st.selectbox(
        "Architecture",
        [name for name in architecture_names() if name != DEMO],
        index=None,
        key=DataPage.key("file_architecture"),
        placeholder="The one that the checkpoint was trained with",
        persist_state="session",
    )
    file = st.text_input(
        "Checkpoint file",
        key=DataPage.key("file_checkpoint"),
        placeholder="/models/open_clip_model.safetensors",
        help="A .safetensors file, or a .pt / .pth / .bin / .ckpt that contains only tensors.",
        persist_state="session",
    ).strip()
    if not architecture or not file:
        return None
    advice = quick_gelu_advice(architecture, file)
    if advice:
        st.warning(plain(advice), icon=":material/warning:")
    path = Path(file).expanduser()
    if not path.is_file():
        messages.error(f"There is no file {plain(str(path))} on this machine. Check the path.")
        return None
    return Choice(architecture, str(path.absolute()), True)
