"""Acts of this app that can need a second person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from scheduling.bulk.starting import start_bulk_operation
from scheduling.controls.holds import held_by
from scheduling.controls.service import override_controls
from tenants.access.permissions import Permission
from tenants.approvals.acts import Act
from tenants.approvals.exceptions import ApprovalRequestClosedError


def _start(arguments: dict[str, Any]) -> None:
    start_bulk_operation(**arguments)


def _override(arguments: dict[str, Any]) -> None:
    job_id = UUID(arguments["job"])
    if sorted(one["id"] for one in held_by(job_id)) != arguments["controls"]:
        raise ApprovalRequestClosedError("Other controls hold the job now: ask again.")
    override_controls(job_id=job_id, reason=arguments["reason"])


ACTS = (
    Act("bulk", _("Bulk operation on jobs"), Permission.JOBS_BULK, _start, has_number=True),
    Act("restore", _("Restore a tenant from a backup"), Permission.TENANTS_ERASE),
    Act("promote", _("Make a standby site the active one"), Permission.TENANTS_MANAGE, is_asked_ahead=True),
    Act("control.override", _("Override the controls that hold a job"), Permission.CONTROLS_OVERRIDE, _override),
)
