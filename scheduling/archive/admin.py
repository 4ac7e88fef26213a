"""Console pages of the archive: its objects, found by the id of a job, and that job."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import UUIDField, Value
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from scheduling.archive.queries import describe_job
from scheduling.archive.service import objects_with
from scheduling.console.filters import TenantFilter
from scheduling.models import ArchiveObject
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.site import console_site
from tenants.exceptions import DomainError


@admin.register(ArchiveObject, site=console_site)
class ArchiveObjectAdmin(KeysetAdmin):
    """Admin page of archived objects, the newest first. A search by a job's id shows the job from the archive."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("id", "stored_at", "job_count", "size", "restored_until", "job")
    list_filter = (TenantFilter,)
    search_fields = ("job_ids",)
    search_help_text = gettext_lazy("Id of a deleted job")
    fields = ("key", "stored_at", "job_count", "first_id", "last_id", "size", "sha256", "restored_until")
    readonly_fields = ("size",)
    empty_title = gettext_lazy("No archived jobs")
    empty_text = gettext_lazy("With the setting ARCHIVE, ended jobs are stored here before retention deletes them.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        if wanted is None:
            return (queryset.none() if search_term.strip() else queryset), False
        found = queryset.filter(pk__in=objects_with(wanted).values("pk")[:1])
        return found.annotate(wanted=Value(wanted, UUIDField())), False

    @admin.display(description=gettext_lazy("Size"))
    def size(self, row: ArchiveObject) -> str:
        return filesizeformat(row.size_bytes)

    @admin.display(description=gettext_lazy("Archived job"))
    def job(self, row: Any) -> SafeString | str:
        """Return the job that was searched for, or why it cannot be read."""
        if not hasattr(row, "wanted"):
            return "–"
        try:
            shown = describe_job(row, row.wanted)
        except DomainError as error:
            return error.detail
        return format_html("<pre>{}</pre>", json.dumps(shown, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder))
