"""Links between pages of the console."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def job_link(job_id: UUID | None) -> SafeString | str:
    """Return a link to a job's page, or a dash for None. It shows only the last characters of the id.

    Ids of jobs that were created at the same time differ only there.
    """
    if job_id is None:
        return "–"
    url = reverse("admin:scheduling_job_change", args=[job_id])
    return format_html('<a class="console-link" href="{}" title="{}">…{}</a>', url, job_id, str(job_id)[-12:])
