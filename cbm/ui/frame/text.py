"""Words and numbers as the pages write them."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text that Markdown draws as it is: names come from vocabularies and from users."""
    return "".join("\\" + character if character in "\\`*_{}[]()#+-!|<>~$:" else character for character in text)


def percent(share: float) -> str:
    """A share as a percentage; two digits below one percent, where they carry the information."""
    return f"{share:.2%}" if 0 < share < 0.01 else f"{share:.1%}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: "1 edit", "1,204 images"; nouns that take more than an "s" bring their plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def points(before: float, after: float) -> str:
    """The change of a share in percentage points, with its sign, which `st.metric` wants as an ASCII character."""
    return f"{100 * (after - before):+.1f} points"
