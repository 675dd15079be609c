"""The floors of the house: data flows down the list and imports point up it; no circles, no Streamlit outside `cbm/ui`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cbm import registry

ROOT = Path(__file__).resolve().parents[2]
FLOORS = (
    "core",
    "workspace",
    "registry",
    "metrics",
    "images",
    "backbones",
    "embeddings",
    "dictionaries",
    "names",
    "bottlenecks",
    "heads",
    "editing",
    "model",
    "study",
    "verbs",
    "jobs",
    "service",
    "reproduction",
    "demo",
    "cli",
    "ui",
)
"""From the ground up: a room may import those before it. Metrics lie near the ground, because heads and dictionaries measure themselves."""
PARTS = {place.partition(":")[0] for parts in (*registry.LISTS, registry.VERBS) for place in parts.places.values()}
"""Modules that hold a registered part."""
UI_FLOORS = ("access", "frame", "widgets", "pages")


@dataclass(frozen=True)
class Import:
    """One import of the project by the project."""

    importer: str
    imported: str
    line: int
    eager: bool
    """Done when the importer is imported, not later inside a function."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for file in sorted((ROOT / "cbm").rglob("*.py"))}


def _imports_of(module: str) -> Iterator[Import]:
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    for node, eager in _walk(tree, eager=True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            known = name if name in FILES else name.rpartition(".")[0]
            if known in FILES:
                yield Import(module, known, node.lineno, eager)


def _walk(node: ast.AST, eager: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child, eager
        yield from _walk(child, eager and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


IMPORTS = [found for module in FILES for found in _imports_of(module)]


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor_of(module: str) -> tuple[int, int]:
    parts = module.split(".")
    inner = UI_FLOORS.index(parts[2]) if parts[1] == "ui" and len(parts) > 2 else 0
    return FLOORS.index(parts[1]), inner


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in FILES} - {"", "__main__"} == set(FLOORS)
    assert {module.split(".")[2] for module in FILES if module.startswith("cbm.ui.")} == set(UI_FLOORS)


def test_imports_point_up_the_list() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if room_of(found.importer) not in ("", "__main__")
        and room_of(found.imported) != ""
        and floor_of(found.imported) > floor_of(found.importer)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_imports_the_package_that_holds_it() -> None:
    wrong = [str(found) for found in IMPORTS if found.imported == "cbm" and found.importer != "cbm.__main__"]
    assert not wrong, "\n".join(wrong)


def test_only_the_app_imports_streamlit() -> None:
    def imports_streamlit(file: Path) -> bool:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        return any(name.split(".")[0] == "streamlit" for name in names)

    assert [module for module, file in FILES.items() if imports_streamlit(file) and room_of(module) != "ui"] == []
    assert imports_streamlit(FILES["cbm.ui.frame.shell"])


def page_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[3] if parts[:3] == ["cbm", "ui", "pages"] and len(parts) > 3 else None


def test_no_page_imports_another() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if page_of(found.importer) and page_of(found.imported) and page_of(found.importer) != page_of(found.imported)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_over_others() -> None:
    """Later imports, inside functions, count too: they hide a circle, they do not open it.

    But a part's file loads its implementation when it is used, and the implementation knows the part's settings.
    """
    follows: dict[str, set[str]] = {module: set() for module in FILES}
    for found in IMPORTS:
        implementation = found.importer in PARTS and not found.eager and room_of(found.importer) == room_of(found.imported)
        if found.importer != found.imported and not implementation:
            follows[found.importer].add(found.imported)
    circles = [sorted(circle) for circle in _strongly_connected(follows) if len(circle) > 1]
    assert not circles, "\n".join(" ↔ ".join(circle) for circle in circles)


def _strongly_connected(follows: dict[str, set[str]]) -> list[set[str]]:
    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for following in follows[waiting.pop()]:
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return seen

    reach = {module: reachable(module) for module in follows}
    circles: list[set[str]] = []
    for module in follows:
        if module in reach[module] and not any(module in circle for circle in circles):
            circles.append({other for other in reach[module] if module in reach[other]})
    return circles


def test_the_checks_find_what_they_look_for() -> None:
    assert _strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c\n")
    found = [(node.names[0].name, eager) for node, eager in _walk(tree, eager=True) if isinstance(node, ast.Import)]
    assert found == [("a", True), ("c", False)]
    assert floor_of("cbm.core.codes") < floor_of("cbm.ui.frame.x") < floor_of("cbm.ui.pages.y")
