"""Models of webhook triggers and of their last deliveries."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.encryption.fields import SealedTextField
from tenants.secrets.rotation import RotatedSecretModel
from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantModel

MAX_REFERENCE_CHARACTERS = 500
MAX_HEADERS = 20
MAX_HEADER_NAME_CHARACTERS = 100
MAX_ERROR = 500


class WebhookTrigger(NamedModel, RotatedSecretModel, OptionalTenantModel):
    """What a signed request starts: a job of a kind, of a template, or a run of a workflow.

    The mapping makes its payload, parameters or inputs from the request. The id is the trigger's public address.
    """

    class Signature(models.TextChoices):
        """How requests are signed."""

        STANDARD = "standard", _("as the platform's webhooks (Standard Webhooks)")
        GITHUB = "github", _("as GitHub: X-Hub-Signature-256")

    tenant = models.ForeignKey(
        "tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), db_index=False, related_name="+"
    )
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=64, blank=True, help_text=_("The kind of the job that is started."))
    template = models.CharField(
        _("template"), max_length=50, blank=True, help_text=_("Or the name of a job template, in place of a kind.")
    )
    workflow = models.CharField(
        _("workflow"), max_length=100, blank=True, help_text=_("Or the name of a workflow, in place of a kind.")
    )
    mapping = models.JSONField(
        _("mapping"),
        default=dict,
        blank=True,
        help_text=_(
            'The payload, the parameters or the inputs, such as {"order": {"ref": "inputs.body.id"}}, with values '
            "inputs.body, inputs.headers and inputs.query of the request. Empty: the body."
        ),
    )
    headers = ArrayField(
        models.CharField(max_length=MAX_HEADER_NAME_CHARACTERS),
        verbose_name=_("headers"),
        size=MAX_HEADERS,
        default=list,
        blank=True,
        help_text=_(
            "Names of the headers that the mapping may read, such as X-Event; it reads inputs.headers.x_event."
        ),
    )
    deduplicate_by = models.CharField(
        _("deduplicate by"),
        max_length=MAX_REFERENCE_CHARACTERS,
        blank=True,
        help_text=_(
            "A value of the body, such as inputs.body.id; an equal one starts nothing again. Empty: the request's id."
        ),
    )
    signature = models.CharField(
        _("signature"), max_length=10, choices=Signature.choices, default=Signature.STANDARD, blank=True
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("webhook trigger")
        verbose_name_plural = _("webhook triggers")
        db_table = "triggers_webhook_trigger"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="webhook_trigger_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_trigger_name"),
        ]


class TriggerDelivery(TenantModel):
    """A signed request to a trigger, and what it has started; its body is in the job alone."""

    trigger = models.ForeignKey(
        WebhookTrigger,
        models.CASCADE,
        verbose_name=_("trigger"),
        db_index=False,
        db_constraint=False,
        related_name="deliveries",
    )
    status = models.PositiveSmallIntegerField(_("status"), help_text=_("Status of the response."))
    job_id = models.UUIDField(_("job id"), null=True, help_text=_("The job that was started, or that existed."))
    is_duplicate = models.BooleanField(_("duplicate"), default=False)
    error = SealedTextField(_("error"), max_length=MAX_ERROR, blank=True)
    received_at = models.DateTimeField(_("received at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("delivery to a trigger")
        verbose_name_plural = _("deliveries to triggers")
        db_table = "triggers_delivery"
        indexes = [models.Index(fields=["tenant", "trigger", "-id"], name="delivery_of_trigger")]

    def __str__(self) -> str:
        return f"{self.trigger_id}: {self.status}"
