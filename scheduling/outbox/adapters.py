"""The adapters of the outbox, from installed apps and from entry points.

An installed app lists the dotted paths of its classes in ``outbox_adapters`` of its AppConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from django.apps import apps
from django.utils.module_loading import import_string

from scheduling.kit.outbox import OutboxAdapter

ENTRY_POINT_GROUP = "jobsplatform.outbox_adapters"


class AdapterInvalidError(Exception):
    """The error for a class that cannot be imported, is no OutboxAdapter, or has a name that is taken."""


@cache
def adapters() -> Mapping[str, OutboxAdapter]:
    """Return the adapters by name; raise AdapterInvalidError for one that cannot be used."""
    paths = [path for config in apps.get_app_configs() for path in getattr(config, "outbox_adapters", ())]
    paths += [point.value.replace(":", ".") for point in entry_points(group=ENTRY_POINT_GROUP)]
    found: dict[str, OutboxAdapter] = {}
    for path in dict.fromkeys(paths):
        adapter = _import(path)
        if adapter.name in found:
            raise AdapterInvalidError(f"{path} has the name {adapter.name!r}, which another adapter has.")
        found[adapter.name] = adapter
    return found


def _import(path: str) -> OutboxAdapter:
    try:
        found = import_string(path)
    except ImportError as error:
        raise AdapterInvalidError(f"The adapter {path} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, OutboxAdapter) and hasattr(found, "name")):
        raise AdapterInvalidError(f"{path} is not a subclass of OutboxAdapter with a name.")
    return found()
