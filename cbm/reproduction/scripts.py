"""Steps written down: as a Python script, and as shell lines."""

from __future__ import annotations

import json
import shlex
from typing import Any

from cbm.core.version import __version__
from cbm.registry import VERBS
from cbm.reproduction.steps import File, Given, Made, Plan, Step
from cbm.verbs.base import option_name

_UNKNOWN = "…"


def python_script(plan: Plan, made: str) -> str:
    """A script that makes the artefact `made`, and says so if it made another."""
    lines = [
        f'"""Rebuilds the concept model {made}. Written by CBM Studio {__version__}."""',
        "",
        "from pathlib import Path",
        "",
        "from cbm import verbs",
        "",
        'WORKSPACE = Path("workspace")',
    ]
    for given in plan.given:
        lines += [f"# {given.comment}", f"{given.name} = {_literal(given.value or _UNKNOWN)}"]
    for file in plan.files:
        lines += ["", f"{file.constant} = Path({_literal(file.name)})", f"{file.constant}.write_text({_block(file.text)})"]
    lines.append("")
    for step in plan.steps:
        parts = [_python(value, plan) for value in step.arguments]
        parts += [f"{name}={_python(value, plan)}" for name, value in step.options.items()]
        lines.append(f"{step.variable} = verbs.{step.verb}({', '.join([*parts, 'workspace=WORKSPACE'])}).{step.result}")
    final = plan.variable(made)
    lines += [
        "",
        "# An id is a digest of the whole request: another one means that something above differs.",
        f'assert {final} == "{made}", {final}',
        f"print({final})",
    ]
    return "\n".join(lines) + "\n"


def shell_script(plan: Plan, made: str) -> str:
    """The same for a shell, with ids spelt out: they follow from the requests."""
    lines = [f"# Rebuilds the concept model {made}. Written by CBM Studio {__version__}.", "set -eu", "export CBM_WORKSPACE=workspace"]
    for given in plan.given:
        lines += [f"# {given.comment}", f"{given.name}={shlex.quote(given.value or _UNKNOWN)}"]
    for file in plan.files:
        lines += [f"cat > {file.name} <<'END'", file.text.rstrip("\n"), "END"]
    lines += [f"cbm {VERBS[step.verb].command} {_arguments(step)}" for step in plan.steps]
    return "\n".join(lines) + "\n"


def _python(value: Any, plan: Plan) -> str:
    match value:
        case Made():
            return plan.variable(value.artifact)
        case Given():
            return value.name
        case File():
            return value.constant
        case list():
            return f"[{', '.join(_python(entry, plan) for entry in value)}]"
    return _literal(value)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _block(text: str) -> str:
    """A literal of exactly `text` that keeps its lines."""
    quotes = "'''"
    return f"r{quotes}{text}{quotes}" if quotes not in text and not text.endswith(("\\", "'")) else repr(text)


def _arguments(step: Step) -> str:
    parts = [_shell(value) for value in step.arguments]
    options = {field.name: option_name(field) for field in VERBS[step.verb].fields}
    # The command line has an option for each further setting of a part.
    flat = step.options.get("options", {})
    for name, value in {**{name: value for name, value in step.options.items() if name != "options"}, **flat}.items():
        flag = options.get(name, f"--{name.replace('_', '-')}")
        parts += [flag] if value is True else [flag, _shell(value)]
    return " ".join(parts)


def _shell(value: Any) -> str:
    match value:
        case Made():
            return value.artifact
        case Given():
            return f'"${value.name}"'
        case File():
            return value.name
        case list() | tuple():
            return (" " if any(isinstance(entry, Made) for entry in value) else ",").join(_shell(entry) for entry in value)
    return shlex.quote(str(value))
