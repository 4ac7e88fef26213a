"""What data call by codes, in the reader's words: facts of events, counts of upkeep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from scheduling.dashboards.wording import duration_words

# What a plug-in adds is told by its name.
FACT_NAMES = {
    "cause": "cause",
    "charged": "charged",
    "dependency": "dependency",
    "from": "from",
    "in_flight": "in flight",
    "is_shared": "is shared",
    "level": "level",
    "number": "number",
    "predicted": "predicted",
    "reason": "reason",
    "retry_in": "retry in",
    "seconds": "seconds",
    "to": "to",
    "until": "until",
    "waiting": "waiting",
}
COUNT_NAMES = {
    "approvals_withdrawn": "approvals withdrawn",
    "batches": "batches",
    "chains": "chains",
    "contents": "contents",
    "counters": "counters",
    "default_rows": "rows outside of partitions",
    "deliveries": "deliveries",
    "documents": "documents",
    "entities_closed": "entities closed",
    "entries": "entries",
    "erasures_due": "erasures due",
    "executions": "executions",
    "files": "files",
    "files_removed": "files removed",
    "heads": "signed heads",
    "jobs": "jobs",
    "keys": "keys",
    "keys_removed": "keys removed",
    "partitions_made": "partitions made",
    "pieces": "pieces",
    "runs_closed": "runs closed",
    "runs_removed": "runs removed",
    "runs_republished": "runs published again",
    "schedules": "schedules",
    "seals": "seals",
    "skipped": "skipped",
    "tenants": "tenants",
    "values": "values",
    "values_removed": "values removed",
}


def _named(name: str, names: Mapping[str, str]) -> str:
    return _(names[name]) if name in names else name.replace("_", " ")


def fact_words(key: str, value: Any) -> str:
    """One fact of an event, such as `retry in 58 s` or `number 2`."""
    if key.endswith("_us") and isinstance(value, int):
        return f"{_named(key.removesuffix('_us'), FACT_NAMES)} {duration_words(value / 1_000_000)}"
    if key.endswith("_seconds") and isinstance(value, int | float):
        return f"{_named(key.removesuffix('_seconds'), FACT_NAMES)} {duration_words(value)}"
    text = str(value)
    return f"{_named(key, FACT_NAMES)} {text if len(text) <= 160 else text[:159] + '…'}"


def count_words(counts: Mapping[str, int]) -> str:
    """What was done, such as `jobs 1,200, batches 3`; what was nothing is left out."""
    parts = [f"{_named(name, COUNT_NAMES)} {count:,}" for name, count in counts.items() if count]
    return ", ".join(parts) or _("nothing")
