"""Rows of the fair order: the CFS plans that people edit, and the virtual times and costs that ticks maintain."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from scheduling.fairness.prediction import CostSums
from scheduling.topology.models import Queue
from tenants.models import NamedModel, VersionedModel, VersionFacts
from tenants.tenancy.bases import TenantManager
from tenants.tenancy.regions import REGION, REGION_LENGTH


class CFSPlan(NamedModel, VersionedModel):
    """Plan that gives each tier a queue and each queue a weight; exactly one plan is active."""

    class Strategy(models.TextChoices):
        NOP = "nop", _("Off: every queue in order of arrival")
        TIME_SLICE = "time_slice", _("Fair order with time slices")

    name = models.CharField(_("name"), max_length=60, unique=True)
    strategy = models.CharField(_("strategy"), max_length=12, choices=Strategy.choices, default=Strategy.TIME_SLICE)
    granularity_seconds = models.PositiveIntegerField(
        _("time slice (s)"),
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(86_400)],
        help_text=_("Length of a time slice; after it, a running job may be requested to yield."),
    )
    reserved_slots = models.PositiveIntegerField(
        _("reserved slots"), default=0, help_text=_("Slots reserved for tenants below their share.")
    )
    is_active = models.BooleanField(_("is active"), default=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("CFS plan")
        verbose_name_plural = _("CFS plans")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["is_active"], condition=Q(is_active=True), name="one_active_cfs_plan")
        ]


def tier_key(tier_id: str, region: str) -> str:
    """Return the name of a row of a plan; a slug contains no "@"."""
    return f"{tier_id}@{region}" if region else tier_id


class CFSPlanTier(models.Model):
    """Row of a plan: the queues for the jobs of a tier that are routed by tier, and the weight of each."""

    plan = models.ForeignKey(CFSPlan, models.CASCADE, verbose_name=_("plan"), related_name="tiers")
    tier = models.ForeignKey("tenants.Tier", models.PROTECT, verbose_name=_("tier"))
    region = models.CharField(
        _("home region"),
        max_length=REGION_LENGTH,
        validators=[REGION],
        blank=True,
        default="",
        db_default="",
        help_text=_("For tenants of this home region; empty: for all that have no row of their own."),
    )
    queue = models.ForeignKey(Queue, models.PROTECT, verbose_name=_("queue"))
    io_queue = models.ForeignKey(
        Queue,
        models.PROTECT,
        verbose_name=_("queue of asynchronous kinds"),
        null=True,
        blank=True,
        related_name="+",
        help_text=_("A queue of an I/O pool; empty: the same queue."),
    )
    weight = models.PositiveIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Overrides the queues' own weight while this plan is active."),
    )

    class Meta:
        verbose_name = _("tier row")
        verbose_name_plural = _("tier rows")
        ordering = ["tier__rank", "region"]
        constraints = [models.UniqueConstraint(fields=["plan", "tier", "region"], name="cfs_plan_tier_region")]

    def __str__(self) -> str:
        return f"{self.key} → {', '.join(map(str, self.queues))} × {self.weight}"

    @property
    def key(self) -> str:
        """Return the name of the row in its plan: the tier, with "@" and the region if it has one."""
        return tier_key(self.tier_id, self.region)

    @property
    def queues(self) -> list[Queue]:
        """Return the queues of the row: one or two, in different pools."""
        return [queue for queue in (self.queue, self.io_queue) if queue is not None]


class CFSPlanVersion(VersionFacts):
    """Past, present or scheduled version of a CFS plan, with its tier rows."""

    plan = models.ForeignKey(CFSPlan, models.PROTECT, related_name="versions", db_index=False)

    class Meta:
        db_table = "scheduling_cfs_plan_version"
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["plan", "number"], name="cfs_plan_version_number")]
        indexes = [
            models.Index(fields=["effective_from"], condition=Q(outcome="waiting"), name="cfs_plan_version_waiting")
        ]


class FairShareNode(models.Model):
    """Tenant in one queue, or one of its fair keys there: its virtual time and its waiting and running jobs.

    Each job counts in one row: that of its fair key or, without a key, that of the tenant (which has no ``parent``). A
    tenant's row stands for two nodes of the tree. Among the tenants of the queue it has ``vruntime`` and the
    ``head_rank`` of all its jobs. Among the tenant's keys, its jobs without a key have ``own_vruntime`` and
    ``own_rank``, and ``virtual_time`` is the clock of these siblings. ``keys_in_flight`` and ``keys_waiting`` sum the
    rows of its keys.

    Virtual times count nanoseconds of slot time per unit of weight. ``is_runnable`` is the only flag that a pick reads:
    the row has ready jobs and, for a tenant, neither a pause nor a cap blocks it. Only the tick of the queue's pool
    writes these rows; all other code appends to ``Wake``.
    """

    id = models.BigAutoField(_("id"), primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), db_index=False)
    queue = models.ForeignKey(Queue, models.PROTECT, verbose_name=_("queue"), db_index=False)
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        verbose_name=_("parent"),
        null=True,
        db_constraint=False,  # the migration has the composite key (tenant, parent)
        db_index=False,
        related_name="keys",
        help_text=_("The tenant's own row in the queue, for a row of one of its keys."),
    )
    fair_key = models.CharField(_("fair key"), max_length=100, blank=True, db_default="")
    weight_milli = models.PositiveIntegerField(_("weight milli"), default=1000)
    vruntime = models.BigIntegerField(_("vruntime"), default=0)
    own_vruntime = models.BigIntegerField(_("own vruntime"), db_default=0)
    virtual_time = models.BigIntegerField(_("virtual time"), db_default=0)
    is_runnable = models.BooleanField(_("is runnable"), default=False)
    in_flight = models.IntegerField(_("in flight"), default=0)
    keys_in_flight = models.IntegerField(_("keys in flight"), db_default=0)
    waiting = models.IntegerField(_("waiting"), default=0, help_text=_("Ready, due and held jobs."))
    keys_waiting = models.IntegerField(_("keys waiting"), db_default=0)
    head_rank = models.BigIntegerField(_("head rank"), default=0, help_text=_("Rank of its first ready job."))
    own_rank = models.BigIntegerField(
        _("own rank"), null=True, help_text=_("Rank of its first ready job without a key.")
    )
    estimate_us = models.BigIntegerField(_("estimate us"), default=1_000_000)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_schedulingentity"
        verbose_name = _("scheduling entity")
        verbose_name_plural = _("scheduling entities")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "queue", "fair_key"], name="entity_line"),
            models.UniqueConstraint(fields=["tenant", "id"], name="entity_tenant_id"),
        ]
        # Lines that a pick may take, in the order in which it takes them, ties included.
        indexes = [
            models.Index(
                "queue",
                "vruntime",
                F("in_flight") + F("keys_in_flight"),
                "head_rank",
                "id",
                condition=Q(is_runnable=True, parent=None),
                name="entity_tenant_order",
            ),
            models.Index(
                "queue",
                "head_rank",
                F("in_flight") + F("keys_in_flight"),
                "id",
                condition=Q(is_runnable=True, parent=None),
                name="entity_tenant_fifo",
            ),
            models.Index(
                fields=["parent", "vruntime", "in_flight", "head_rank", "id"],
                condition=Q(is_runnable=True, parent__isnull=False),
                name="entity_key_order",
            ),
            models.Index(
                fields=["parent", "head_rank", "in_flight", "id"],
                condition=Q(is_runnable=True, parent__isnull=False),
                name="entity_key_fifo",
            ),
            # A tenant's own rows, regardless of the number of its keys.
            models.Index(fields=["tenant", "queue"], condition=Q(parent=None), name="entity_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} in {self.queue_id}"


class TenantCapacity(models.Model):
    """Number of a tenant's messages in flight over all pools; a conditional update claims one."""

    tenant = models.OneToOneField("tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), primary_key=True)
    in_flight = models.IntegerField(_("in flight"), default=0)

    objects = TenantManager()

    class Meta:
        verbose_name = _("tenant capacity")
        verbose_name_plural = _("tenant capacitys")
        db_table = "scheduling_tenant_capacity"

    def __str__(self) -> str:
        return f"capacity of {self.tenant_id}"


class CostRow(models.Model):
    """Base of the rows with learned costs: decaying sums over samples of x (payload size) and y (slot time).

    ``scheduling.fairness.prediction`` defines the sums; only ticks write them.
    """

    mean_us = models.BigIntegerField(_("mean us"))
    samples = models.BigIntegerField(_("samples"), help_text=_("Number of samples."))
    n = models.FloatField(_("n"), db_default=1.0)
    sum_x = models.FloatField(_("sum x"), db_default=0.0)
    sum_y = models.FloatField(_("sum y"), db_default=0.0)
    sum_xx = models.FloatField(_("sum xx"), db_default=0.0)
    sum_xy = models.FloatField(_("sum xy"), db_default=0.0)
    sum_yy = models.FloatField(_("sum yy"), db_default=0.0)
    least_us = models.FloatField(_("least us"), db_default=0.0)
    most_us = models.FloatField(_("most us"), db_default=0.0)
    error_us = models.FloatField(_("error us"), db_default=0.0, help_text=_("Sum of |predicted - measured|."))
    bias_us = models.FloatField(_("bias us"), db_default=0.0, help_text=_("Sum of predicted - measured."))
    total_us = models.FloatField(
        _("total us"), db_default=0.0, help_text=_("Sum of measured, the divisor of these two.")
    )
    updated_at = models.DateTimeField(_("updated at"), null=True)

    class Meta:
        abstract = True

    @property
    def sums(self) -> CostSums:
        """Return the sums as the input of the predictor."""
        names = ("n", "sum_x", "sum_y", "sum_xx", "sum_xy", "sum_yy", "least_us", "most_us", "error_us", "bias_us")
        return CostSums(*(getattr(self, name) for name in names))

    @property
    def mean_error(self) -> float | None:
        """Return the mean absolute error of recent predictions as a fraction of the measured time, or None."""
        return self.error_us / self.total_us if self.total_us else None

    @property
    def bias(self) -> float | None:
        """Return the mean signed error as a fraction of the measured time, or None.

        Above 0, predictions are too high.
        """
        return self.bias_us / self.total_us if self.total_us else None


class KindCost(CostRow):
    """Learned costs of the jobs of a kind, over all tenants."""

    kind = models.CharField(_("kind"), max_length=64, primary_key=True)

    class Meta(CostRow.Meta):
        abstract = False
        db_table = "scheduling_kind_cost"
        verbose_name = _("cost of a kind")
        verbose_name_plural = _("costs by kind")

    def __str__(self) -> str:
        return self.kind


class TenantKindCost(CostRow):
    """Learned costs of one tenant's jobs of a kind."""

    pk = models.CompositePrimaryKey("tenant_id", "kind")
    tenant = models.ForeignKey("tenants.Tenant", models.CASCADE, db_index=False)
    kind = models.CharField(max_length=64)

    objects = TenantManager()

    class Meta(CostRow.Meta):
        abstract = False
        db_table = "scheduling_tenant_kind_cost"
