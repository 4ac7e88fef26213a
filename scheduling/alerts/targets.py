"""Targets of contacts: checked and sealed when they are set, and the mail addresses at the time of sending."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from scheduling.alerts.contact_models import Channel
from scheduling.kit.http import UrlRefusedError, read_target
from scheduling.models import Contact
from tenants.access.mail_addresses import addresses_of_roles
from tenants.access.permissions import PlatformRole
from tenants.exceptions import FieldInvalidError
from tenants.models import Role
from tenants.secrets.signing import new_secret, seal, unseal
from tenants.translation import translate

# Keys of PagerDuty and Opsgenie.
_KEY = re.compile(r"(?:eu:)?[A-Za-z0-9-]{16,64}", re.ASCII)
MAX_PEOPLE = 50


def set_target(contact: Contact, target: str, *, is_kept: bool) -> str:
    """Set the sealed target or the roles of a contact, unless it is kept; return what is shown of it.

    Raise `FieldInvalidError` if it does not fit the channel.
    """
    if contact.channel == Channel.ROLE:
        known = PlatformRole if contact.tenant_id is None else Role
        if not contact.roles or set(contact.roles) - {role.value for role in known}:
            raise FieldInvalidError.at("roles", translate("Use one or more of %(roles)s.", {"roles": ", ".join(known)}))
        contact.sealed_target = ""
        return ", ".join(contact.roles)[:60]
    contact.roles = []
    if is_kept:
        return contact.label
    label = _check_target(contact, target)[:60]
    contact.sealed_target = seal(target)
    if contact.channel == Channel.WEBHOOK and not contact.sealed_secret:
        contact.sealed_secret = seal(new_secret())
    return label


def _check_target(contact: Contact, target: str) -> str:
    if contact.channel == Channel.MAIL:
        named = split_addresses(target)
        try:
            for address in named:
                validate_email(address)
        except ValidationError as error:
            raise FieldInvalidError.at("target", translate("Use mail addresses, separated by commas.")) from error
        if not named or len(addresses_of(contact, target)) < len(named):
            raise FieldInvalidError.at("target", translate("Use addresses of members of the tenant."))
        return ", ".join(f"{address[0]}…@{address.rpartition('@')[2]}" for address in named)
    if contact.channel in (Channel.PAGERDUTY, Channel.OPSGENIE):
        if not _KEY.fullmatch(target):
            raise FieldInvalidError.at(
                "target", translate("Use the key of the service; for Opsgenie in the EU, eu: and the key.")
            )
        return f"…{target[-4:]}"
    try:
        return f"{read_target(target).authority} …{target[-4:]}"
    except UrlRefusedError as refusal:
        raise FieldInvalidError.at("target", str(refusal)) from refusal


def secret_of(contact: Contact) -> str:
    """Return the secret that signs a webhook contact's messages, for the response to its creation; else ""."""
    return unseal(contact.sealed_secret) if contact.sealed_secret else ""


def addresses_of(contact: Contact, target: str) -> Sequence[str]:
    """Return the addresses of a contact's roles, or those that it names.

    A tenant's contact reaches members of the tenant only: it must send no mail to strangers or former members.
    """
    if contact.roles:
        return addresses_of_roles(contact.tenant_id, contact.roles, most=MAX_PEOPLE)
    named = split_addresses(target)
    if contact.tenant_id is None:
        return named
    members = {address.casefold() for address in addresses_of_roles(contact.tenant_id, Role.values, most=1_000)}
    return [address for address in named if address.casefold() in members]


def split_addresses(target: str) -> list[str]:
    """Return the addresses of a text in which commas separate them."""
    return [address.strip() for address in target.split(",") if address.strip()]
