"""Measure of load states that alert rules compare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.load.models import PLATFORM
from scheduling.load.queries import list_states
from scheduling.load.words import reason_words


def _read(now: datetime) -> Iterator[Sample]:
    for row in list_states():
        if level := row.applying(now):
            key = "check:load" if row.scope == PLATFORM else row.scope
            yield Sample(key, float(level), str(row), facts={"message": ", ".join(reason_words(row))[:500]})


MEASURES = (
    Measure(
        "load", _("Load state: 1 busy, 2 overloaded, 3 brown-out"), "", (Per.CHECK, Per.POOL), _read, most=3.0
    ),
)  # fmt: skip
