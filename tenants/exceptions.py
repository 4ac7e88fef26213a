"""Named errors. A `DomainError` is caused by the caller and becomes a response; the others are programming errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from tenants.translation import gettext_noop, interpolate, translate

if TYPE_CHECKING:
    from tenants.limits.declared import LimitReached

Category = Literal[
    "invalid",
    "not_found",
    "conflict",
    "stale",
    "too_large",
    "too_slow",
    "limited",
    "forbidden",
    "unavailable",
    "not_served",
    "unauthenticated",
    "malformed",
]


class DomainError(Exception):
    """An error that is reported to the caller. Interfaces map `category` to their own codes, such as HTTP statuses.

    `text` with `values` in its placeholders is the message: `str()` gives it in English, for logs and stored text, and
    `detail` in the active language. `errors` has one mapping for each fault, with `code`, `detail` and, if known,
    `field`. `limit` is the limit that was reached, if any. `headers` are added to the HTTP response.
    """

    code: ClassVar[str] = "invalid"
    category: ClassVar[Category] = "invalid"
    title: ClassVar[str] = gettext_noop("The request is not valid.")

    def __init__(
        self,
        text: str = "",
        values: Mapping[str, Any] | None = None,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_after_seconds: int | None = None,
        limit: LimitReached | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.text = text or self.title
        self.values = values
        self.errors = list(errors)
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        self.headers = dict(headers or {})
        super().__init__(interpolate(self.text, values))

    @property
    def detail(self) -> str:
        """Return the message in the active language."""
        return translate(self.text, self.values)


class NoTenantError(RuntimeError):
    """No tenant is set: wrap the code in `tenant_context(tenant)`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__)


class TenantNotChosenError(NoTenantError):
    """All tenants are visible here: name the tenant."""


class ContextElsewhereError(NoTenantError):
    """The tenant was set on another connection (another thread?): enter the context again here."""


class ForeignTenantError(RuntimeError):
    """A row of one tenant was about to be written in the context of another."""


class PrivilegedRoleError(RuntimeError):
    """The login role of DATABASE_URL is not bound by row-level security."""


class TenantRequiredError(DomainError):
    code, category, title = "tenant_required", "malformed", gettext_noop("Name the tenant in the header X-Tenant.")


class TenantNotFoundError(DomainError):
    code, category, title = "tenant_not_found", "not_found", gettext_noop("No such tenant.")


class NoMembershipError(DomainError):
    code, category, title = "no_membership", "forbidden", gettext_noop("The user is not a member of any tenant.")


class TenantSuspendedError(DomainError):
    """Raised if a caller would write to a suspended tenant."""

    code, category, title = "tenant_suspended", "forbidden", gettext_noop("The tenant is suspended.")


class SlugTakenError(DomainError):
    """Raised if another tenant, plan or tier has the slug."""

    code, category, title = "slug_taken", "conflict", gettext_noop("The slug is taken.")


class RowTakenError(DomainError):
    """Raised if a concurrent request has stored a row with the same unique value first."""

    code, category = "taken", "conflict"
    title = gettext_noop("Another request has stored the same at this moment.")


class PlanNotFoundError(DomainError):
    code, category, title = "plan_not_found", "not_found", gettext_noop("No such plan.")


class PlanChangedError(DomainError):
    code, category, title = "plan_changed", "conflict", gettext_noop("The plan has changed since it was read.")


class PlanContentInvalidError(DomainError):
    """Raised if a version of a plan refers to a tier that no longer exists."""

    code, category = "plan_content_invalid", "invalid"
    title = gettext_noop("The version refers to an object that no longer exists.")


class EffectiveFromPastError(DomainError):
    code, category = "effective_from_past", "invalid"
    title = gettext_noop("The effective time must not be in the past.")


class VersionNotFoundError(DomainError):
    code, category, title = "version_not_found", "not_found", gettext_noop("There is no such version.")


class VersionNotWaitingError(DomainError):
    code, category = "version_not_waiting", "conflict"
    title = gettext_noop("Only a scheduled version can be withdrawn.")


class ReasonRequiredError(DomainError):
    """Raised if a required reason is empty."""

    code, category, title = "reason_required", "invalid", gettext_noop("A reason is required.")


class FieldInvalidError(DomainError):
    """Raised if a field's value is invalid."""

    code, category, title = "field_invalid", "invalid", gettext_noop("A field is not valid.")

    @classmethod
    def at(cls, field: str, detail: str, *others: tuple[str, str]) -> Self:
        """Return the error of a field, and of others that are wrong too."""
        faults = [(field, detail), *others]
        return cls(f"{field}: {detail}", errors=[{"field": at, "code": cls.code, "detail": why} for at, why in faults])


