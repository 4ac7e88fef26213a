"""Template tags of the console's pages: `{% load console %}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.bulk import page as bulk
from scheduling.console import code_names, wording
from tenants.context import require_scope

register = template.Library()


@register.simple_tag
def mark(name: str, words: str = "") -> SafeString:
    """A state as a badge: glyph, word, tone."""
    return badge(name, words)


def badge(name: str, words: str = "") -> SafeString:
    """The same for Python, such as the columns of a list."""
    state = wording.mark_of(name)
    return format_html(
        '<span class="console-mark" data-tone="{}"><span aria-hidden="true">{}</span> {}</span>',
        state.tone,
        state.glyph,
        words or state.word,
    )


@register.simple_tag
def fire_mark(outcome: str) -> SafeString:
    """The outcome of a schedule's fire; its values have names that other states share."""
    return badge(f"fire_{outcome}")


@register.simple_tag
def bulk_mark(state: str) -> SafeString:
    """The state of a bulk operation, likewise."""
    return badge(f"bulk_{state}")


@register.simple_tag
def tone(name: str) -> str:
    """The tone of a state, for what stands beside its badge."""
    return wording.mark_of(name).tone


@register.filter
def event_facts(event: Any) -> str:
    """What an event's data say, in words; the scheduler's own numbers stay in the event's page."""
    return ", ".join(
        code_names.fact_words(str(key), value)
        for key, value in told_facts(event.data).items()
        if value not in ("", None) and key not in wording.INNER_FACTS
    )


def told_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an event that whoever asks may know."""
    hidden = frozenset[str]() if require_scope().is_all_tenants else wording.facts_of_others(data)
    return {key: value for key, value in data.items() if key not in hidden}


@register.filter
def duration(value: float | timedelta | None) -> str:
    return wording.duration_words(value)


@register.filter
def percent(part: float | None) -> str:
    return wording.percent_words(part)


@register.filter
def rate(per_minute: float) -> str:
    return wording.rate_words(per_minute)


@register.filter
def empty_in(line: Any) -> str:
    """How long until a queue is empty if nothing more comes."""
    return wording.empty_words(line)


@register.filter
def counts(numbers: Mapping[str, int]) -> str:
    return code_names.count_words(numbers)


@register.filter
def width(part: float | None) -> str:
    """A part of one as the length of a bar, in hundredths; never outside 0 to 100."""
    return f"{min(max(part or 0.0, 0.0), 1.0) * 100:.2f}"


@register.filter
def at(found: Mapping[str, Any], key: str) -> Any:
    """What a mapping has under a key that another variable holds."""
    return found.get(key, "")


@register.filter
def microseconds(value: int | None) -> str:
    """A duration that is kept in microseconds."""
    return wording.duration_words(None if value is None else value / 1_000_000)


@register.filter
def signed_seconds(microseconds: int | None) -> str:
    return wording.signed_words(microseconds)


@register.filter
def virtual_seconds(value: int | None) -> str:
    """A virtual time, nanoseconds of slot time at weight 1, in seconds."""
    return "–" if value is None else f"{value / 1_000_000_000:,.3f} s"


@register.filter
def lag(microseconds: int | None) -> str:
    return wording.lag_words(microseconds)


@register.filter
def pick_level(level: str) -> str:
    return wording.level_words(level)


@register.filter
def pick_reason(reason: str) -> str:
    return wording.pick_words(reason)


@register.filter
def bulk_reason(code: str) -> str:
    return bulk.reason_words(code)


@register.filter
def bulk_note(code: str) -> str:
    return bulk.note_words(code)


@register.filter
def wait_verdict(verdict: str) -> str:
    return bulk.verdict_words(verdict)


@register.filter
def wait_seconds(seconds: float | None) -> str:
    return bulk.wait_words(seconds)


@register.filter
def slice_end(value: Any) -> str:
    """The end of an id, where ids of one time differ."""
    return str(value)[-12:]


@register.filter
def unlocalized(value: float) -> str:
    """A coordinate as SVG reads it, in any language."""
    return f"{value:g}"


@register.filter
def mebibytes(kibibytes: int) -> str:
    """Memory as people read it."""
    return f"{kibibytes / 1_024:,.0f}"


@register.filter
def pretty_json(value: Any) -> str:
    """JSON as a person reads it; keys keep the order that the database gives."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def changes(entry: Any) -> str:
    """What an audit entry changed in one line, such as `weight 2 → 4`."""
    before, after = entry.before or {}, entry.after or {}
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ""
    parts = [
        f"{key} {_short(before[key])} → {_short(after.get(key))}" if key in before else f"{key} {_short(after[key])}"
        for key in (*before, *(key for key in after if key not in before))
        if before.get(key) != after.get(key)
    ]
    return ", ".join(parts[:4]) + (" …" if len(parts) > 4 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
