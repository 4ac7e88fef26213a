"""Queries of sources of documents and their items."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop

from tenants.database.reads import first_or_raise
from workloads.documents.sources.exceptions import SourceNotFoundError
from workloads.documents.sources.models import ContentSource, SourceItem
from workloads.job_outcome import DEAD_STATES, with_job

NEVER, RUNNING = gettext_noop("never"), gettext_noop("running")
COMPLETED, ERROR = gettext_noop("completed"), gettext_noop("error")
SYNC_STATUSES = (NEVER, RUNNING, COMPLETED, ERROR)


def find_sources() -> QuerySet[ContentSource]:
    """Return a queryset of the current scope's sources, annotated with ``sync_status`` and the error of the last job.

    A sync that waits is running, too.
    """
    sources: QuerySet[ContentSource] = with_job(ContentSource.objects.all()).annotate(
        sync_status=Case(
            When(job_id=None, then=Value(NEVER)),
            When(Q(job_state__in=DEAD_STATES), then=Value(ERROR)),
            When(Q(job_state="completed") | Q(job_state=None), then=Value(COMPLETED)),
            default=Value(RUNNING),
            output_field=CharField(),
        )
    )
    return sources


def get_source(source_id: UUID) -> ContentSource:
    """Return one source of the current scope, annotated; raise `SourceNotFoundError` if there is none."""
    return first_or_raise(find_sources().filter(pk=source_id), SourceNotFoundError)


def is_syncing(source_id: UUID) -> bool:
    """Return whether the job of the last sync of a source of the current scope has not ended."""
    source: Any = get_source(source_id)
    return bool(source.sync_status == RUNNING)


def find_items(source: ContentSource) -> QuerySet[SourceItem]:
    """Return a queryset of the items of a source, those that are gone too."""
    items: QuerySet[SourceItem] = SourceItem.objects.filter(source=source)
    return items
