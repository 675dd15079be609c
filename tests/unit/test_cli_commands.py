"""The command line is made from the registry: everything it ever offered, and whatever is registered later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Any

import pytest
import typer.main
from typer.testing import CliRunner

from cbm.cli import command_line
from cbm.cli.reference import PAGE, commands_page
from cbm.core.run import Run
from cbm.registry import VERBS, Part, Registry
from cbm.verbs.base import Option, Seeded, SettingsOf, VerbResult, verb
from cbm.workspace.workspace import Workspace

FIRST_VERSION = {
    "demo": "--workspace=None --json=False --device=auto --seed=0",
    "embed": "one! --backbone=demo --pretrained=None --space=l2 --batch-size=None --workspace=None --json=False --device=auto",
    "import": "one! --backbone! --pretrained! --images=None --classes=None --workspace=None --json=False",
    "vocabulary": "one! --backbone=demo --pretrained=None --workspace=None --json=False --device=auto",
    "discover": (
        "many! --variant=batchtopk --width=None --k=32 --epochs=None --matryoshka=None --learning-rate=None --workspace=None "
        "--json=False --device=auto --seed=0"
    ),
    "sweep": "many! --widths! --ks! --seeds=0 --variant=batchtopk --epochs=None --workspace=None --json=False --device=auto",
    "name": ("one! --vocabulary! --rule=combined --on=None --unique=False --pretrained=None --workspace=None --json=False --device=auto"),
    "build": (
        "one! --backbone=demo --pretrained=None --vocabulary=None --width=None --k=None --epochs=None --nec=5,10,15,20,25,30 "
        "--workspace=None --json=False --device=auto --seed=0"
    ),
    "train": "one! --on! --test=None --head=sparse --nec=5,10,15,20,25,30 --workspace=None --json=False --device=auto --seed=0",
    "evaluate": "one! --on! --workspace=None --json=False",
    "explain": "one! one! --on=None --target=None --top=10 --pretrained=None --workspace=None --json=False --device=auto",
    "report": "one! --on=None --out=None --workspace=None --json=False",
    "edit": "one! --recipe! --on=None --replace=False --workspace=None --json=False",
    "export": "one! one! --format=bundle,onnx,saelens --workspace=None --json=False",
    "load": "one! --on=None --workspace=None --json=False",
    "list": "one=None --workspace=None --json=False",
    "show": "one! --workspace=None --json=False",
    "remove": "one! --workspace=None --json=False",
    "app": "--workspace=None --host=localhost --port=8501 --open/--no-open=True",
    "worker": "--workspace=None --idle=None --attached=False",
    "serve": "--backbone=demo --pretrained=None --host=127.0.0.1 --port=8700 --device=auto",
}
"""What the commands took before they were derived, as `--help` listed it: required (!) or with the default."""


def offered(command: str) -> list[Any]:
    commands = typer.main.get_command(command_line()).commands  # type: ignore[attr-defined]
    return commands[command].params


def described(parameter: Any) -> str:
    name = "/".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        name = "many" if parameter.nargs == -1 else "one"
    return name + ("!" if parameter.required else f"={parameter.default}")


@pytest.mark.parametrize("command", FIRST_VERSION)
def test_every_command_takes_what_it_took_in_the_first_version(command: str) -> None:
    parameters = offered(command)
    now = [described(parameter) for parameter in parameters]
    before = FIRST_VERSION[command].split()
    assert [entry for entry in before if entry not in now] == []
    assert [entry for entry in now if entry[0] != "-"] == [entry for entry in before if entry[0] != "-"]
    environments = {described(parameter): parameter.envvar for parameter in parameters if parameter.envvar}
    assert environments == {entry: "CBM_WORKSPACE" for entry in before if entry == "--workspace=None"}


def test_every_setting_has_a_help_text() -> None:
    silent = [f"{command.name} {field.name}" for command in VERBS for field in command.fields if not field.help]
    assert silent == []


@dataclass(frozen=True)
class Glaze:
    shine: float = 0.5
    """How much light it throws back."""


@dataclass(frozen=True)
class Plain:
    pass


FINISHES: Registry[Part] = Registry("finish", {})


@dataclass(frozen=True)
class Paint(Seeded):
    wall: str
    """What to paint."""
    _: KW_ONLY
    coats: Annotated[tuple[int, ...], Option("coat")] = (1, 2)
    """Thickness of each coat."""
    finish: Annotated[str, FINISHES] = "matt"
    """What comes last."""
    options: Annotated[Mapping[str, Any], SettingsOf("finish")] = field(default_factory=dict)
    """Further settings of the finish."""


@dataclass(frozen=True)
class Painted(VerbResult):
    wall: str
    coats: tuple[int, ...]
    options: Mapping[str, Any]
    seed: int


@verb(Paint)
def paint(settings: Paint, workspace: Workspace, run: Run) -> Painted:
    """Paint a wall."""
    return Painted(settings.wall, settings.coats, settings.options, run.seed)


def test_a_verb_that_is_registered_at_run_time_is_a_command_and_a_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from cbm import verbs

    monkeypatch.setitem(VERBS._loaded, "paint", paint)
    monkeypatch.setitem(FINISHES._loaded, "matt", Part("matt", "Without shine.", Plain))
    monkeypatch.setitem(FINISHES._loaded, "glaze", Part("glaze", "With much shine.", Glaze))
    runner = CliRunner()
    assert "Paint a wall." in runner.invoke(command_line(), ["--help"]).output
    shown = " ".join(runner.invoke(command_line(), ["paint", "--help"], env={"COLUMNS": "200"}).output.split())
    for part in (
        "Thickness of each coat.",
        "--coat",
        "[default: 1,2]",
        "matt|glaze",
        "glaze: With much shine.",
        "--shine",
        "How much light it throws back. Default: 0.5. Of glaze.",
    ):
        assert part in shown, part
    result = runner.invoke(
        command_line(), ["paint", "north", "--coat", "3,4", "--shine", "0.75", "--seed", "7", "--json", "--workspace", str(tmp_path)]
    )
    assert result.output.strip() == '{"wall": "north", "coats": [3, 4], "options": {"shine": 0.75}, "seed": 7}'
    assert verbs.paint("south", seed=5, workspace=tmp_path) == Painted("south", (1, 2), {}, 5)
    job = VERBS["paint"].run_request({"wall": "west", "options": {"shine": 1}, "seed": 2}, Workspace(tmp_path), Run())
    assert job == Painted("west", (1, 2), {"shine": 1}, 2)


@pytest.mark.parametrize("module", ["cbm", "cbm.verbs", "cbm.cli"])
def test_importing_it_loads_no_heavy_library(module: str) -> None:
    heavy = {"torch", "streamlit", "open_clip", "faiss", "sklearn", "scipy", "pandas", "numpy"}
    script = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_help_loads_no_heavy_library() -> None:
    script = (
        "import sys\nfrom cbm.cli import main\nsys.argv = ['cbm', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'streamlit', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == commands_page(), "run python -m cbm.cli.reference"


def test_defaults_of_many_values_are_shown_as_they_are_typed() -> None:
    shown = " ".join(CliRunner().invoke(command_line(), ["train", "--help"], env={"COLUMNS": "250"}).output.split())
    assert "Default: 0.03,0.3,3.0. Of dense." in shown
