"""Words for moves of jobs by rules, for pages and commands."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext


def move_words(seconds: int, rules: Sequence[str]) -> str:
    """Return what moved a job, such as `moved by rule “Interactive first” (+30 s)`."""
    return gettext("moved by rule %(rules)s (%(offset)s s)") % {
        "rules": ", ".join(f"“{rule}”" for rule in rules),
        "offset": f"{seconds:+,}".replace("-", "−"),
    }
