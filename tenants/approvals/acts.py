"""Registry of the acts that can need a second person.

An app lists its acts by dotted path in ``approval_acts`` of its AppConfig, such as ``("my_app.acts.ACTS",)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from tenants.access.permissions import Permission


@dataclass(frozen=True, slots=True)
class Act:
    """An act: its name and label, and the permission that its approver needs.

    ``execute`` does the act with the stored arguments, in the scope of the request's tenant; without it the requester
    repeats the call after the approval. ``has_number`` says that the policy may set a number above which it applies,
    ``is_asked_ahead`` that `manage.py approvals request` can ask for it, because the call itself may be impossible.
    """

    name: str
    label: str | Promise
    permission: Permission
    execute: Callable[[dict[str, Any]], object] | None = None
    has_number: bool = False
    is_asked_ahead: bool = False


@cache
def acts() -> Mapping[str, Act]:
    """Return all acts by name."""
    paths = (path for config in apps.get_app_configs() for path in getattr(config, "approval_acts", ()))
    return {act.name: act for path in paths for act in import_string(path)}


def act_choices() -> list[tuple[str, Any]]:
    """Return the names of the acts with their labels."""
    return [(act.name, act.label) for act in acts().values()]
