"""The words of the app, the messages and the docs: mannerisms that a native technical writer would not use are found by a list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANNERISMS = {
    r"\bstands? (here|there|beside|in|on|for|above|below|behind|between|among)\b": "is, appears, means",
    r"\bthe whole line\b": "the pipeline",
    r"\b(images?|concepts|weights|names?|folders?|rows|one|number) an? (class|line|image|row|second|hour)\b": "per class",
    r"\bof an address\b|\bthe address\b(?! to listen)": "the URL, the link",
    r"\bspeaks? (for|against)\b|\bspoke (for|against)\b": "supports, opposes",
    r"\btaken for\b": "predicted as, confused with",
    r"\b(comes?|came|coming) in with\b": "import",
    r"\basks no other machine\b": "runs entirely on this machine",
    r"\bbears? (the|a|an|this|that|one|its|no) ": "has",
    r"\bat hand\b": "available",
    r"(?<![Tt]here )\bis no (picture|file|list|table|folder|scene|checkpoint|tag|bundle|readable|usable|valid|number|text)\b": "is not a",
    r"\bgoes on\b|\bgo on from\b": "continues, resumes",
    r"\bbrought in\b": "imported",
    r"\bsimpler ways\b": "simpler methods",
    r"\bmend (it|the|or)\b": "fix",
    r"\bfares? (worst|best|the same)\b": "the worst group",
    r"\bplay(s|ed)? (a|no) part\b": "is used, is not used",
    r"\btells? (them |images |it )?apart\b": "distinguishes",
    r"\bcheck sums?\b": "checksum",
}
FOUND = re.compile("|".join(f"({pattern})" for pattern in MANNERISMS), re.IGNORECASE)


def mannerisms(text: str) -> list[str]:
    """What is found, with what to write instead."""
    instead = list(MANNERISMS.values())
    found = []
    for match in FOUND.finditer(re.sub(r"\s+", " ", text)):
        index = next(place for place, pattern in enumerate(MANNERISMS) if re.fullmatch(pattern, match.group(), re.IGNORECASE))
        found.append(f"“{match.group()}”: {instead[index]}")
    return found


def texts_of(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a source file with their lines: docstrings, messages and labels."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("file", [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))], ids=lambda file: file.name)
def test_docs_are_plain_english(file: Path) -> None:
    assert mannerisms(file.read_text(encoding="utf-8")) == []


def test_the_app_and_its_messages_are_plain_english() -> None:
    files = sorted([*(ROOT / "cbm").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"])
    found = [f"{file.relative_to(ROOT)}:{line}: {what}" for file in files for line, text in texts_of(file) for what in mannerisms(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Here stands the result.", 0),
        ("It stands\nbeside the edit.", 1),
        ("five concepts a class", 1),
        ("A standard list stands out.", 0),
        ("No result.", 0),
    ],
)
def test_the_list_finds_what_it_should(text: str, count: int) -> None:
    assert len(mannerisms(text)) == count
