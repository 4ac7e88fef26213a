"""What a request to a model needs: the URL and key of its endpoint, time limits, rate limits, and prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from scheduling.kit.base import Dependency, PermanentError
from scheduling.kit.http import HeaderValue, Limits, SecretText
from tenants.database.platform_settings import platform_settings

# The name of the operator's endpoint, which all tenants share. No tenant's endpoint has it.
PLATFORM: Final = "platform"
# A model may think before its first word.
MODEL_LIMITS: Final = Limits(connect_seconds=5.0, read_seconds=60.0, total_seconds=120.0, body_bytes=8 * 1024 * 1024)
# Between the names of endpoint and model in the name of a breaker; no endpoint has it in its name.
BREAKER_MARK: Final = "/"
_PRICED_TOKENS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PerMinute:
    """Limits for each minute of an endpoint or of one of its models; ``scope`` names whose. None: no limit."""

    scope: str
    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelConfiguration:
    """A model and all that a request to it needs. The key of a tenant's endpoint is a stored secret.

    ``endpoint`` is the endpoint's name. If ``is_shared``, it is the operator's, so its URL may be inside of the
    operator's network. ``limits`` bound the time of a request; None for the operator's, whose callers bound it.
    Prices are of a million tokens in the platform's currency; None if they are unknown.
    """

    url: str
    model: str = ""
    key: HeaderValue = field(default="", repr=False)
    endpoint: str = PLATFORM
    is_shared: bool = False
    dimensions: int | None = None
    sends_dimensions: bool = True
    limits: Limits | None = None
    rates: Sequence[PerMinute] = ()
    tokens_per_month: int | None = None
    input_price: Decimal | None = None
    output_price: Decimal | None = None

    @property
    def headers(self) -> Sequence[tuple[str, HeaderValue]]:
        """Return the headers of each request to the endpoint."""
        named: list[tuple[str, HeaderValue]] = [("Content-Type", "application/json")]
        if not self.key:
            return named
        if isinstance(self.key, SecretText):
            return [*named, ("Authorization", SecretText(("Bearer ", *self.key.pieces)))]
        return [*named, ("Authorization", f"Bearer {self.key}")]

    @property
    def dependency(self) -> Dependency:
        """Return the dependency whose circuit breaker opens when the model fails."""
        if self.is_shared:
            return Dependency("llm", is_shared=True)
        # The lengths of both names make it short enough.
        return Dependency(f"{self.endpoint}{BREAKER_MARK}{self.model}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
        """Return the price of tokens, in the platform's currency; None if no price is known."""
        if self.input_price is None and self.output_price is None:
            return None
        price = prompt_tokens * (self.input_price or 0) + completion_tokens * (self.output_price or 0)
        return Decimal(price) / _PRICED_TOKENS


def platform_model(model: str = "", *, is_strict: bool = True) -> ModelConfiguration:
    """Return a chat model of the operator's endpoint: the given one, or the one that the operator names.

    Unless ``is_strict``, the one that the operator names comes first.

    Raise `PermanentError` if there is no such endpoint or no model is named.
    """
    named = platform_settings.LLM_MODEL
    model = model or named if is_strict else named or model
    if not platform_settings.LLM_API_URL:
        raise PermanentError(
            "No model endpoint is configured: add one for the tenant, or set the platform's.", code="no_model"
        )
    if not model:
        raise PermanentError(
            "Neither the node nor the platform names a model, and no chat model of the tenant is the default.",
            code="no_model",
        )
    url, key = platform_settings.LLM_API_URL.rstrip("/"), platform_settings.LLM_API_KEY
    return ModelConfiguration(url, model, key, is_shared=True)
