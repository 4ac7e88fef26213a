"""Endpoints of models: the operator's, shared by all tenants, or one of a tenant's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError
from scheduling.kit.http import HeaderValue, SecretText, read_target
from tenants.database.platform_settings import platform_settings


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A base URL with its key, which is a stored secret if it is a tenant's.

    ``is_shared``: it is the operator's, so it may be inside the operator's network.
    """

    url: str
    key: HeaderValue = field(default="", repr=False)
    model: str = ""
    is_shared: bool = False

    @property
    def headers(self) -> Sequence[tuple[str, HeaderValue]]:
        """Headers of each request."""
        named: list[tuple[str, HeaderValue]] = [("Content-Type", "application/json")]
        if not self.key:
            return named
        if isinstance(self.key, SecretText):
            return [*named, ("Authorization", SecretText(("Bearer ", *self.key.pieces)))]
        return [*named, ("Authorization", f"Bearer {self.key}")]

    @property
    def dependency(self) -> Dependency:
        """Dependency that fails with the endpoint."""
        if self.is_shared:
            return Dependency("llm", is_shared=True)
        return Dependency(read_target(self.url).authority[:MAX_DEPENDENCY_CHARACTERS])


def chat_endpoint(*, url: str = "", key: HeaderValue = "", model: str = "") -> ModelEndpoint:
    """Return the tenant's own endpoint if it names one, else the operator's; raise PermanentError if there is none."""
    if url:
        return ModelEndpoint(url.rstrip("/"), key, model)
    if not platform_settings.LLM_API_URL:
        raise PermanentError(
            "No model endpoint is configured: set one for the tenant or for the platform.", code="no_model"
        )
    return ModelEndpoint(
        platform_settings.LLM_API_URL.rstrip("/"),
        platform_settings.LLM_API_KEY,
        model or platform_settings.LLM_MODEL,
        is_shared=True,
    )
