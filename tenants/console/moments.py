"""Times in the console, in one format: `{{ row.created_at|moment }}`; a built-in filter of all templates.

The page shows UTC without scripts; its script shows the time relative to now, and on hover the absolute time in the
viewer's zone. Fragments therefore do not depend on the viewer and may be cached.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


# What the page shows without scripts.
PATTERNS = {
    "relative": "%Y-%m-%d %H:%M:%S UTC",
    "absolute": "%Y-%m-%d %H:%M:%S UTC",
    "clock": "%H:%M:%S.%f",
    "minute": "%H:%M",
    "day": "%m-%d %H:%M",
}


@register.filter
def moment(at: datetime | None, form: str = "relative") -> SafeString | str:
    """Return a time as HTML for the page's script; "–" for None.

    ``form``: `relative` to now, `absolute` (ends and due times), `clock` to the millisecond (logs and histories), or
    `minute` and `day` (axes of charts within a day, and of longer ones).
    """
    if not at:
        return "–"
    utc = at.astimezone(UTC)
    text = utc.strftime(PATTERNS[form])
    shown = text[:-3] if form == "clock" else text
    return format_html('<time datetime="{}" data-moment="{}">{}</time>', utc.isoformat(), form, shown)
