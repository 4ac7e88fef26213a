"""How the console displays the states of runs: by a glyph, a tone and a word, never by a colour alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from workloads.workflows.records.records import PAUSED, RecordState

_MINUTE, _HOUR = 60, 3_600


@dataclass(frozen=True, slots=True)
class StateMark:
    """The glyph and the tone of a state. The tones are defined in the console's style sheet."""

    glyph: str
    tone: str


MARKS: Final[Mapping[str, StateMark]] = {
    RecordState.RUNNING: StateMark("▶", "busy"),
    RecordState.WAITING: StateMark("◷", "wait"),
    RecordState.SUCCEEDED: StateMark("✓", "good"),
    RecordState.FAILED: StateMark("✕", "bad"),
    RecordState.CANCELLED: StateMark("⊘", "quiet"),
    RecordState.SKIPPED: StateMark("⇄", "quiet"),
    PAUSED: StateMark("‖", "warn"),
}
NOT_BEGUN: Final = StateMark("○", "quiet")


def mark_of(state: str) -> StateMark:
    """Return the mark of a state; for an unknown state, the mark of a node that has not begun."""
    return MARKS.get(state, NOT_BEGUN)


def badge(state: str) -> SafeString:
    """Return the HTML that shows a state in the console's lists."""
    mark = mark_of(state)
    return format_html(
        '<span class="console-mark" data-tone="{}"><span aria-hidden="true">{}</span> {}</span>',
        mark.tone,
        mark.glyph,
        gettext(state) if state else gettext("not started"),
    )


def seconds_in_words(seconds: float | None) -> str:
    """Return a duration in seconds as text, such as "12.5 s" or "3 min 20 s"; "–" for None."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return gettext("%(number)s ms") % {"number": f"{seconds * 1_000:.0f}"}
    if seconds < _MINUTE:
        return gettext("%(number)s s") % {"number": f"{seconds:.1f}"}
    if seconds < _HOUR:
        return gettext("%(minutes)d min %(seconds)d s") % {"minutes": seconds // _MINUTE, "seconds": seconds % _MINUTE}
    return gettext("%(hours)d h %(minutes)d min") % {"hours": seconds // _HOUR, "minutes": seconds % _HOUR // _MINUTE}
