"""Routing rules in their order, and the queues that a rule balances over."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scheduling.topology.models import Queue
from tenants.tenancy.regions import REGION, REGION_LENGTH


class RoutingRule(models.Model):
    """A rule that sends jobs of a kind, tier and payload condition to a queue, or to one of several queues.

    Of all rules that match a job, the one with the lowest position applies.
    """

    class Balance(models.TextChoices):
        NONE = "", _("One queue")
        WEIGHTED = "weighted", _("Several queues, by weight")
        LEAST_LOADED = "least_loaded", _("Several queues, the one with the least waiting work per live slot")
        NEAREST = "nearest", _("Several queues, the nearest to the tenant's home region that has live slots")

    # All others, and strategies, compare the waiting work of queues.
    NOT_BY_WORK = (Balance.NONE, Balance.WEIGHTED)

    position = models.PositiveIntegerField(
        _("position"), unique=True, help_text=_("Rules are evaluated from the lowest position up.")
    )
    kind = models.CharField(_("kind"), max_length=64, blank=True, help_text=_("Empty for every kind."))
    tier = models.ForeignKey(
        "tenants.Tier",
        models.CASCADE,
        verbose_name=_("tier"),
        null=True,
        blank=True,
        help_text=_("Empty for every tier."),
    )
    region = models.CharField(
        _("home region"),
        max_length=REGION_LENGTH,
        validators=[REGION],
        blank=True,
        default="",
        db_default="",
        help_text=_("For tenants of this home region; empty for every tenant."),
    )
    condition = models.JSONField(
        _("condition"),
        null=True,
        blank=True,
        help_text=_(
            'On the payload, such as {"field": "pages", "op": "gt", "value": 100}, or a list of '
            "conditions that must all hold."
        ),
    )
    queue = models.ForeignKey(Queue, models.PROTECT, verbose_name=_("queue"), null=True, blank=True)
    by_tier = models.BooleanField(
        _("by tier"), default=False, help_text=_("Send to the queue that the active CFS plan names for the tier.")
    )
    balance = models.CharField(
        _("balance"),
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text=_("How a rule without a queue of its own spreads its jobs over the queues below."),
    )
    allows_queue_choice = models.BooleanField(
        _("allows queue choice"),
        default=False,
        help_text=_("Whether a tenant may choose one of this kind's queues."),
    )
    is_active = models.BooleanField(_("is active"), default=True)

    class Meta:
        verbose_name = _("routing rule")
        verbose_name_plural = _("routing rules")
        ordering = ["position"]
        constraints = [
            models.CheckConstraint(
                condition=Q(queue__isnull=True, by_tier=True, balance="")
                | Q(queue__isnull=False, by_tier=False, balance="")
                | (Q(queue__isnull=True, by_tier=False) & ~Q(balance="")),
                name="routing_rule_one_target",
                violation_error_message="Choose exactly one: a queue, “by tier”, or a balance over several queues.",
            )
        ]

    def __str__(self) -> str:
        target = self.queue or self.balance or gettext("by tier")
        return f"{self.position}: {self.kind or gettext('any kind')} → {target}"

    def edited_values(self) -> list[object]:
        """Return what people edit: the columns, and the queues to balance over."""
        columns = [field.value_to_string(self) for field in self._meta.concrete_fields]
        return [*columns, sorted((target.queue_id, target.weight) for target in self.targets.all())]


class RoutingTarget(models.Model):
    """One of the queues that a balancing rule distributes its jobs over."""

    rule = models.ForeignKey(
        RoutingRule, models.CASCADE, verbose_name=_("rule"), related_name="targets", db_index=False
    )
    queue = models.ForeignKey(Queue, models.PROTECT, verbose_name=_("queue"), db_index=False)
    weight = models.PositiveIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Used by the balance “weighted”."),
    )

    class Meta:
        verbose_name = _("routing target")
        verbose_name_plural = _("routing targets")
        db_table = "scheduling_routing_target"
        ordering = ["queue__name"]
        constraints = [models.UniqueConstraint(fields=["rule", "queue"], name="routing_target_queue")]

    def __str__(self) -> str:
        return f"{self.queue} × {self.weight}"
