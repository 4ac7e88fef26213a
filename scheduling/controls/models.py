"""Tables of controls, and of the jobs that they hold."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantManager


class ControlRule(NamedModel, OptionalTenantModel):
    """A control: a rule that jobs are checked against at a checkpoint."""

    class Checkpoint(models.TextChoices):
        """When a control is checked."""

        SUBMISSION = "submission", _("submission: holds the job")
        START = "start", _("start: holds the job")
        EFFECT = "effect", _("call of a host: fails the attempt")
        END = "end", _("end: is recorded")

    class Rule(models.TextChoices):
        """What a control checks."""

        REQUIRED_TAGS = "required_tags", _("required tags and labels")
        ALLOWED_KINDS = "allowed_kinds", _("allowed kinds and regions")
        PAYLOAD_DETECTOR = "payload_detector", _("card numbers, keys, e-mail addresses")
        EGRESS_HOSTS = "egress_hosts", _("hosts that may be called")
        MAINTENANCE_WINDOW = "maintenance_window", _("maintenance window")
        KEY_RESIDENCY = "key_residency", _("regions that read the data key")

    name = models.CharField(_("name"), max_length=100)
    checkpoint = models.CharField(_("checkpoint"), max_length=10, choices=Checkpoint.choices)
    rule = models.CharField(_("rule"), max_length=20, choices=Rule.choices)
    parameters = models.JSONField(
        _("parameters"), help_text=_('Of the rule, such as {"tags": ["reviewed"]}; the documentation lists them.')
    )
    kind = models.CharField(_("kind"), max_length=64, blank=True, help_text=_("Empty: every kind."))
    may_hold_all = models.BooleanField(
        _("may hold every job"),
        default=False,
        help_text=_("Confirms a control that would have held every job of the last hour that it covers."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        db_table = "scheduling_control_rule"
        verbose_name = _("control")
        verbose_name_plural = _("controls")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="control_rule_name", nulls_distinct=False)
        ]


class ControlHold(models.Model):
    """A job that controls hold, or that is exempt from those in ``overridden``.

    ``failures`` has the id, name, rule and checkpoint of each control that holds it now; it is empty once a person has
    overridden them.
    """

    job_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    failures = models.JSONField(default=list)
    overridden = ArrayField(models.UUIDField(), default=list)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_control_hold"
