"""Links between pages of the console: a thing has the same link in every table."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from scheduling.console.wording import duration_words
from scheduling.models import Batch
from tenants.console.links import console_link
from tenants.console.page_names import LINKED_COLUMNS
from tenants.context import require_scope


def job_link(job_id: UUID | None) -> SafeString | str:
    """Return a link to a job's page, or a dash for None. It shows only the last characters of the id.

    Ids of jobs that were created at the same time differ only there.
    """
    if job_id is None:
        return "–"
    url = reverse("admin:scheduling_job_change", args=[job_id])
    return format_html('<a class="console-link" href="{}" title="{}">…{}</a>', url, job_id, str(job_id)[-12:])


def kind_link(kind: str) -> SafeString:
    """Return a link to the description of a job kind."""
    return console_link(f"{reverse('admin:job_kinds')}#kind-{kind}", kind)


def queue_link(name: str) -> SafeString:
    """Return a link to a queue's page; for members, whom it is closed to, to their jobs in the queue."""
    if require_scope().is_all_tenants:
        return console_link(reverse("admin:scheduling_queue_change", args=[name]), name)
    return console_link(f"{reverse('admin:scheduling_job_changelist')}?{urlencode({'queue': name})}", name)


def wait_link(seconds: float | None, queue: str) -> SafeString | str:
    """Return a wait of a queue's jobs in words, as a link to a job that waited as long; a dash for None."""
    words = duration_words(seconds)
    if seconds is None:
        return words
    return console_link(f"{reverse('admin:wait')}?{urlencode({'queue': queue, 'seconds': repr(seconds)})}", words)


def worker_link(worker_id: UUID | None, name: str) -> SafeString | str:
    """Return a link to a worker's page, or only its name for members, whom it is closed to."""
    if worker_id is None or not require_scope().is_all_tenants:
        return name
    return console_link(reverse("admin:scheduling_worker_change", args=[worker_id]), name)


def batch_link(batch: Batch) -> SafeString:
    """Return a link to a batch's page."""
    return console_link(reverse("admin:scheduling_batch_change", args=[batch.pk]), batch.label)


LINKED_COLUMNS.update(kind=kind_link, queue=lambda queue: queue_link(queue.name), batch=batch_link)


def investigate_url(**subject: str) -> str:
    """Return the URL of the form that investigates a subject: `fingerprint`, `kind`, `queue`, `began_at` and so on."""
    return f"{reverse('admin:scheduling_investigation_add')}?{urlencode(subject)}"
