"""Admin pages of tenant erasures: requests, progress and proofs."""

from __future__ import annotations

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.erasure.proof import verify_erasure
from tenants.erasure.requests import cancel_erasure
from tenants.models import ErasureStatus, TenantErasure


@admin.register(TenantErasure, site=console_site)
class TenantErasureAdmin(PlatformStaffAdmin):
    """Admin page of tenant erasures. One can be cancelled while it is pending, and recounted when it is complete."""

    view_permission = Permission.TENANTS_ERASE
    list_title = gettext_lazy("Erasures")
    is_named_by_id = True
    list_display = ("id", "status", "subject_id", "requested_by", "requested_at", "starts_at", "finished_at")
    fields = (
        "status",
        "step",
        "note",
        "subject_id",
        "slug_sha256",
        "reason",
        "requested_by",
        "requested_at",
        "starts_at",
        "cancelled_by",
        "started_at",
        "finished_at",
        "proof_text",
        "proof_sha256",
    )
    readonly_fields = fields
    post_actions = ("cancel", "verify")
    empty_title = gettext_lazy("No tenant erasures yet")
    empty_text = gettext_lazy("Erase a suspended tenant on its own page, or with “manage.py erase_tenant SLUG”.")

    @admin.display(description=gettext_lazy("Proof"))
    def proof_text(self, erasure: TenantErasure) -> SafeString | str:
        if erasure.proof is None:
            return "–"
        return format_html("<pre>{}</pre>", json.dumps(erasure.proof, indent=2, sort_keys=True, ensure_ascii=False))

    @post_action(
        label=gettext_lazy("Cancel"),
        consequence=gettext_lazy("Nothing is deleted, and the tenant stays suspended."),
        permission=Permission.TENANTS_ERASE,
        asks_reason=True,
        is_offered=lambda erasure: erasure.status == ErasureStatus.PENDING,
    )
    def cancel(self, request: HttpRequest, erasure: TenantErasure, reason: str) -> str:
        cancel_erasure(erasure_id=erasure.pk, reason=reason)
        return gettext("The erasure is cancelled; the tenant stays suspended.")

    @post_action(
        label=gettext_lazy("Recount"),
        permission=Permission.TENANTS_ERASE,
        is_offered=lambda erasure: erasure.status == ErasureStatus.COMPLETED,
    )
    def verify(self, request: HttpRequest, erasure: TenantErasure, reason: str) -> str:
        found = verify_erasure(erasure_id=erasure.pk)
        if found.is_good:
            return gettext("Nothing is left, and the proof is unaltered.")
        left = ", ".join(f"{name} ({number})" for name, number in found.left.items()) or gettext("nothing")
        return gettext("Left: %(left)s. The proof is %(value)s.") % {
            "left": left,
            "value": gettext("intact") if found.is_proof_intact else gettext("altered"),
        }
