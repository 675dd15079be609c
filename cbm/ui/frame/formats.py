"""Numbers, times, sizes and names as the app writes them: shorter than those of the library `humanize`, for captions and badges."""

from __future__ import annotations

from datetime import datetime

from cbm.core.wording import counted as counted
from cbm.core.wording import percent as percent

_MARKDOWN = "\\`*_{}[]()#+-!|<>~$:"


def plain(text: str) -> str:
    """Text that Markdown draws as it is: names come from vocabularies and from users."""
    return "".join("\\" + character if character in _MARKDOWN else character for character in text)


def points(before: float, after: float) -> str:
    """The change of a share in percentage points, with its sign, which `st.metric` wants as an ASCII character."""
    return f"{signed(100 * (after - before), 1)} points"


def signed(number: float, digits: int = 2) -> str:
    """A number with its sign: "+0.25", "-1.50"; what is rounded to nothing has no minus."""
    return f"{number:+z.{digits}f}"


def size(count: float) -> str:
    """A number of bytes: "33.0 MB", "12 KB"; decimal units, as file managers have them."""
    return f"{count / 1e6:,.1f}\u00a0MB" if count >= 1e6 else f"{max(1, round(count / 1e3)):,}\u00a0KB"


def duration(seconds: float) -> str:
    """A time: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def left(seconds: float) -> str:
    """A time that is only estimated, in steps that do not flicker."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s left"
    if seconds < 3300:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"


def ago(moment: datetime, now: datetime) -> str:
    """When something was: "just now", "5 min ago", "3 h ago", "4 days ago", then the date."""
    seconds = (now - moment).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 24 * 3600:
        return f"{round(seconds / 3600)} h ago"
    days = round(seconds / (24 * 3600))
    return f"{counted(days, 'day')} ago" if days < 31 else f"on {moment:%d %B %Y}".replace(" 0", " ")
