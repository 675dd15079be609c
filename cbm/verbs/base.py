"""What a verb is: settings, a function of them, a result, and what the command line, the jobs and the pages need to know of it.

A settings dataclass is the verb's signature: its fields are the keywords in Python, the options on the command line and the parameters
of a job, and the docstring under each is its help everywhere. The function takes `(settings, workspace, run)`; callers write
`verbs.discover(["embeddings-…"], k=16, workspace="…", device="cpu")`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast, get_type_hints

from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.core.run import Run
from cbm.core.settings import Field, from_json, settings_fields, value_from_json
from cbm.registry import Part, Registry
from cbm.workspace.workspace import Workspace

WorkspaceLike = Workspace | str | Path | None
_HOWS = {"device": str, "seed": int}
P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R", bound="VerbResult")


class Argument(NamedTuple):
    """Beside a field's type: the command line takes it by position; the first field of a verb is one without being marked."""

    metavar: str | None = None


class Option(NamedTuple):
    """Beside a field's type: what the command line calls it."""

    name: str


class SettingsOf(NamedTuple):
    """Beside a mapping's type: settings of the part that another field names; on the command line each is an option of its own."""

    field: str


class Hosted(NamedTuple):
    """Beside a number's type: the most that a visitor of a hosted app may ask for, as it decides on memory and time."""

    most: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of every verb's settings. Its keywords say how the verb runs, not what it does, and so are no fields."""

    workspace: InitVar[WorkspaceLike] = None
    progress: InitVar[ProgressCallback | None] = None
    cancelled: InitVar[CancelCheck | None] = None


@dataclass(frozen=True, kw_only=True)
class OnDevice(Settings):
    """Of a verb that computes on a device; see `cbm.core.devices.choose_device`."""

    device: InitVar[str] = "auto"


@dataclass(frozen=True, kw_only=True)
class Seeded(Settings):
    """Of a verb in which something is random."""

    seed: InitVar[int] = 0


class PartSetting(NamedTuple):
    """A setting of some parts, such as of one variant of `discover`."""

    into: str
    """The verb's field that takes it."""
    field: Field
    parts: list[str]


@dataclass(frozen=True)
class VerbResult:
    """Base of what verbs return."""

    def record(self) -> dict[str, Any]:
        """The fields as JSON can hold them, which is what the command line prints under `--json`."""
        return plain(self)


@dataclass(frozen=True)
class AsJob:
    """How a verb that may run as a job appears in the app."""

    title: str
    """What the job does, as a heading: "Discover concepts"."""
    page: str
    """The page that shows the result, by the name of its link: "discover"."""
    link: str
    """The label of the way there: "Open the dictionary"."""
    figures: Callable[[Mapping[str, Any]], str] | None = None
    """The main figures of a result's record, on one line."""


@dataclass(frozen=True)
class Verb(Part, Generic[P, R]):
    """One stage of the pipeline; called like a function with the fields of its settings."""

    function: Callable[[Any, Workspace, Run], R]
    command: str
    """What the command line calls it."""
    job: AsJob | None
    """None for a verb that answers at once and never runs as a job."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.function.__doc__)
        object.__setattr__(self, "__signature__", inspect.signature(self.settings))

    def __call__(self, *arguments: P.args, **options: P.kwargs) -> R:
        settings = self.settings(*arguments, **options)
        return self.function(settings, open_workspace(cast(WorkspaceLike, options.get("workspace"))), _run(options))

    def run_request(self, parameters: Mapping[str, Any], workspace: Workspace, run: Run) -> R:
        """Run the verb on a job's parameters: its settings, `device` and `seed`, as JSON holds them.

        Raises:
            InvalidInputError: a parameter that the verb does not take, one that is missing, or one of the wrong type.
        """
        hows = {
            name: value_from_json(_HOWS[name], value, f"{name} of the verb {self.name}")
            for name, value in parameters.items()
            if name in self.takes
        }
        settings = {name: value for name, value in parameters.items() if name not in hows}
        request = from_json(self.settings, settings, f"the verb {self.name}")
        return self.function(request, workspace, dataclasses.replace(run, **hows))

    @property
    def fields(self) -> tuple[Field, ...]:
        return settings_fields(self.settings)

    def part_settings(self) -> dict[str, PartSetting]:
        """The settings of the parts that its fields name, by what the command line calls them; those that it has itself are left out."""
        fields = {field.name: field for field in self.fields}
        found: dict[str, PartSetting] = {}
        for field in fields.values():
            for of in field.extras:
                if isinstance(of, SettingsOf):
                    for part in next(extra for extra in fields[of.field].extras if isinstance(extra, Registry)):
                        for setting in settings_fields(part.settings):
                            if setting.name not in fields:
                                found.setdefault(setting.name, PartSetting(field.name, setting, [])).parts.append(part.name)
        return found

    @property
    def takes(self) -> tuple[str, ...]:
        """Which of `device` and `seed` it takes beside its settings."""
        return tuple(name for name, base in (("device", OnDevice), ("seed", Seeded)) if issubclass(self.settings, base))

    @property
    def result(self) -> type[R]:
        return get_type_hints(self.function)["return"]


def verb(
    settings: Callable[P, S], *, command: str | None = None, job: AsJob | None = None
) -> Callable[[Callable[[S, Workspace, Run], R]], Verb[P, R]]:
    """Makes a verb of a function that has its name and whose docstring begins with one line in the user's words."""

    def wrap(function: Callable[[S, Workspace, Run], R]) -> Verb[P, R]:
        summary = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        return Verb(function.__name__, summary, cast(type[Any], settings), function, command or function.__name__, job)

    return wrap


def option_name(field: Field) -> str:
    """What the command line calls a setting: "--batch-size"."""
    named = next((extra.name for extra in field.extras if isinstance(extra, Option)), field.name)
    return "--" + named.replace("_", "-")


def is_argument(verb: Verb[..., Any], field: Field) -> bool:
    """Whether the command line takes a setting by position."""
    return (field == verb.fields[0] and field.required) or any(isinstance(extra, Argument) for extra in field.extras)


def open_workspace(workspace: WorkspaceLike) -> Workspace:
    return workspace if isinstance(workspace, Workspace) else Workspace(workspace)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses become objects, arrays lists, and numbers that are not finite become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        # An array or a number of numpy, which is not worth importing for a question.
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def hosted_limits() -> dict[str, float]:
    """The most that a visitor of a hosted app may ask for, by setting."""
    return dict(sorted(_limits()))


def _limits() -> Iterator[tuple[str, float]]:
    from cbm.registry import VERBS

    for part in VERBS:
        for field in (*part.fields, *(setting.field for setting in part.part_settings().values())):
            for extra in field.extras:
                if isinstance(extra, Hosted):
                    yield field.name, extra.most


def _run(options: Mapping[str, Any]) -> Run:
    return Run(**{name: options[name] for name in ("progress", "cancelled", "device", "seed") if name in options})
