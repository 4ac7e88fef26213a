"""Template tags and filters of the console's pages: `{% load console %}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.bulk import page as bulk
from scheduling.compensation.page import compensation_link
from scheduling.console import code_names, links, wording
from scheduling.fairness.shares import Move
from scheduling.priority_rules.words import move_words
from tenants.console.keyset import parse_uuid
from tenants.console.links import tenant_link
from tenants.context import require_scope

register = template.Library()
register.filter("tenant_link", tenant_link)
register.filter("kind_link", links.kind_link)
register.filter("queue_link", links.queue_link)
register.filter("batch_link", links.batch_link)
register.simple_tag(compensation_link)
register.simple_tag(links.wait_link)
register.simple_tag(links.worker_link)


@register.simple_tag
def mark(name: str, words: str = "") -> SafeString:
    """Return the badge of a state as HTML: glyph, word and colour tone."""
    return badge(name, words)


def badge(name: str, words: str = "") -> SafeString:
    """Return the badge of a state as HTML, for use in Python code."""
    state = wording.mark_of(name)
    return format_html(
        '<span class="console-mark" data-tone="{}"><span aria-hidden="true">{}</span> {}</span>',
        state.tone,
        state.glyph,
        words or state.word,
    )


@register.simple_tag
def fire_mark(outcome: str) -> SafeString:
    """Return the badge of a schedule fire's outcome. Use it because other states have the same names."""
    return badge(f"fire_{outcome}")


@register.simple_tag
def beat_mark(entry: Any) -> SafeString:
    """Return the badge of a due time of beat and the link to its job, by its audit entry."""
    outcome = entry.action.removeprefix("beat.")
    mark = fire_mark("skipped_overlap" if outcome == "skipped" else outcome)
    return format_html("{} {}", mark, links.job_link(parse_uuid(str((entry.after or {}).get("job", "")))))


@register.simple_tag
def bulk_mark(state: str) -> SafeString:
    """Return the badge of a bulk operation's state. Use it because other states have the same names."""
    return badge(f"bulk_{state}")


@register.simple_tag
def tone(name: str) -> str:
    """Return the colour tone of a state, for elements beside its badge."""
    return wording.mark_of(name).tone


@register.filter
def event_facts(event: Any) -> str:
    """Return the data of an event in words, without values that only matter inside the scheduler."""
    return ", ".join(
        code_names.fact_words(str(key), value)
        for key, value in told_facts(event.data).items()
        if value not in ("", None) and key not in wording.INNER_FACTS
    )


def told_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an event without what the current tenant context must not see about other tenants."""
    hidden = frozenset[str]() if require_scope().is_all_tenants else wording.facts_of_others(data)
    return {key: value for key, value in data.items() if key not in hidden}


@register.filter
def move(moved: Move) -> str:
    """Return in words which rules move a job, and by how much."""
    return move_words(moved.seconds, moved.rules)


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
    """Return in words the time until a queue is empty if no jobs arrive."""
    return wording.empty_words(line)


@register.filter
def counts(numbers: Mapping[str, int]) -> str:
    return code_names.count_words(numbers)


@register.filter
def width(part: float | None) -> str:
    """Return a fraction from 0 to 1 as a percentage without sign, limited to 0 to 100, for the width of a bar."""
    return f"{min(max(part or 0.0, 0.0), 1.0) * 100:.2f}"


@register.filter
def at(found: Mapping[str, Any], key: str) -> Any:
    """Return the mapping's value for a key that is in a template variable, or an empty text."""
    return found.get(key, "")


@register.filter
def microseconds(value: int | None) -> str:
    """Return a number of microseconds as a duration in words."""
    return wording.duration_words(None if value is None else value / 1_000_000)


@register.filter
def signed_seconds(microseconds: int | None) -> str:
    return wording.signed_words(microseconds)


@register.filter
def virtual_seconds(value: int | None) -> str:
    """Return a virtual time (nanoseconds of slot time at weight 1) in seconds, or a dash for None."""
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
    return bulk.wait_change_words(verdict)


@register.filter
def wait_seconds(seconds: float | None) -> str:
    return bulk.wait_words(seconds)


@register.filter
def slice_end(value: Any) -> str:
    """Return the last characters of an id, in which ids of the same time differ."""
    return str(value)[-12:]


@register.filter
def unlocalized(value: float) -> str:
    """Return a coordinate in the number format of SVG, whatever the active language is."""
    return f"{value:g}"


@register.filter
def mebibytes(kibibytes: int) -> str:
    """Return a number of KiB in MiB."""
    return f"{kibibytes / 1_024:,.0f}"


@register.filter
def pretty_json(value: Any) -> str:
    """Return a value as indented JSON; the order of its keys is kept."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def changes(entry: Any) -> str:
    """Return the changes of an audit entry in one line, such as `weight 2 → 4`; at most four are shown."""
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
