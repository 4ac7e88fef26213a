"""Registry of the kinds of versioned rows.

An app lists its own kinds by dotted path in ``versioned`` of its AppConfig, such as
``("my_app.templates:TEMPLATES",)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string

from tenants.versions.service import Versioned


class VersionedNameTakenError(Exception):
    """Raised if two kinds of versioned rows have the same name."""


@cache
def versioned() -> Mapping[str, Versioned[Any]]:
    """Return all kinds of versioned rows by name, such as ``cfs-plan``, in the order of the apps."""
    found: dict[str, Versioned[Any]] = {}
    for config in apps.get_app_configs():
        for path in getattr(config, "versioned", ()):
            kind: Versioned[Any] = import_string(path.replace(":", "."))
            name = kind.noun.replace("_", "-")
            if found.setdefault(name, kind) is not kind:
                raise VersionedNameTakenError(f"{path} uses the name {name!r}, which is already taken.")
    return found
