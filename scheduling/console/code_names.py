"""Translatable words for codes in stored data, such as keys of event data and names of upkeep counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.console.wording import duration_words

# Codes of plug-ins are shown by their names.
FACT_NAMES = {
    "cause": gettext_noop("cause"),
    "charged": gettext_noop("charged"),
    "dependency": gettext_noop("dependency"),
    "from": gettext_noop("from"),
    "in_flight": gettext_noop("in flight"),
    "is_shared": gettext_noop("is shared"),
    "level": gettext_noop("level"),
    "number": gettext_noop("number"),
    "predicted": gettext_noop("predicted"),
    "reason": gettext_noop("reason"),
    "retry_in": gettext_noop("retry in"),
    "seconds": gettext_noop("seconds"),
    "to": gettext_noop("to"),
    "until": gettext_noop("until"),
    "waiting": gettext_noop("waiting"),
}
COUNT_NAMES = {
    "approvals_withdrawn": gettext_noop("approvals withdrawn"),
    "batches": gettext_noop("batches"),
    "chains": gettext_noop("chains"),
    "contents": gettext_noop("contents"),
    "counters": gettext_noop("counters"),
    "default_rows": gettext_noop("rows outside of partitions"),
    "deliveries": gettext_noop("deliveries"),
    "documents": gettext_noop("documents"),
    "entities_closed": gettext_noop("entities closed"),
    "entries": gettext_noop("entries"),
    "erasures_due": gettext_noop("erasures due"),
    "executions": gettext_noop("executions"),
    "files": gettext_noop("files"),
    "files_removed": gettext_noop("files removed"),
    "heads": gettext_noop("signed heads"),
    "jobs": gettext_noop("jobs"),
    "keys": gettext_noop("keys"),
    "keys_removed": gettext_noop("keys removed"),
    "partitions_made": gettext_noop("partitions created"),
    "pieces": gettext_noop("pieces"),
    "runs_closed": gettext_noop("runs closed"),
    "runs_removed": gettext_noop("runs removed"),
    "runs_republished": gettext_noop("runs published again"),
    "schedules": gettext_noop("schedules"),
    "seals": gettext_noop("seals"),
    "skipped": gettext_noop("skipped"),
    "tenants": gettext_noop("tenants"),
    "values": gettext_noop("values"),
    "values_removed": gettext_noop("values removed"),
}


def _named(name: str, names: Mapping[str, str]) -> str:
    return _(names[name]) if name in names else name.replace("_", " ")


def fact_words(key: str, value: Any) -> str:
    """Return one item of an event's data in words, such as `retry in 58 s` or `number 2`."""
    if key.endswith("_us") and isinstance(value, int):
        return f"{_named(key.removesuffix('_us'), FACT_NAMES)} {duration_words(value / 1_000_000)}"
    if key.endswith("_seconds") and isinstance(value, int | float):
        return f"{_named(key.removesuffix('_seconds'), FACT_NAMES)} {duration_words(value)}"
    text = _(value) if key == "cause" and value else str(value)
    return f"{_named(key, FACT_NAMES)} {text if len(text) <= 160 else text[:159] + '…'}"


def count_words(counts: Mapping[str, int]) -> str:
    """Return the counts that are not 0 in words, such as `jobs 1,200, batches 3`."""
    parts = [f"{_named(name, COUNT_NAMES)} {count:,}" for name, count in counts.items() if count]
    return ", ".join(parts) or _("nothing")
