"""One typed dataclass for each page: its query parameters as fields, its session slots, the keys of its widgets, and its links.

    state = ConceptPage.read()                      # what the URL asks for; `state.problems` says what could not be used
    ConceptPage(17).link().draw("Open")             # a permalink; model and workspace come by themselves
    ConceptPage.put(range=None)                     # in a callback: change the URL
    st.toggle("…", key=ConceptPage.key("heat"))     # the key of a widget, the same in every version

A key is the page's prefix and a name; `KEYS` holds those that differ, because links, bookmarks and tests know them by another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

from cbm.core.errors import NotFoundError
from cbm.ui.access import modes
from cbm.ui.frame.links import Link, Parameter, choice, choices, flag, number, numbers, text
from cbm.ui.frame.slots import PerModel, Slot
from cbm.workspace.ids import ArtifactId

MODEL: Parameter[str | None] = Parameter("model", None, lambda asked: asked or None, of_model=True)
SELECTION: Parameter[str | None] = Parameter("selection", None, lambda asked: asked or None, of_model=True)
JOB: Parameter[str | None] = Parameter("job", None, lambda asked: asked or None)
CHOSEN_MODEL = Slot("model", "")
"""Id of the model that the sidebar shows; empty in a workspace without one."""
DEFAULT_MODEL = Slot("default_model", "")
"""Id of the model that links need not name."""


def short(artifact: str) -> str:
    """What represents an artefact in a URL: the first eight digits of its id."""
    return ArtifactId(artifact).short


def fits(artifact: str, asked: str | None) -> bool:
    """Whether a URL that says `asked` can mean the artefact."""
    return ArtifactId(artifact).fits(str(asked or ""))


@dataclass(frozen=True)
class PageState:
    """What a URL says to one page."""

    SCRIPT: ClassVar[str]
    PREFIX: ClassVar[str]
    KEYS: ClassVar[Mapping[str, str]] = {}
    """Widget keys that do not begin with the prefix."""
    OF_MODEL: ClassVar[bool] = True
    """Whether links name the model that they are about."""
    problems: tuple[str, ...] = field(default=(), kw_only=True)
    """Why parts of the URL were not used, to be shown."""

    @classmethod
    def parameters(cls) -> dict[str, Parameter[Any]]:
        """The query parameters by the name of their field."""
        return {entry.name: entry.metadata["parameter"] for entry in fields(cls) if "parameter" in entry.metadata}

    @classmethod
    def read(cls) -> Self:
        """What the URL asks for; values that cannot be used count as absent."""
        found: dict[str, Any] = {}
        problems = []
        for name, parameter in cls.parameters().items():
            try:
                found[name] = parameter.read()
            except NotFoundError as error:
                problems.append(str(error))
        return cls(**found, problems=tuple(problems))

    @classmethod
    def put(cls, **values: object) -> None:
        """Write these fields into the URL; None takes one out. Not for fields that a widget is bound to."""
        parameters = cls.parameters()
        for name, value in values.items():
            parameters[name].put(value)

    @classmethod
    def key(cls, name: str, *of: object) -> str:
        """The key of a widget or container; `of` distinguishes those that are drawn once for each of several things."""
        return "-".join([cls.KEYS.get(name, f"{cls.PREFIX}_{name}"), *map(str, of)])

    def link(self, model: str | None = None) -> Link:
        """The permalink of the page in this state, for one model or for the chosen one. The default model is not named."""
        shared = modes.address()
        named = model or CHOSEN_MODEL.get()
        if self.OF_MODEL and named and named != DEFAULT_MODEL.get():
            shared[MODEL.name] = short(named)
        own = {parameter.name: parameter.text(getattr(self, name)) for name, parameter in self.parameters().items()}
        return Link(self.SCRIPT, shared | {name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True)
class StartPage(PageState):
    SCRIPT = "pages/start.py"
    PREFIX = "start"
    KEYS: ClassVar = {name: name for name in ("pipeline", "headlines", "example", "go_intervene", "guides", "build_demo")}

    job: str | None = text(JOB.name)


@dataclass(frozen=True)
class DataPage(PageState):
    SCRIPT = "pages/data.py"
    PREFIX = "data"
    OF_MODEL = False

    SETS: ClassVar = "Image sets"
    IMAGES: ClassVar = "Add images"
    VECTORS: ClassVar = "Import vectors"

    view: str = choice("data_view", ("Image sets", "Add images", "Import vectors"), default="Image sets")
    embeddings: str | None = text("embeddings")
    """The opened set: the first digits of its id."""
    words: str | None = text("data_search")
    like: int | None = number("like")
    """The row whose nearest images are shown."""
    of_class: str | None = text("data_class")
    split: str | None = text("data_split")
    page: int = number("data_page", default=1)
    job: str | None = text(JOB.name)


@dataclass(frozen=True)
class DiscoverPage(PageState):
    SCRIPT = "pages/discover.py"
    PREFIX = "discover"
    OF_MODEL = False

    RUNS: ClassVar = "Runs"
    NEW: ClassVar = "New run"
    SWEEP: ClassVar = "Sweep"

    view: str | None = choice("discover_view", ("Runs", "New run", "Sweep"))
    """Bound to its widget."""
    dictionary: str | None = text("dictionary")
    concepts: str | None = text("concepts", of_model=True)
    """The table of names that is shown: the first digits of its id."""
    embeddings: str | None = text("embeddings")
    """The set that a new run learns from."""
    job: str | None = text(JOB.name)


@dataclass(frozen=True)
class ClassifyPage(PageState):
    SCRIPT = "pages/classify.py"
    PREFIX = "classify"
    KEYS: ClassVar = {
        **{name: name for name in ("pair", "cell_page")},
        **{name: name for name in ("class_facts", "class_concepts", "class_streams", "class_concept_cards")},
        **{name: name for name in ("class_typical", "class_atypical", "class_missed", "class_alarms")},
        **{f"train_{name}": f"train_{name}" for name in ("form", "job", "concepts", "on", "test", "head", "nec", "seed", "names", "go")},
    }

    of_class: str | None = text("class", of_model=True)
    """The class that is opened."""
    truth: str | None = text("truth")
    taken: str | None = text("taken")
    """With `truth`: the cell of the confusion matrix whose images are shown."""
    concepts: str | None = text("concepts", of_model=True)
    """The table of names that the form offers first: the first digits of its id."""
    selection: str | None = text(SELECTION.name, of_model=True)
    job: str | None = text(JOB.name)


@dataclass(frozen=True)
class ConceptsPage(PageState):
    SCRIPT = "pages/concepts.py"
    PREFIX = "concepts"
    KEYS: ClassVar = {
        "cards": "concepts",
        "rows_ticked": "concept_rows_ticked",
        **{name: name for name in ("pick", "pick_page", "drop_picks", "select_picked", "select_found", "show_everything")},
        **{name: name for name in ("hide_picked", "pin_picked", "merge_picked", "merge_menu", "merge_name")},
        **{name: name for name in ("merge", "merge_group", "members")},
    }

    search: str | None = text("concepts_search")
    """Bound to its widget, as the next three are."""
    sort: str | None = choice("concepts_sort", ("Predictiveness", "Frequency", "Name score", "Name"))
    of_class: str | None = text("concepts_class")
    view: str | None = choice("concepts_view", ("Cards", "Map", "Table", "Merges"))
    colour: str | None = text("concepts_colour")
    """Bound to its widget, as the next is."""
    alike: str | None = text("concepts_alike")
    """How alike concepts must be for a merge to be suggested."""
    shown: tuple[str, ...] = choices("concepts_show", ("in-use", "unnamed", "duplicate", "dense", "dead", "hidden", "pinned"))
    """The filters in force."""
    pinned: tuple[int, ...] = numbers("concepts_pinned", most=48)
    page: int = number("concepts_page", default=1)
    selection: str | None = text(SELECTION.name, of_model=True)

    FILTERS: ClassVar = Slot[list[str]]("concepts_filters", [])
    PICKS: ClassVar = PerModel[tuple[int, ...]]("concept_picks", ())
    """Concepts whose cards are ticked, in the order of ticking."""
    PINS: ClassVar = PerModel[tuple[int, ...]]("concept_pins", ())


@dataclass(frozen=True)
class ConceptPage(PageState):
    SCRIPT = "pages/concept.py"
    PREFIX = "concept"
    KEYS: ClassVar = {name: name for name in ("rename", "separate", "hide", "unhide", "merge", "merge_search", "candidate")}

    concept: int | None = number("concept", what="concept", of_model=True)
    heat: bool = flag("concept_heat")
    """Bound to its widget."""
    range: str | None = text("range")
    """The bar of the histogram whose images are shown."""
    sample: int = number("sample", default=0)
    """Number of the random sample."""
    of_class: str | None = text("class", of_model=True)
    """The class within which the images are shown."""
    selection: str | None = text(SELECTION.name, of_model=True)


@dataclass(frozen=True)
class ImagePage(PageState):
    SCRIPT = "pages/image.py"
    PREFIX = "image"

    image: str | None = text("image", of_model=True)
    concept: int | Literal["none"] | None = number("concept", what="concept", none="none", of_model=True)
    """The concept whose heat-map is shown; "none" for the plain picture, None for the strongest."""
    patch: int | None = number("patch")
    target: str | None = text("image_target")
    """The class whose score is explained. Bound to its widget."""
    selection: str | None = text(SELECTION.name, of_model=True)


@dataclass(frozen=True)
class IntervenePage(PageState):
    SCRIPT = "pages/intervene.py"
    PREFIX = "intervene"
    KEYS: ClassVar = {
        "target": "explain_target",
        "scope": "edit_scope",
        "choose": "choose",
        "steering": "steering",
        **{name: name for name in ("edit_what", "edit_concept", "edit_concept_asked", "edit_weight_class", "apply_edit")},
        **{f"edit_how_{what}": f"edit_how_{what}" for what in ("activation", "weight")},
        **{f"edit_number_Activation_{how}": f"edit_number_Activation_{how}" for how in ("Scale by", "Set to")},
        **{f"edit_number_Weight_{how}": f"edit_number_Weight_{how}" for how in ("Scale by", "Set to")},
        **{
            name: name
            for name in ("suggest", "suggest_about", "suggest_asked", "suggest_mistake", "suggestion", "suggestions", "ablate_selection")
        },
        **{name: name for name in ("edit", "edit_line", "remove", "back_to", "experiment", "experiments", "carrier")},
        **{name: name for name in ("recipe_file", "recipe_by_name", "recipe_replace", "recipe_add", "upload_recipe")},
        **{name: name for name in ("save_model", "save_job", "moved_classes", "effect_figures", "effect", "image_page")},
    }

    image: str | None = text("image", of_model=True)
    concept: int | None = number("concept", what="concept", of_model=True)
    """The concept that the form for exact edits offers first."""
    show: str | None = choice("intervene_show", ("Wrong predictions", "All"))
    """Bound to its widget, as the next is."""
    of_class: str | None = text("intervene_class")
    selection: str | None = text(SELECTION.name, of_model=True)
    job: str | None = text(JOB.name)

    UPLOADS: ClassVar = Slot("recipe_uploads", 0)
    """How many recipes were taken over; each upload has a widget of its own."""


@dataclass(frozen=True)
class ComparePage(PageState):
    SCRIPT = "pages/compare.py"
    PREFIX = "compare"

    STORED: ClassVar = "stored"
    UNEDITED: ClassVar = "unedited"

    other: str | None = text("other", of_model=True)
    """The second model: the first digits of its id, `STORED` or `UNEDITED`."""
    selection: str | None = text(SELECTION.name, of_model=True)


@dataclass(frozen=True)
class ExportPage(PageState):
    SCRIPT = "pages/export.py"
    PREFIX = "export"

    job: str | None = text(JOB.name)


@dataclass(frozen=True)
class JobsPage(PageState):
    SCRIPT = "pages/jobs.py"
    PREFIX = "jobs"
    OF_MODEL = False

    job: str | None = text(JOB.name)
    """The job that is opened."""
    show: str | None = choice("jobs_show", ("All", "Done", "Failed", "Stopped"))
    """Bound to its widget."""


PAGES: tuple[type[PageState], ...] = (
    StartPage,
    DataPage,
    DiscoverPage,
    ClassifyPage,
    ConceptsPage,
    ConceptPage,
    ImagePage,
    IntervenePage,
    ComparePage,
    ExportPage,
    JobsPage,
)


def of_model() -> tuple[str, ...]:
    """Names of the query parameters that mean nothing beside another model."""
    found = [parameter.name for page in PAGES for parameter in page.parameters().values() if parameter.of_model]
    return tuple(dict.fromkeys([MODEL.name, *found]))
