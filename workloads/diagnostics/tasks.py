"""Celery tasks that also run as diagnostic jobs."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.celery.fair_tasks import fair_task


@fair_task(kind="noop_task", title=gettext_noop("Do nothing, as a task"))
def noop_task() -> None:
    # Like the kind `noop`, with the defaults of a fair task. A docstring would be the description, and not translated.
    return
