"""Endpoints of models: the operator's, which all tenants share, or a tenant's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError
from scheduling.kit.http import HeaderValue, SecretText, read_target
from tenants.database.platform_settings import platform_settings

OWN: Final = "own"
PLATFORM: Final = "platform"


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """The base URL of an endpoint, its key and its default model. The key of a tenant's endpoint is a stored secret.

    If ``is_shared``, it belongs to the operator, so its URL may be inside of the operator's network. ``name`` is what
    records call it.
    """

    url: str
    key: HeaderValue = field(default="", repr=False)
    model: str = ""
    is_shared: bool = False
    name: str = OWN

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
        """Return the dependency whose circuit breaker opens when the endpoint fails."""
        if self.is_shared:
            return Dependency("llm", is_shared=True)
        return Dependency(read_target(self.url).authority[:MAX_DEPENDENCY_CHARACTERS])


def chat_endpoint(*, url: str = "", key: HeaderValue = "", model: str = "", name: str = OWN) -> ModelEndpoint:
    """Return the tenant's own endpoint if ``url`` is given, else the operator's.

    Raise `PermanentError` if neither is configured.
    """
    if url:
        return ModelEndpoint(url.rstrip("/"), key, model, name=name)
    if not platform_settings.LLM_API_URL:
        raise PermanentError(
            "No model endpoint is configured: set one for the tenant or for the platform.", code="no_model"
        )
    return ModelEndpoint(
        platform_settings.LLM_API_URL.rstrip("/"),
        platform_settings.LLM_API_KEY,
        model or platform_settings.LLM_MODEL,
        is_shared=True,
        name=PLATFORM,
    )
