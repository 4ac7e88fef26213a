"""Registry of the measures that alert rules can compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module

from django.utils.functional import Promise

from scheduling.alerts.exceptions import MeasureUnknownError
from scheduling.alerts.rules import Per, Sample
from scheduling.models import AlertRule, MeasureMinute
from tenants.context import Actor

ALERT_ACTOR = Actor(kind="system", id="alerts", label="alerts")
# Where measures are declared; each is a tuple of `Measure`.
SOURCES = (
    "scheduling.alerts.sources:MEASURES",
    "scheduling.objectives.measures:MEASURES",
    "scheduling.log_search.measures:MEASURES",
    "scheduling.anomalies.measures:MEASURES",
    "scheduling.load.measures:MEASURES",
    "scheduling.identity.measures:MEASURES",
    "scheduling.backups.measures:MEASURES",
    "scheduling.outbox.measures:MEASURES",
    "scheduling.compensation.measures:MEASURES",
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of objects of the types ``per``, read every ``seconds`` in a transaction that others may share.

    Objects within the ``floor`` have no sample, so they are clear. ``most`` is the greatest possible value. Tenants may
    have rules over the types in ``tenants_per``. A measure that ``needs_heartbeats`` is not read shortly after an
    outage, in which no process could send one. With ``is_unscoped`` it opens its own transactions. ``history`` returns
    the time since which it can be replayed for a rule, None without any, and its minutes; else the stored ones are.
    """

    name: str
    title: Promise
    unit: str
    per: tuple[Per, ...]
    read: Callable[[datetime], Iterable[Sample]]
    floor: float = 0.0
    most: float | None = None
    seconds: float = 5.0
    tenants_per: tuple[Per, ...] = ()
    needs_heartbeats: bool = False
    is_unscoped: bool = False
    is_low_bad: bool = False
    history: Callable[[AlertRule, datetime], tuple[datetime | None, Iterable[MeasureMinute]]] | None = None


@cache
def measures() -> Mapping[str, Measure]:
    """Return all measures by name."""
    found: dict[str, Measure] = {}
    for source in SOURCES:
        module, _, name = source.partition(":")
        found.update((measure.name, measure) for measure in getattr(import_module(module), name))
    return found


def measure_title(name: str) -> str:
    """Return the title of the measure with this name, or the name if there is no such measure."""
    return str(measures()[name].title) if name in measures() else name


def measure_of(name: str) -> Measure:
    """Return the measure with this name; raise `MeasureUnknownError` if there is none."""
    if name not in measures():
        raise MeasureUnknownError("There is no measure %(name)s.", {"name": name})
    return measures()[name]
