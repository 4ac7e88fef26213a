"""Backup plans: their configuration, and the backups that are due."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max, Q
from django.utils.translation import gettext

from scheduling.backups.exceptions import BackupTargetError
from scheduling.backups.manifest import Manifest
from scheduling.backups.models import OVERTAKEN, UNENDED, Backup, BackupPlan
from scheduling.backups.rules import is_due, select_expired
from scheduling.backups.service import delete_backup, make_backup, require_tools
from scheduling.backups.target import S3, Target
from scheduling.configuration.service import Configured
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.exceptions import DomainError, FieldInvalidError

logger = logging.getLogger(__name__)

# A failed backup is tried again after this time.
RETRY: Final = timedelta(minutes=15)
# Rows of failed and deleted backups are kept for this time.
ROWS_KEPT: Final = timedelta(days=90)
MAX_ERROR_CHARACTERS: Final = 2_000


def check_plan(plan: BackupPlan) -> None:
    """Raise FieldInvalidError for a plan that cannot be kept."""
    if not (plan.target.startswith(("/", S3)) and plan.target.strip("/") not in ("", S3.strip("/"))):
        raise FieldInvalidError.at("target", gettext("Name a folder by its absolute path, or s3://BUCKET/PREFIX."))
    if plan.promised_hours < plan.every_hours:
        raise FieldInvalidError.at("promised_hours", gettext("It must not be less than the time between two backups."))


BACKUP_PLANS = Configured(
    BackupPlan,
    ("name", "target", "every_hours", "promised_hours", "keep_days", "keep_least", "has_files", "is_enabled"),
    check_plan,
    most=20,
)


def find_due_plans() -> list[BackupPlan]:
    """Return the plans whose next backup is due, the longest overdue first."""
    with all_tenants():
        now, plans = read_clock(), BackupPlan.objects.filter(is_enabled=True).order_by("pk")
        due = [(_last_begin(plan), plan) for plan in plans]
        return [plan for last, plan in due if is_due(last, timedelta(hours=plan.every_hours), now)]


def _last_begin(plan: BackupPlan) -> datetime | None:
    """Return when the last backup was taken; a failed one counts until it is tried again."""
    good: datetime | None = plan.backups.filter(error="").aggregate(at=Max("taken_at"))["at"]
    failed: datetime | None = plan.backups.exclude(error="").aggregate(at=Max("taken_at"))["at"]
    if failed is None:
        return good
    retried = failed - timedelta(hours=plan.every_hours) + RETRY
    return retried if good is None else max(good, retried)


def run_plan(plan: BackupPlan) -> Backup:
    """Make the backup of a plan and delete its expired ones; return the row, which has the error if it failed.

    The row is there from the beginning, so that a killed process leaves it with an error. Raise BackupNotReadyError or
    BackupProgramError in a process that cannot make backups at all.
    """
    require_tools()
    began = time.monotonic()
    target, begun = Target(plan.target), _begin(plan)
    try:
        manifest = make_backup(target, has_files=plan.has_files)
    except DomainError as error:
        logger.exception("backup.failed", extra={"plan": plan.name})
        with all_tenants():
            begun.error = str(error)[:MAX_ERROR_CHARACTERS]
            begun.save(update_fields=["error"])
            return begun
    with all_tenants():
        row = record_backup(target, manifest, plan=plan, seconds=time.monotonic() - began)
        begun.delete()
    _delete_expired(plan, target)
    return row


def _begin(plan: BackupPlan) -> Backup:
    with all_tenants():
        plan.backups.filter(error=UNENDED).update(error=OVERTAKEN)
        return Backup.objects.create(plan=plan, name="–", target=plan.target, taken_at=read_clock(), error=UNENDED)


def record_backup(
    target: Target, manifest: Manifest, *, plan: BackupPlan | None = None, seconds: float = 0.0
) -> Backup:
    """Return the row of a backup; create it for one that was made elsewhere."""
    with all_tenants():
        row, _ = Backup.objects.get_or_create(
            pk=manifest.id,
            defaults={
                "plan": plan,
                "name": manifest.name,
                "target": target.address,
                "taken_at": manifest.taken_at,
                "seconds": seconds,
                "size_bytes": manifest.size,
                "row_count": manifest.rows,
                "file_count": manifest.files,
            },
        )
    return row


def _delete_expired(plan: BackupPlan, target: Target) -> None:
    with all_tenants():
        now, kept = read_clock(), list(plan.backups.filter(error="", deleted_at=None))
    expired = set(
        select_expired(
            [row.taken_at for row in kept], keep=timedelta(days=plan.keep_days), least=plan.keep_least, now=now
        )
    )
    for row in kept:
        if row.taken_at not in expired:
            continue
        try:
            delete_backup(target, row.name, reason=gettext("its plan keeps it no longer"))
        except BackupTargetError:
            # The next backup of the plan tries again.
            logger.exception("backup.not_deleted", extra={"backup": row.name})
            continue
        with all_tenants():
            Backup.objects.filter(pk=row.pk).update(deleted_at=now)
    with all_tenants():
        ended = plan.backups.filter(~Q(error="") | Q(deleted_at__isnull=False))
        ended.filter(taken_at__lt=now - ROWS_KEPT).delete()
