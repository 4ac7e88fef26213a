"""The mail addresses of a contact at the time of sending."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.models import Contact
from tenants.access.mail_addresses import addresses_of_roles
from tenants.models import Role

MAX_PEOPLE = 50


def addresses_of(contact: Contact, target: str) -> Sequence[str]:
    """Return the addresses of a contact's roles, or those that it names.

    A tenant's contact reaches members of the tenant only: it must neither send mail to strangers nor to those who left.
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
