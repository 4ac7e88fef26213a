"""Rows of the inbox: triggers of topics, and accepted events."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from scheduling.kit.emitting import MAX_TOPIC_CHARACTERS
from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantModel

MAX_SOURCE_CHARACTERS = 100
MAX_EVENT_KEY_CHARACTERS = 200
# A repeated event is recognised for at least this time.
DEDUPLICATED_FOR = timedelta(days=7)


class EventTrigger(NamedModel, OptionalTenantModel):
    """The job that an event of a topic starts: of a kind, with the event's data as payload, or of a template."""

    name = models.CharField(_("name"), max_length=100)
    topic = models.CharField(
        _("topic"),
        max_length=MAX_TOPIC_CHARACTERS,
        help_text=_("Such as order.paid; order.* matches all topics that begin with order."),
    )
    kind = models.CharField(
        _("kind"), max_length=64, blank=True, help_text=_("The event's data is the payload. Empty: use a template.")
    )
    template = models.CharField(
        _("template"),
        max_length=50,
        blank=True,
        help_text=_("Name of a job template; the event's data has the parameters."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        db_table = "scheduling_event_trigger"
        verbose_name = _("event trigger")
        verbose_name_plural = _("event triggers")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="event_trigger_name"),
            models.CheckConstraint(
                condition=models.Q(kind="") ^ models.Q(template=""), name="event_trigger_starts_one_thing"
            ),
        ]


class InboxEvent(TenantModel):
    """An accepted event; its data is in the jobs that it has started."""

    source = models.CharField(_("source"), max_length=MAX_SOURCE_CHARACTERS, help_text=_("The system that sent it."))
    event_id = models.CharField(
        _("event id"), max_length=MAX_EVENT_KEY_CHARACTERS, help_text=_("Its id in the source.")
    )
    topic = models.CharField(_("topic"), max_length=MAX_TOPIC_CHARACTERS)
    fingerprint = models.BinaryField(_("fingerprint"), editable=False)
    jobs = ArrayField(
        models.UUIDField(), verbose_name=_("jobs"), default=list, help_text=_("The jobs that it has started.")
    )
    received_at = models.DateTimeField(_("received at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_inbox_event"
        verbose_name = _("received event")
        verbose_name_plural = _("received events")
        constraints = [models.UniqueConstraint(fields=["tenant", "source", "event_id"], name="inbox_event_once")]
        indexes = [models.Index(fields=["tenant", "-id"], name="inbox_event_of_tenant")]

    def __str__(self) -> str:
        return f"{self.source}: {self.topic}"
