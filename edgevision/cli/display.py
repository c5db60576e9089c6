"""Where ``edgevision run`` shows its frames."""

from __future__ import annotations

from enum import StrEnum


class Display(StrEnum):
    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"
    NONE = "none"


def choose_display(asked: Display) -> tuple[Display, str]:
    """Window, page or nothing; and, where it was not asked for by name, why."""
    if asked is not Display.AUTO:
        return asked, ""
    from edgevision.sinks.window import why_no_window

    reason = why_no_window()
    if reason is None:
        return Display.WINDOW, ""
    return Display.BROWSER, f"{reason.split(':', 1)[0]}; "
