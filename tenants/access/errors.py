"""Errors of credentials: API keys and invitations."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class KeyExpiredError(DomainError):
    code, category = "key_expired", "unauthenticated"
    title = gettext_noop("The API key has expired; ask an owner of the tenant for a new one.")


class KeyAddressError(DomainError):
    code, category, title = "key_address", "forbidden", gettext_noop("The API key is not accepted from this address.")


class SecondFactorRequiredError(DomainError):
    code, category = "second_factor_required", "forbidden"
    title = gettext_noop("Your role or your plan requires a second factor; log in to the console and set one up.")


class FreshFactorRequiredError(DomainError):
    code, category = "fresh_factor_required", "forbidden"
    title = gettext_noop("This needs a fresh code of your second factor; enter one in the console.")


class KeyEndedError(DomainError):
    code, category, title = "key_ended", "conflict", gettext_noop("The API key is revoked or expired; issue a new one.")


class InvitationInvalidError(DomainError):
    code, category = "invitation_invalid", "not_found"
    title = gettext_noop("The invitation is unknown, used, revoked or expired; ask for a new one.")


class InvitationRefusedError(DomainError):
    code, category = "invitation_refused", "forbidden"
    title = gettext_noop("This account cannot accept the invitation.")


class TooManyInvitationsError(DomainError):
    code, category = "too_many_invitations", "conflict"
    title = gettext_noop("Too many invitations are pending; revoke some first.")


class RoleNarrowedError(DomainError):
    code, category = "role_narrowed", "forbidden"
    title = gettext_noop("Your role is narrowed to some queues, kinds or datasets, and this cannot be narrowed.")


class RightNotHeldError(DomainError):
    code, category, title = "right_not_held", "forbidden", gettext_noop("Only rights that you have can be given.")


class RoleInUseError(DomainError):
    code, category = "role_in_use", "conflict"
    title = gettext_noop(
        "%(members)s members, %(invitations)s pending invitations, %(keys)s API keys and %(rules)s claim rules have "
        "this role; give them another one first."
    )
