"""Where a tenant is told, and each attempt to do so."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.models.base import TenantModel
from tenants.models.names import NamedModel

MAX_URL = 2_000
MAX_ANSWER = 1_000
MAX_ERROR = 500
MAX_EVENT = 64


class Webhook(NamedModel, TenantModel):
    """A URL of the tenant's that is told what happened; its secret is sealed, and shown when it is made alone."""

    name = models.CharField(max_length=100)
    url = models.CharField(max_length=MAX_URL, help_text="http or https; what leads inside is refused.")
    events = ArrayField(
        models.CharField(max_length=MAX_EVENT),
        default=list,
        db_default=[],
        blank=True,
        help_text="What it is told of the tenant's jobs.",
    )
    job_filter = models.TextField(blank=True, db_default="", help_text="Of which jobs; empty: of all.")
    events_since = models.DateTimeField(null=True, editable=False, help_text="It is told what happened since.")
    sealed_secret = models.TextField(editable=False)
    previous_sealed_secret = models.TextField(blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False, help_text="When the secret was last replaced.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="webhook_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_name_unique"),
        ]
        indexes = [
            models.Index(fields=["tenant"], condition=models.Q(events_since__isnull=False), name="webhook_subscribed"),
        ]

    def __str__(self) -> str:
        return self.name


class Delivery(TenantModel):
    """One attempt to tell a webhook something, and what came of it."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, db_index=False, db_constraint=False, related_name="deliveries")
    job_id = models.UUIDField(help_text="The job that delivers; its attempts are one delivery.")
    event = models.CharField(max_length=MAX_EVENT)
    attempt = models.PositiveSmallIntegerField()
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer; empty where there was none.")
    error = models.CharField(max_length=MAX_ERROR, blank=True)
    answer = models.CharField(max_length=MAX_ANSWER, blank=True, help_text="Its beginning, where it is a text.")
    seconds = models.FloatField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["tenant", "webhook", "-id"], name="delivery_of_webhook")]

    def __str__(self) -> str:
        return f"{self.event}: {self.status or self.error}"

    @property
    def is_delivered(self) -> bool:
        """Whether the other side has heard."""
        return self.status is not None and 200 <= self.status < 300
