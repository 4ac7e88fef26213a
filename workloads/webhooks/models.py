"""Models of webhooks and of their delivery attempts."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.encryption.fields import SealedTextField
from tenants.secrets.rotation import RotatedSecretModel
from tenants.tenancy.bases import NamedModel, TenantModel

MAX_URL = 2_000
MAX_ANSWER = 1_000
MAX_ERROR = 500
MAX_EVENT = 64


class Webhook(NamedModel, RotatedSecretModel, TenantModel):
    """A URL of the tenant that is notified of events.

    Its secret is stored encrypted, and shown once when it is created.
    """

    name = models.CharField(_("name"), max_length=100)
    url = SealedTextField(
        _("url"), max_length=MAX_URL, help_text=_("http or https; private and internal addresses are refused.")
    )
    events = ArrayField(
        models.CharField(max_length=MAX_EVENT),
        verbose_name=_("events"),
        default=list,
        db_default=[],
        blank=True,
        help_text=_("Events of the tenant's jobs that it receives."),
    )
    job_filter = models.TextField(
        _("job filter"), blank=True, db_default="", help_text=_("Filter of jobs; empty: all jobs.")
    )
    events_since = models.DateTimeField(
        _("events since"), null=True, editable=False, help_text=_("Events after this time are sent to the webhook.")
    )

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="webhook_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_name_unique"),
        ]
        indexes = [
            models.Index(fields=["tenant"], condition=models.Q(events_since__isnull=False), name="webhook_subscribed"),
        ]


class Delivery(TenantModel):
    """One attempt to deliver an event to a webhook, and its result."""

    webhook = models.ForeignKey(
        Webhook,
        models.CASCADE,
        verbose_name=_("webhook"),
        db_index=False,
        db_constraint=False,
        related_name="deliveries",
    )
    job_id = models.UUIDField(_("job id"), help_text=_("The job that delivers; its attempts are one delivery."))
    event = models.CharField(_("event"), max_length=MAX_EVENT)
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    status = models.PositiveSmallIntegerField(
        _("status"), null=True, help_text=_("Status of the response; empty if there was none.")
    )
    error = SealedTextField(_("error"), max_length=MAX_ERROR, blank=True)
    answer = SealedTextField(
        _("answer"), max_length=MAX_ANSWER, blank=True, help_text=_("The beginning of the response, if it is text.")
    )
    seconds = models.FloatField(_("seconds"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [models.Index(fields=["tenant", "webhook", "-id"], name="delivery_of_webhook")]

    def __str__(self) -> str:
        return f"{self.event}: {self.status or self.error}"

    @property
    def is_delivered(self) -> bool:
        """Return whether the receiver accepted the delivery, which it does by a status from 200 to 299."""
        return self.status is not None and 200 <= self.status < 300