class ErasureOpenError(DomainError):
    code, category, title = "erasure_open", "conflict", gettext_noop("The tenant is being erased.")


class ErasureRefusedError(DomainError):
    code, category, title = "erasure_refused", "conflict", gettext_noop("The tenant cannot be erased now.")


class ErasureNotFoundError(DomainError):
    code, category, title = "erasure_not_found", "not_found", gettext_noop("There is no such erasure.")


class LegalHoldError(DomainError):
    """Raised if data would be deleted that a legal hold keeps."""

    code, category, title = "legal_hold", "conflict", gettext_noop("A legal hold keeps the data of the tenant.")


class LegalHoldNotFoundError(DomainError):
    code, category, title = "legal_hold_not_found", "not_found", gettext_noop("There is no such legal hold.")


class LegalHoldReleasedError(DomainError):
    code, category, title = "legal_hold_released", "conflict", gettext_noop("The legal hold was released before.")


class AlreadyMemberError(DomainError):
    code, category, title = "already_member", "conflict", gettext_noop("The user is already a member of this tenant.")


class UserNotFoundError(DomainError):
    code, category, title = "user_not_found", "invalid", gettext_noop("There is no such user.")


class ScopeUnknownError(DomainError):
    code, category, title = "scope_unknown", "invalid", gettext_noop("A key cannot have this scope.")


class NoPlatformRoleError(DomainError):
    code, category, title = "no_platform_role", "conflict", gettext_noop("The user has no platform role.")


class LastAdminError(DomainError):
    code, category = "last_admin", "conflict"
    title = gettext_noop("The platform must keep at least one admin who can log in.")


class KeyGuessingError(DomainError):
    code, category, title = "too_many_wrong_keys", "limited", gettext_noop("Too many wrong API keys; try again later.")


class LastOwnerError(DomainError):
    code, category, title = "last_owner", "conflict", gettext_noop("A tenant must keep at least one owner.")


class SpaceExceededError(DomainError):
    """Raised if a tenant's stored data reaches a limit.

    Waiting does not help: data must be deleted or the limit raised.
    """

    code, category, title = "space_exceeded", "invalid", gettext_noop("The tenant has reached its storage limit.")


class LimitUnknownError(DomainError):
    code, category, title = "limit_unknown", "not_found", gettext_noop("There is no such limit.")


class JsonInvalidError(DomainError):
    """Raised if a request body is not valid JSON or breaks the API's rules for JSON."""

    code, category, title = "json_invalid", "malformed", gettext_noop("The body is not valid JSON.")


class LengthRequiredError(DomainError):
    code, category = "length_required", "malformed"
    title = gettext_noop("Send the body with its Content-Length, not in chunks.")


class BodyTooLargeError(DomainError):
    code, category, title = "body_too_large", "too_large", gettext_noop("The body is too large.")


class BodyTooSlowError(DomainError):
    """Raised if a client sends its request body below the minimum rate."""

    code, category = "body_too_slow", "too_slow"
    title = gettext_noop("The body arrived too slowly; send the request again.")


class BodiesBusyError(DomainError):
    code, category = "bodies_busy", "unavailable"
    title = gettext_noop("Too many large bodies are being received; try again later.")


class FilterUnknownError(DomainError):
    code, category, title = "filter_unknown", "malformed", gettext_noop("There is no such filter.")


class CursorInvalidError(DomainError):
    """Raised if a pagination or resume cursor is malformed or belongs to another list."""

    code, category, title = "cursor_invalid", "malformed", gettext_noop("The cursor does not belong to this list.")


class UrlInvalidError(DomainError):
    code, category, title = "url_invalid", "malformed", gettext_noop("The URL contains a NUL character.")


class AddressUnknownError(DomainError):
    """Raised if a URL is valid but names no row that the caller can see."""

    code, category, title = "not_found", "not_found", gettext_noop("There is no such URL.")


class DatabaseUnavailableError(DomainError):
    """Raised if the database does not respond."""

    code, category, title = "unavailable", "unavailable", gettext_noop("The service is temporarily unavailable.")


class SettingUnknownError(DomainError):
    code, category, title = "setting_unknown", "invalid", gettext_noop("There is no such setting.")


class SettingsRefusedError(DomainError):
    code, category, title = "setting_invalid", "invalid", gettext_noop("A setting has an invalid value.")


class SettingForbiddenError(DomainError):
    code, category, title = "setting_forbidden", "forbidden", gettext_noop("Only the platform can change this setting.")


class SettingsStaleError(DomainError):
    code, category, title = "settings_stale", "stale", gettext_noop("The settings have changed since they were read.")
