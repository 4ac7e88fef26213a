"""Rows of the outbox: routes of topics to targets, and messages to deliver."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from scheduling.kit.emitting import MAX_MESSAGE_KEY_CHARACTERS, MAX_TOPIC_CHARACTERS
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantModel

MAX_ERROR = 500


class OutboxRoute(NamedModel, OptionalTenantModel):
    """Where messages of a topic go: to a target of an adapter. A message goes to each route that matches its topic."""

    name = models.CharField(_("name"), max_length=100)
    topic = models.CharField(
        _("topic"),
        max_length=MAX_TOPIC_CHARACTERS,
        help_text=_("Such as order.paid; order.* matches all topics that begin with order."),
    )
    adapter = models.CharField(_("adapter"), max_length=40, help_text=_("webhook, redis_stream, or one of a plug-in."))
    target = models.CharField(
        _("target"), max_length=200, help_text=_("For webhook the name of a webhook, for redis_stream a stream.")
    )
    is_enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("While a route is disabled, its messages wait.")
    )

    class Meta:
        db_table = "scheduling_outbox_route"
        verbose_name = _("outbox route")
        verbose_name_plural = _("outbox routes")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="outbox_route_name"),
            models.UniqueConstraint(fields=["tenant", "id"], name="outbox_route_tenant_id"),
        ]


class OutboxMessage(TenantModel):
    """A message of a job to one route. Its id is the same at each attempt."""

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        DELIVERED = "delivered", _("delivered")
        DEAD = "dead", _("dead")
        UNROUTED = "unrouted", _("without a route")

    route = models.ForeignKey(
        OutboxRoute,
        models.DO_NOTHING,
        verbose_name=_("route"),
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="messages",
    )
    job_id = models.UUIDField(_("job id"), help_text=_("The job that has emitted it."))
    topic = models.CharField(_("topic"), max_length=MAX_TOPIC_CHARACTERS)
    key = models.CharField(
        _("key"),
        max_length=MAX_MESSAGE_KEY_CHARACTERS,
        blank=True,
        help_text=_("Messages of one key are delivered in the order in which they were stored."),
    )
    body = SealedJSONField(_("message"))
    state = models.CharField(_("state"), max_length=9, choices=State.choices)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0, db_default=0)
    due_at = models.DateTimeField(_("due at"), db_default=Now())
    error = SealedErrorField(_("error"), max_length=MAX_ERROR, blank=True, db_default="")
    delivery_job_id = models.UUIDField(_("delivery job"), null=True, help_text=_("The job that delivers it."))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, help_text=_("When it was delivered or given up."))

    class Meta:
        db_table = "scheduling_outbox_message"
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [
            models.Index(fields=["tenant", "-id"], name="outbox_of_tenant"),
            models.Index(
                fields=["route", "created_at", "id"], condition=Q(state="pending"), name="outbox_pending_of_route"
            ),
            models.Index(
                fields=["delivery_job_id"],
                condition=Q(state="pending", delivery_job_id__isnull=False),
                name="outbox_in_delivery",
            ),
            models.Index(fields=["ended_at"], condition=Q(state="dead"), name="outbox_dead"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}".strip()
