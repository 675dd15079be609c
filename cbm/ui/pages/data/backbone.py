"""Choosing the backbone that encodes: the one that ships, one of open_clip's checkpoints, or a checkpoint file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cbm.backbones.architectures import DEMO, architecture_names
from cbm.backbones.catalogue import Offer, at_hand, find_offer, offers, quick_gelu_advice
from cbm.ui.access import modes
from cbm.ui.frame import cache, messages
from cbm.ui.frame.formats import plain
from cbm.ui.frame.state import DataPage

_DEMO_KIND, _LISTED, _FILE = "Demo backbone", "open_clip's list", "A checkpoint file"
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
    kinds = [_DEMO_KIND, _LISTED, *([_FILE] if modes.may_use_paths() else [])]
    kind = st.segmented_control(
        "Backbone", kinds, default=_DEMO_KIND, required=True, key=DataPage.key("backbone_kind"), persist_state="session"
    )
    if kind == _LISTED:
        return _listed()
    if kind == _FILE:
        return _file()
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


def _file() -> Choice | None:
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
