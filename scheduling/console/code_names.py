"""Translatable words for codes in stored data, such as keys of event data and names of upkeep counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.console.wording import duration_words
from scheduling.priority_rules.words import move_words

# Names of codes that are not the code's own words.
NAMES = {
    "batch_too_slow": gettext_noop("the strategies have used the time of this submission"),
    "charge": gettext_noop("charges"),
    "default_rows": gettext_noop("rows outside of partitions"),
    "execution": gettext_noop("executions"),
    "heads": gettext_noop("signed heads"),
    "joberror": gettext_noop("errors"),
    "jobevent": gettext_noop("events"),
    "joblog": gettext_noop("log lines"),
    "named_no_queue": gettext_noop("the strategy named none of the queues"),
    "not_installed": gettext_noop("the strategy is not installed"),
    "not_usable": gettext_noop("the strategy cannot be used"),
    "partitions_made": gettext_noop("partitions created"),
    "raised_error": gettext_noop("the strategy raised an error"),
    "runs_republished": gettext_noop("runs published again"),
    "set_aside": gettext_noop("the strategy is set aside because it took too long"),
    "too_slow": gettext_noop("the strategy took too long"),
}
# The other codes, for the catalogue. A code of a plug-in that it lacks is shown as it is.
WORDS = {
    gettext_noop("approvals expired"),
    gettext_noop("cause"),
    gettext_noop("charged"),
    gettext_noop("dependency"),
    gettext_noop("fallback"),
    gettext_noop("from"),
    gettext_noop("in flight"),
    gettext_noop("is shared"),
    gettext_noop("level"),
    gettext_noop("messages"),
    gettext_noop("number"),
    gettext_noop("platform lines"),
    gettext_noop("predicted"),
    gettext_noop("reason"),
    gettext_noop("retry in"),
    gettext_noop("seconds"),
    gettext_noop("strategy"),
    gettext_noop("to"),
    gettext_noop("until"),
    gettext_noop("waiting"),
    gettext_noop("alerts"),
    gettext_noop("anomaly"),
    gettext_noop("approvals withdrawn"),
    gettext_noop("artifacts"),
    gettext_noop("artifacts removed"),
    gettext_noop("backups"),
    gettext_noop("batches"),
    gettext_noop("bulk formers"),
    gettext_noop("bulk operations"),
    gettext_noop("cached results"),
    gettext_noop("chains"),
    gettext_noop("contents"),
    gettext_noop("counters"),
    gettext_noop("days dropped"),
    gettext_noop("days locked"),
    gettext_noop("dead letters"),
    gettext_noop("deliveries"),
    gettext_noop("documents"),
    gettext_noop("entities closed"),
    gettext_noop("entries"),
    gettext_noop("erasures due"),
    gettext_noop("excused minute"),
    gettext_noop("executions"),
    gettext_noop("expected seals"),
    gettext_noop("files"),
    gettext_noop("files removed"),
    gettext_noop("findings"),
    gettext_noop("foreign folders"),
    gettext_noop("jobs"),
    gettext_noop("keys"),
    gettext_noop("keys removed"),
    gettext_noop("keys warned"),
    gettext_noop("kind minute"),
    gettext_noop("limit warnings"),
    gettext_noop("log lines"),
    gettext_noop("log segment"),
    gettext_noop("log segments with late lines"),
    gettext_noop("log segments removed"),
    gettext_noop("log volume"),
    gettext_noop("nodes"),
    gettext_noop("objective hour"),
    gettext_noop("objective minute"),
    gettext_noop("packs"),
    gettext_noop("pieces"),
    gettext_noop("pool gauge"),
    gettext_noop("queue gauge"),
    gettext_noop("queue minute"),
    gettext_noop("runs"),
    gettext_noop("runs closed"),
    gettext_noop("runs removed"),
    gettext_noop("schedule fires"),
    gettext_noop("schedules"),
    gettext_noop("seals"),
    gettext_noop("series baseline"),
    gettext_noop("series hour"),
    gettext_noop("series summarized"),
    gettext_noop("series summary"),
    gettext_noop("archived jobs"),
    gettext_noop("days held"),
    gettext_noop("investigations"),
    gettext_noop("sessions"),
    gettext_noop("share minute"),
    gettext_noop("skipped"),
    gettext_noop("state minute"),
    gettext_noop("tenant gauge"),
    gettext_noop("tenant minute"),
    gettext_noop("worker minute"),
    gettext_noop("tenants"),
    gettext_noop("upkeep runs"),
    gettext_noop("values"),
    gettext_noop("values removed"),
    gettext_noop("workers"),
    gettext_noop("usage days"),
}


def _named(name: str) -> str:
    words = NAMES.get(name, name.replace("_", " "))
    return _(words) if name in NAMES or words in WORDS else words


def fact_words(key: str, value: Any) -> str:
    """Return one item of an event's data in words, such as `retry in 58 s` or `number 2`."""
    if key == "moved" and isinstance(value, Mapping):
        return move_words(value["seconds"], value["rules"])
    if key.endswith("_us") and isinstance(value, int):
        return f"{_named(key.removesuffix('_us'))} {duration_words(value / 1_000_000)}"
    if key.endswith("_seconds") and isinstance(value, int | float):
        return f"{_named(key.removesuffix('_seconds'))} {duration_words(value)}"
    text = _(NAMES.get(value, value)) if key == "cause" and value else str(value)
    return f"{_named(key)} {text if len(text) <= 160 else text[:159] + '…'}"


def count_words(counts: Mapping[str, int]) -> str:
    """Return the counts that are not 0 in words, such as `jobs 1,200, batches 3`."""
    parts = [f"{_named(name)} {count:,}" for name, count in counts.items() if count]
    return ", ".join(parts) or _("nothing")
