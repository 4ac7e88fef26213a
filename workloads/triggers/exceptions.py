"""Errors of webhook triggers."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class SignatureRefusedError(DomainError):
    """Raised for a request that is not signed, too old, or of a trigger that does not exist: all look the same."""

    code, category = "signature_refused", "unauthenticated"
    title = gettext_noop("The request is not signed by a trigger's secret, or is older than five minutes.")


class TriggerDisabledError(DomainError):
    code, category, title = "trigger_disabled", "conflict", gettext_noop("The trigger is disabled.")


class MappingFailedError(DomainError):
    code, category, title = "mapping_failed", "invalid", gettext_noop("The request does not fit the trigger's mapping.")


class TargetMissingError(DomainError):
    code, category, title = "trigger_target_missing", "conflict", gettext_noop("What the trigger starts was removed.")
