"""Console pages of backups: the plans, and the backups with their last verification."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from scheduling.backups.models import Backup, BackupPlan
from scheduling.backups.plans import BACKUP_PLANS
from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.clock import read_clock


@admin.register(BackupPlan, site=console_site)
class BackupPlanAdmin(ConfiguredAdmin):
    """Plans of backups."""

    configured = BACKUP_PLANS
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.BACKUPS_MANAGE
    list_display = ("name", "target", "every_hours", "promised_hours", "keep_days", "keep_least", "is_enabled")
    sortable_by = ()
    empty_title = gettext_lazy("No backup plans")
    empty_text = gettext_lazy("Nothing is backed up. A plan says how often, where to, and for how long.")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("It makes no further backups. Those that it has made stay."),
        permission=Permission.BACKUPS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: BackupPlan, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)


@admin.register(Backup, site=console_site)
class BackupAdmin(PlatformStaffAdmin):
    """Backups, the newest first."""

    view_permission = Permission.PLATFORM_VIEW
    list_display = ("name", "what", "how", "age", "size", "plan", "target", "verified_at", "rto", "found")
    fields = (*list_display, "taken_at", "took", "row_count", "file_count", "rpo", "error", "deleted_at")
    readonly_fields = fields
    list_select_related = ("plan",)
    ordering = ("-taken_at",)
    sortable_by = ()
    empty_title = gettext_lazy("No backups yet")
    empty_text = gettext_lazy("A plan makes them, or “manage.py backup”; “manage.py drill” verifies the newest.")

    # A column of the name "kind" leads to a kind of jobs.
    @admin.display(description=gettext_lazy("Kind"))
    def what(self, row: Backup) -> str:
        return row.get_kind_display()

    @admin.display(description=gettext_lazy("State"))
    def how(self, row: Backup) -> SafeString:
        return badge(f"backup_{row.state}")

    @admin.display(description=gettext_lazy("Age"))
    def age(self, row: Backup) -> str:
        return duration_words(read_clock() - row.taken_at)

    @admin.display(description=gettext_lazy("Size"))
    def size(self, row: Backup) -> str:
        return filesizeformat(row.size_bytes)

    @admin.display(description=gettext_lazy("Duration"))
    def took(self, row: Backup) -> str:
        return duration_words(row.seconds)

    @admin.display(description=gettext_lazy("Restored in (RTO)"))
    def rto(self, row: Backup) -> str:
        return "–" if row.restore_seconds is None else duration_words(row.restore_seconds)

    @admin.display(description=gettext_lazy("Age at the drill (RPO)"))
    def rpo(self, row: Backup) -> str:
        return "–" if row.loss_seconds is None else duration_words(row.loss_seconds)

    @admin.display(description=gettext_lazy("Faults"))
    def found(self, row: Backup) -> Any:
        return format_html_join("", "<div>{}</div>", ((fault,) for fault in row.faults)) or "–"
