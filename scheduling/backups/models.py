"""Tables of backups: the plans, and each backup with its last verification."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from scheduling.backups.queries import is_backup_running
from tenants.database.ids import uuid7
from tenants.tenancy.bases import NamedModel

# The error of a backup until it has ended; of a killed process it stays until the next one begins.
UNENDED = "Its process has ended before the backup was whole."
OVERTAKEN = "It had not ended when the next backup of its plan began."
# A month.
MOST_HOURS = 744


def _hours(label: Any, default: int, text: Any) -> models.PositiveSmallIntegerField[int, int]:
    bounds = [MinValueValidator(1), MaxValueValidator(MOST_HOURS)]
    return models.PositiveSmallIntegerField(label, default=default, validators=bounds, help_text=text)


class BackupPlan(NamedModel):
    """When backups are made, where they are kept, for how long, and how old the newest may be."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    target = models.CharField(_("target"), max_length=300, help_text=_("Folder, or s3://BUCKET/PREFIX."))
    every_hours = _hours(_("every"), 24, _("Hours between two backups."))
    promised_hours = _hours(_("promised age"), 30, _("Hours; an alert fires when the newest backup is older."))
    keep_days = models.PositiveSmallIntegerField(
        _("keep for"), default=30, validators=[MinValueValidator(1)], help_text=_("Days; older backups are deleted.")
    )
    keep_least = models.PositiveSmallIntegerField(
        _("keep at least"),
        default=3,
        validators=[MinValueValidator(1)],
        help_text=_("Backups that are kept however old they are."),
    )
    has_files = models.BooleanField(_("with files"), default=True, help_text=_("Whether they contain stored files."))
    is_enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_backup_plan"
        verbose_name = _("backup plan")
        verbose_name_plural = _("backup plans")
        constraints = [models.UniqueConstraint(fields=["name"], name="backup_plan_name")]


class Backup(models.Model):
    """A backup that was made or has failed, and what its last verification by a drill found; or a snapshot of states.

    ``loss_seconds`` (RPO) is the age of the backup at the drill, ``restore_seconds`` (RTO) how long it took to restore
    and check it.
    """

    class Kind(models.TextChoices):
        BACKUP = "backup", _("backup")
        SNAPSHOT = "snapshot", _("snapshot of states")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.BACKUP)
    plan = models.ForeignKey(
        BackupPlan,
        models.SET_NULL,
        verbose_name=_("plan"),
        null=True,
        blank=True,
        db_index=False,
        related_name="backups",
    )
    name = models.CharField(_("name"), max_length=60)
    target = models.CharField(_("target"), max_length=300)
    taken_at = models.DateTimeField(_("taken at"))
    seconds = models.FloatField(_("duration"), default=0.0)
    size_bytes = models.BigIntegerField(_("size"), default=0)
    row_count = models.BigIntegerField(_("rows"), default=0)
    file_count = models.BigIntegerField(_("files"), default=0)
    error = models.TextField(_("error"), blank=True)
    deleted_at = models.DateTimeField(_("deleted at"), null=True)
    verified_at = models.DateTimeField(_("verified at"), null=True)
    loss_seconds = models.FloatField(_("loss (RPO)"), null=True)
    restore_seconds = models.FloatField(_("restore (RTO)"), null=True)
    faults = models.JSONField(_("faults"), default=list, help_text=_("What the verification found."))

    class Meta:
        db_table = "scheduling_backup"
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        indexes = [models.Index(fields=["plan", "-taken_at"], name="backup_by_plan")]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """Return running, failed, deleted or stored."""
        if self.error:
            return "running" if self.error == UNENDED and is_backup_running() else "failed"
        return "deleted" if self.deleted_at else "stored"
