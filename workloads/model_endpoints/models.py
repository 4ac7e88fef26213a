"""Models of model endpoints, of the models that each one lists, and of the tokens that were used."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, TenantModel

MAX_ENDPOINT_NAME = 40
MAX_MODEL_NAME = 150
MAX_URL = 500
MAX_KEY = 80
MAX_DIMENSIONS = 4_000
MAX_PER_MINUTE = 60_000_000
MAX_PER_MONTH = 10**15
# The widest model name of the platform's endpoint, which a node may choose.
MAX_USED_MODEL_NAME = 200


# The fields of both models that people edit.
_RATES: Final = ("requests_per_minute", "tokens_per_minute")
_TIMEOUTS: Final = ("connect_seconds", "read_seconds", "total_seconds")
ENDPOINT_FIELDS: Final = ("provider", "url", "key", "is_enabled", *_TIMEOUTS, *_RATES)
_PRICES: Final = ("input_price", "output_price")
MODEL_FIELDS: Final = (
    "name",
    "use",
    "dimensions",
    "sends_dimensions",
    "is_default",
    *_PRICES,
    *_RATES,
    "tokens_per_month",
)
DIMENSIONS_FAULT = _("An embedding model has 1 to 4000 dimensions; no other model has any.")
DEFAULT_FAULT = _("Only a chat model can be the default.")


class ModelProvider(models.TextChoices):
    """The API that an endpoint has."""

    OPENAI = "openai", _("OpenAI's API")


class ModelUse(models.TextChoices):
    """What a model is called for."""

    CHAT = "chat", _("Chat")
    EMBEDDING = "embedding", _("Embedding")


class RateLimited(models.Model):
    """Base of rows with limits for each minute, which all workers share. Empty: no limit."""

    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens a minute"), null=True, blank=True)

    class Meta:
        abstract = True


class ModelEndpoint(NamedModel, RateLimited, TenantModel):
    """A service of a tenant that serves models. Nodes and datasets refer to it by its name, which never changes."""

    name = models.CharField(_("name"), max_length=MAX_ENDPOINT_NAME)
    provider = models.CharField(
        _("provider"),
        max_length=20,
        choices=ModelProvider,
        default=ModelProvider.OPENAI,
        db_default=ModelProvider.OPENAI.value,
    )
    url = models.CharField(
        _("base URL"),
        max_length=MAX_URL,
        help_text=_("Such as https://api.example.com/v1; private and internal addresses are refused."),
    )
    key = models.CharField(
        _("key"),
        max_length=MAX_KEY,
        blank=True,
        help_text=_("Reference to a stored secret that is bound to the URL's host: {{ secrets.name }}."),
    )
    connect_seconds = models.FloatField(_("connect timeout, in seconds"), default=5.0, db_default=5.0)
    read_seconds = models.FloatField(_("read timeout, in seconds"), default=60.0, db_default=60.0)
    total_seconds = models.FloatField(_("total timeout, in seconds"), default=120.0, db_default=120.0)
    is_enabled = models.BooleanField(_("is enabled"), default=True, db_default=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("model endpoint")
        verbose_name_plural = _("model endpoints")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="model_endpoint_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="model_endpoint_name_unique"),
        ]

    def edited_values(self) -> list[object]:
        """Return the values that an edit can change, with those of its models; its version is their digest."""
        own = [field.value_to_string(self) for field in self._meta.concrete_fields]
        return [*own, *(model.values() for model in self.models.order_by("name"))]


class EndpointModel(NamedModel, RateLimited, TenantModel):
    """A model of an endpoint: what it is called for, its limits, and its prices in the platform's currency."""

    endpoint = models.ForeignKey(
        ModelEndpoint,
        models.CASCADE,
        verbose_name=_("model endpoint"),
        db_index=False,
        db_constraint=False,
        related_name="models",
    )
    name = models.CharField(_("name"), max_length=MAX_MODEL_NAME)
    use = models.CharField(_("use"), max_length=10, choices=ModelUse)
    dimensions = models.PositiveSmallIntegerField(
        _("dimensions"), null=True, blank=True, help_text=_("Of the vectors of an embedding model: 1 to 4000.")
    )
    sends_dimensions = models.BooleanField(
        _("sends dimensions"),
        default=True,
        db_default=True,
        help_text=_("Whether requests name the dimensions; some servers refuse that."),
    )
    is_default = models.BooleanField(
        _("is default"),
        default=False,
        db_default=False,
        help_text=_("The chat model of nodes that name none."),
    )
    input_price = models.DecimalField(
        _("price of a million input tokens"), max_digits=14, decimal_places=6, null=True, blank=True
    )
    output_price = models.DecimalField(
        _("price of a million output tokens"), max_digits=14, decimal_places=6, null=True, blank=True
    )
    tokens_per_month = models.PositiveBigIntegerField(_("tokens a month"), null=True, blank=True)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="endpoint_model_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "endpoint", "name"], name="endpoint_model_name_unique"),
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(is_default=True), name="endpoint_model_one_default"
            ),
            models.CheckConstraint(
                condition=models.Q(use="embedding", dimensions__gte=1, dimensions__lte=MAX_DIMENSIONS)
                | (~models.Q(use="embedding") & models.Q(dimensions=None)),
                name="endpoint_model_dimensions",
                violation_error_message=DIMENSIONS_FAULT,
            ),
            models.CheckConstraint(
                condition=models.Q(is_default=False) | models.Q(use="chat"),
                name="endpoint_model_default_chats",
                violation_error_message=DEFAULT_FAULT,
            ),
        ]

    def values(self) -> dict[str, object]:
        """Return the values of the model's own fields, as the audit log stores them."""
        return {name: getattr(self, name) for name in MODEL_FIELDS}


class UsageDay(TenantModel):
    """The requests, tokens and cost of a tenant at one model on one day (UTC).

    The row outlives its endpoint. The cost is in the platform's currency; it is empty while no price is known.
    """

    day = models.DateField(_("day"))
    endpoint = models.CharField(_("model endpoint"), max_length=MAX_ENDPOINT_NAME)
    model = models.CharField(_("model"), max_length=MAX_USED_MODEL_NAME)
    requests = models.PositiveBigIntegerField(_("requests"))
    prompt_tokens = models.PositiveBigIntegerField(_("input tokens"))
    completion_tokens = models.PositiveBigIntegerField(_("output tokens"))
    cost = models.DecimalField(_("cost"), max_digits=24, decimal_places=12, null=True)

    class Meta:
        verbose_name = _("model usage")
        verbose_name_plural = _("model usage")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "day", "endpoint", "model"], name="model_usage_day_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.endpoint} {self.model}"
