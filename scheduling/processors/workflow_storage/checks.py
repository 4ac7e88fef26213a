"""The start-up check of the app."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from scheduling.processors.workflow_storage.conf import QUEUED, SYNCHRONOUS, records_mode


@register()
def check_records_mode(**_: Any) -> list[CheckMessage]:
    """The way of storing runs is one that there is."""
    mode = records_mode()
    if mode in (SYNCHRONOUS, QUEUED):
        return []
    hint = f"Use {SYNCHRONOUS!r} or {QUEUED!r}."
    return [Error(f"WORKFLOW_RECORDS is {mode!r}.", hint=hint, id="workflow_storage.E001")]
