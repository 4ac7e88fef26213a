"""Where a model is found: the operator's endpoint, which all tenants share, or one of a tenant's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError
from scheduling.kit.http import HeaderValue, SecretText, read_target
from tenants.database.platform_settings import platform_settings


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A base URL with its key, which is a stored secret where it is a tenant's.

    ``is_shared``: it is the operator's, so it may lie inside the operator's network.
    """

    url: str
    key: HeaderValue = field(default="", repr=False)
    model: str = ""
    is_shared: bool = False

    @property
    def headers(self) -> Sequence[tuple[str, HeaderValue]]:
        """What each request carries."""
        named: list[tuple[str, HeaderValue]] = [("Content-Type", "application/json")]
        if not self.key:
            return named
        if isinstance(self.key, SecretText):
            return [*named, ("Authorization", SecretText(("Bearer ", *self.key.pieces)))]
        return [*named, ("Authorization", f"Bearer {self.key}")]

    @property
    def dependency(self) -> Dependency:
        """What fails when it does."""
        if self.is_shared:
            return Dependency("llm", is_shared=True)
        return Dependency(read_target(self.url).authority[:MAX_DEPENDENCY_CHARACTERS])


def chat_endpoint(*, url: str = "", key: HeaderValue = "", model: str = "") -> ModelEndpoint:
    """The tenant's own endpoint where it names one, else the operator's; PermanentError where there is none."""
    if url:
        return ModelEndpoint(url.rstrip("/"), key, model)
    if not platform_settings.LLM_API_URL:
        raise PermanentError(
            "There is no model endpoint: neither the tenant nor the platform names one.", code="no_model"
        )
    return ModelEndpoint(
        platform_settings.LLM_API_URL.rstrip("/"),
        platform_settings.LLM_API_KEY,
        model or platform_settings.LLM_MODEL,
        is_shared=True,
    )
