"""What apps keep of a tenant outside of tables with its id: work that runs, files, keys of other stores.

An app names an `Eraser` by its dotted path in `tenant_eraser` of its AppConfig; nobody here knows which there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Erased:
    """What one call did. `note` says what it waits for while it `is_done` not."""

    is_done: bool
    removed: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Eraser:
    """`erase(tenant_id, most)` removes up to so many things and may be repeated; `count(tenant_id)` says what is left.

    Both run behind the door, and know the tenant by its id alone.
    """

    erase: Callable[[UUID, int], Erased]
    count: Callable[[UUID], Mapping[str, int]]


def find_erasers() -> Iterator[tuple[str, Eraser]]:
    """The label of each app that has an eraser, in the order of INSTALLED_APPS, with it."""
    for config in apps.get_app_configs():
        path = getattr(config, "tenant_eraser", None)
        if path is not None:
            yield config.label, import_string(path)


def count_outside(tenant_id: UUID) -> dict[str, int]:
    """What all erasers still find, by `app:thing`."""
    found = ((label, eraser.count(tenant_id)) for label, eraser in find_erasers())
    return {f"{label}:{thing}": number for label, counts in found for thing, number in counts.items()}
