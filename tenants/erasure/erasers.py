"""Erasers: functions that remove a tenant's data outside its tables, such as running work, files and Redis keys.

An app names its `Eraser` by a dotted path in `tenant_eraser` of its AppConfig, so that this package depends on no app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of one call of an eraser. While `is_done` is False, `note` says why the erasure has to wait."""

    is_done: bool
    removed: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Eraser:
    """The two functions of an eraser, which run in the scope of all tenants.

    `erase(tenant_id, most)` removes at most `most` things and may be repeated; `count(tenant_id)` returns what is left.
    """

    erase: Callable[[UUID, int], Erased]
    count: Callable[[UUID], Mapping[str, int]]


def find_erasers() -> Iterator[tuple[str, Eraser]]:
    """Yield the label and the eraser of each app that declares one, in the order of INSTALLED_APPS."""
    for config in apps.get_app_configs():
        path = getattr(config, "tenant_eraser", None)
        if path is not None:
            yield config.label, import_string(path)


def count_outside(tenant_id: UUID) -> dict[str, int]:
    """Return what is left of the tenant outside its tables, as counted by all erasers; the keys are `app:thing`."""
    found = ((label, eraser.count(tenant_id)) for label, eraser in find_erasers())
    return {f"{label}:{thing}": number for label, counts in found for thing, number in counts.items()}
