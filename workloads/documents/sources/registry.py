"""The connectors of sources, from installed apps and from entry points.

An installed app lists the dotted paths of its classes in ``document_connectors`` of its AppConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from django.apps import apps
from django.utils.module_loading import import_string

from workloads.documents.sources.connector import Connector

ENTRY_POINT_GROUP = "jobsplatform.document_connectors"


class ConnectorInvalidError(Exception):
    """The error for a class that cannot be imported, is no Connector, or has a name that is taken."""


@cache
def connectors() -> Mapping[str, type[Connector]]:
    """Return the connectors by name; raise ConnectorInvalidError for one that cannot be used."""
    paths = [path for config in apps.get_app_configs() for path in getattr(config, "document_connectors", ())]
    paths += [point.value.replace(":", ".") for point in entry_points(group=ENTRY_POINT_GROUP)]
    found: dict[str, type[Connector]] = {}
    for path in dict.fromkeys(paths):
        connector = _import(path)
        if connector.name in found:
            raise ConnectorInvalidError(f"{path} has the name {connector.name!r}, which another connector has.")
        found[connector.name] = connector
    return found


def _import(path: str) -> type[Connector]:
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConnectorInvalidError(f"The connector {path} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Connector) and hasattr(found, "name")):
        raise ConnectorInvalidError(f"{path} is not a subclass of Connector with a name.")
    return found
